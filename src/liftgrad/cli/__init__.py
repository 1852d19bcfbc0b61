"""The command line, `liftgrad`."""

from collections.abc import Sequence

from liftgrad import loading


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process.

    The status is 0, 1 for a failure, 2 for impossible options or 130 for an interruption; failures
    come with a sentence on standard error, or with one for each fault of a table.
    """
    loading.begin()
    from liftgrad.cli.commands import run  # noqa: PLC0415, takes a third of a second

    loading.end()
    run(arguments)
