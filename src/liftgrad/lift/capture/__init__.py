"""The user's function: what it captures, copies of it to trace, and what may not run once only."""
