"""Loops over time: how they are found in programs that do not roll up."""
