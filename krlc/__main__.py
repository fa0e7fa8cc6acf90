"""`python -m krlc` is `krlc`."""

import sys

from krlc.cli import main

if __name__ == "__main__":
    sys.exit(main())
