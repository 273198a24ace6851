"""Another time of day for a server under test: tests/tools/clock.c, loaded into all its processes."""

import mmap
import pathlib
import struct
import tempfile

import pytest

from .server import binary, is_sanitized

DAY = 86400


def library():
    """The preload of the build that the server under test is from."""
    return binary().resolve().parents[2] / "tests" / "tools" / "libclock.so"


class Clock:
    """A server started with .environment dates things .ahead seconds later than it is."""

    def __init__(self):
        if is_sanitized():
            pytest.skip("a sanitizer wants to be loaded first")
        if not library().exists():
            pytest.skip(f"no preload at {library()}: the server is not from a build folder")
        self.folder = tempfile.TemporaryDirectory(prefix="mansio-clock-")
        pathlib.Path(self.folder.name).chmod(0o711)  # roles are other users
        path = pathlib.Path(self.folder.name) / "ahead"
        path.write_bytes(bytes(8))
        path.chmod(0o644)
        with path.open("r+b") as file:
            self.page = mmap.mmap(file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library()), "MANSIO_CLOCK": str(path)}

    def set(self, seconds):
        self.page[:] = struct.pack("<q", seconds)

    def close(self):
        self.page.close()
        self.folder.cleanup()
