"""`python -m netwright`, which torchrun and subprocesses use."""

import sys

from netwright.cli import main

if __name__ == "__main__":
    sys.exit(main())
