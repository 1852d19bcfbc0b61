"""Built programs at work: numbers go in, numbers and gradients come out."""
