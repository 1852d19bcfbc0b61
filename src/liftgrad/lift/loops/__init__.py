"""Loops over time: scans, and how loops are found in programs that do not roll up."""
