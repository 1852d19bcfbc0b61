"""`python -m liftgrad`."""

from liftgrad.cli import main

if __name__ == "__main__":
    main()
