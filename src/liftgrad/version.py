"""The version, which the kernel cache and files note beside what they hold."""

__version__ = "0.1.0"
