"""Training steps: a loss and an optimiser go in, many native steps come out."""
