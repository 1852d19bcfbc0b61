"""What `liftgrad train` and `liftgrad predict` share: options, input files and errors."""

import ast
import contextlib
import re
import shlex
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from liftgrad.cli.display import failure
from liftgrad.errors import LiftgradError, NonFiniteLossError

TABLE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
STANDARD_INPUT = "standard input"
_MOST_ALIKE = 5
"""How many complaints are shown that differ only in names and numbers."""
_NAMES_AND_NUMBERS = re.compile(r"""'(?:[^'\\]|\\.)*'|"[^"]*"|\d[\d,]*""")
_ARGUMENT = re.compile(
    r"""(?P<name>drop|kinds|missing|task|on_bad_rows|delimiter)="""
    r"""(?P<value>[\[{]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|: )+[\]}]?)"""
)
_KINDS = {"number": "numeric", "category": "categorical", "boolean": "categorical", "text": "text"}


def delimiter_option(command: click.decorators.FC) -> click.decorators.FC:
    """Add --delimiter to a command."""
    return click.option(
        "--delimiter",
        callback=_delimiter,
        metavar="X",
        help="Delimiter of a CSV file's fields, or 'tab'.  [default: inferred from the first line]",
    )(command)


def skip_option(command: click.decorators.FC) -> click.decorators.FC:
    """Add --skip-bad-rows to a command."""
    return click.option(
        "--skip-bad-rows", is_flag=True, help="Leave out rows with too many or too few fields."
    )(command)


class Refused(click.ClickException):
    """Everything that the user can correct, with a sentence for each fault."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


@contextlib.contextmanager
def refusals(*, training: bool) -> Iterator[None]:
    """Turn errors that the user can correct into sentences that name options, not arguments.

    Args:
        training: whether the command trains; otherwise options of `liftgrad train` are named so.

    """
    try:
        with warnings.catch_warnings():
            # A loss that still improved in the last epoch is no fault.
            warnings.filterwarnings("ignore", message=".*has not converged")
            # --task asked for classes.
            warnings.filterwarnings("ignore", message="The number of unique classes")
            yield
    except NonFiniteLossError as error:
        raise click.ClickException(failure(error)) from None
    except (LiftgradError, ImportError, ValueError, OSError) as error:
        complaints = getattr(error, "complaints", None) or (str(error),)
        sentences = [
            _with_options(text, training=training) for text in _without_repeats(complaints)
        ]
        raise Refused(sentences) from None


@contextlib.contextmanager
def table_file(table: Path) -> Iterator[Path]:
    """Yield the table's file, or a copy of standard input or of a pipe.

    The table is read more than once.

    Raises:
        click.UsageError: if there is no standard input.

    """
    if table.is_file():
        yield table
        return
    piped = str(table) == "-"
    if piped and sys.stdin is None:  # the shell has closed it
        raise click.UsageError("standard input is closed; pipe a table into it, or name a file.")
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        source = sys.stdin.buffer if piped else opened.enter_context(table.open("rb"))
        start = source.read(4)
        name = "t.parquet" if start == b"PAR1" else "t.csv"
        path = Path(folder, f"{name}.gz" if start.startswith(b"\x1f\x8b") else name)
        with path.open("wb") as file:
            file.write(start)
            shutil.copyfileobj(source, file)
        try:
            yield path
        except Refused as refused:
            name, bare = (STANDARD_INPUT, STANDARD_INPUT) if piped else (f"'{table}'", str(table))
            named = [text.replace(f"'{path}'", name) for text in refused.complaints]
            raise Refused([text.replace(str(path), bare) for text in named]) from None


def some(names: list[str]) -> str:
    """Return names as text; of many, the first."""
    names = [" ".join(name.split()) for name in names]  # one may hold line breaks
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:7])}, ..."


def _delimiter(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    text = {"tab": "\t", r"\t": "\t"}.get(text or "", text)
    if text is not None and not re.fullmatch(r'[^\r\n"\x80-\U0010ffff]', text):
        raise click.BadParameter(
            f"{text!r} is neither one character, such as ';', nor 'tab'.", context, option
        )
    return text


def _without_repeats(complaints: Sequence[str]) -> list[str]:
    """Return complaints; of those that are alike, the first, and how many more there are."""
    alike: dict[str, list[str]] = {}
    for text in complaints:
        alike.setdefault(_NAMES_AND_NUMBERS.sub("", text), []).append(text)
    sentences = []
    for texts in alike.values():
        more = len(texts) - _MOST_ALIKE
        sentences += texts if more <= 1 else texts[:_MOST_ALIKE]
        if more > 1:
            sentences.append(f"there are {more:,} more faults like these.")
    return sentences


def _with_options(text: str, *, training: bool) -> str:
    """Return a sentence with options of the command line instead of Python's arguments."""

    def option(argument: re.Match[str]) -> str:
        value = ast.literal_eval(argument["value"])
        match argument["name"]:
            case "drop":
                return f"--drop {shlex.quote(value[0])}"
            case "kinds":
                ((column, kind),) = value.items()
                return f"--{_KINDS[kind]} {shlex.quote(column)}"
            case "on_bad_rows":
                return "--skip-bad-rows"
            case "delimiter":
                return "--delimiter tab" if value == "\t" else f"--delimiter '{value}'"
            case name:
                return f"--{name} {value}"

    if not training:
        text = re.sub(r"pass (?=(drop|kinds|missing)=)", "train with ", text)
    return _ARGUMENT.sub(option, text)
