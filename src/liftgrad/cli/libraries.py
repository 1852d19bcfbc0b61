"""Libraries that are slow to load and may be missing."""

from typing import Any

from liftgrad.trainer.interruption import deferred


def estimators() -> Any:
    """Return the module of estimators; Ctrl-C takes effect once it is loaded.

    In the middle of an import, libraries raise misleading errors, such as that scikit-learn is
    missing.

    Raises:
        ImportError: if scikit-learn is missing.
        KeyboardInterrupt: if Ctrl-C was pressed during the import.

    """
    with deferred() as asked:
        import liftgrad.estimators as module  # noqa: PLC0415, scikit-learn is slow to import
    if asked():
        raise KeyboardInterrupt
    return module
