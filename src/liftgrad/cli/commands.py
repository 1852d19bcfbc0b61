"""The group of commands, and how they end."""

import sys
from collections.abc import Sequence

import click

from liftgrad.cli.display import say
from liftgrad.cli.gpt import gpt
from liftgrad.cli.moons import moons
from liftgrad.cli.predict import predict
from liftgrad.cli.sets import blobs, circles, digits, spirals
from liftgrad.cli.tables import Refused
from liftgrad.cli.train import train
from liftgrad.errors import LiftError
from liftgrad.version import __version__


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    invoke_without_command=True,
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def liftgrad(context: click.Context) -> None:
    """Networks written on single numbers.

    To see one learn, run `liftgrad moons`; to train one on your own table, `liftgrad train
    flowers.csv --target species`. Each command has its own help, such as `liftgrad train --help`.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (moons, circles, spirals, blobs, digits, train, predict, gpt):
    liftgrad.add_command(command)


def run(arguments: Sequence[str] | None) -> None:
    """Run a command and end the process, with a sentence on standard error for each fault."""
    try:
        status = liftgrad.main(arguments, prog_name="liftgrad", standalone_mode=False)
    except Refused as error:
        for complaint in error.complaints:
            say(f"Error: {complaint}", err=True)
        status = error.exit_code
    except click.ClickException as error:
        say(f"Error: {_sentence(error)}", err=True)
        status = error.exit_code
    except LiftError as error:  # such as a variable of the environment with a wrong value
        say(f"Error: {error}", err=True)
        status = 1
    except click.Abort:
        say("Interrupted.", err=True)
        status = 130
    except OSError as error:  # commands handle errors of their own files
        say(
            f"Error: the output cannot be printed ({error.strerror}); print it elsewhere.", err=True
        )
        status = 1
    sys.exit(status)


def _sentence(error: click.ClickException) -> str:
    """Return click's message, ending in what to do."""
    text = error.format_message()
    if not isinstance(error, click.UsageError) or error.ctx is None or text.endswith("?"):
        return text
    vague = text.startswith(("No such", "Got unexpected"))
    if vague or isinstance(error, click.MissingParameter):
        return f"{text.rstrip('.')}; see '{error.ctx.command_path} --help'."
    return text
