"""The errors that liftgrad raises on its own account; each message ends in what to do."""


class LiftgradError(Exception):
    """The common base of liftgrad's own errors."""


class GradcheckError(LiftgradError):
    """Gradients from `backward` and from central differences disagree."""


class LiftError(LiftgradError):
    """A function cannot be lifted or a lifted function cannot take these arguments."""


class TraceError(LiftError):
    """The function does something with a traced value that a recorded program cannot do."""


class CheckpointError(LiftgradError):
    """A file is not a checkpoint that this training can go on from."""


class NonFiniteLossError(LiftgradError):
    """A loss or a parameter became nan or infinite while training."""
