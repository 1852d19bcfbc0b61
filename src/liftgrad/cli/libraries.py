"""Libraries that take their time to load, and may be missing."""

from typing import Any

from liftgrad.trainer.interruption import deferred


def estimators() -> Any:
    """Return the module of estimators; Ctrl-C is heard when it is loaded.

    What is half imported raises what it likes, such as that scikit-learn is missing.

    Raises:
        ImportError: if scikit-learn is missing.
        KeyboardInterrupt: if Ctrl-C was pressed meanwhile.

    """
    with deferred() as asked:
        import liftgrad.estimators as module  # noqa: PLC0415, scikit-learn takes its time
    if asked():
        raise KeyboardInterrupt
    return module
