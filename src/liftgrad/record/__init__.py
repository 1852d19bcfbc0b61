"""Recording mode: undecorated code goes in, a tape that is run as it is comes out."""
