"""The version, which the kernel cache and saved files record."""

__version__ = "0.1.0"
