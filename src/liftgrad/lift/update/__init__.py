"""Updates: an optimiser and gradients go in, groups that move the parameters come out."""
