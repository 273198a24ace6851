"""--check: each bound that does not hold is named on standard error, and the exit status is 1."""

import pathlib
import sys


def complain(broken):
    """broken: a line each. Gives the exit status."""
    program = pathlib.Path(sys.argv[0]).name
    for line in broken:
        print(f"{program}: does not hold: {line}", file=sys.stderr)
    return 1 if broken else 0
