"""What `liftgrad train` and `liftgrad predict` share."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import click

from liftgrad.cli.display import failure
from liftgrad.errors import LiftgradError, NonFiniteLossError

TABLE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = {
    'on_bad_rows="skip"': "--skip-bad-rows",
    "drop=['']": "--drop ''",
    ', drop it, or name the column a "category" in kinds.': ", or leave it out with --drop.",
    ', or name the column a "category" in kinds.': ", or leave it out with --drop.",
    ', or say in kinds that it is a "category", or a "number" if their last digits do not '
    "matter.": ".",
    ", or say in kinds what the column holds.": ".",
    ", or say in kinds what it holds.": ".",
    "drop it.": "leave it out with --drop.",
    "drop the column.": "leave it out with --drop.",
}
"""How to say on the command line what errors advise to pass; it has no kinds to say."""


@contextlib.contextmanager
def refusals(advice: str, option: str) -> Iterator[None]:
    """Turn what the user can mend into one sentence, in which an option takes advice's place."""
    try:
        with warnings.catch_warnings():
            # That the last epoch still brought something is nothing to mend here.
            warnings.filterwarnings("ignore", message=".*has not converged")
            # Classes are what --task asked for.
            warnings.filterwarnings("ignore", message="The number of unique classes")
            yield
    except NonFiniteLossError as error:
        raise click.ClickException(failure(error)) from None
    except (LiftgradError, ImportError, ValueError, OSError) as error:
        text = str(error)
        for python, shell in {advice: option, **_OPTIONS}.items():
            text = text.replace(python, shell)
        raise click.ClickException(text) from None


def some(names: list[str]) -> str:
    """Return names as text, the first of them where there are many."""
    names = [" ".join(name.split()) for name in names]  # one may hold line breaks
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:7])}, ..."
