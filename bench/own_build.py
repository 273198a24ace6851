"""What is measured: the server that `make build` makes, up to date, or the one that MANSIO_BIN names."""

import os
import pathlib
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parent.parent


def make():
    """Installs what is missing and builds; nothing with MANSIO_BIN."""
    if "MANSIO_BIN" in os.environ:
        return
    for command in (["scripts/install-dependencies", "build", "run", "bench"], ["make", "--no-print-directory", "build"]):
        if subprocess.run(command, cwd=PROJECT, stdout=sys.stderr, check=False).returncode:
            sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {' '.join(command)} failed")
