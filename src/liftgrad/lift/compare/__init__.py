"""The net: a program's results and the function's own go in, the line where they part comes out."""
