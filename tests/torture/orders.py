"""Orders for preload.c: which call of which process fails, when and how. Both sides map the same file."""

import errno
import mmap
import os
import pathlib
import struct

from harness.server import binary

# As in preload.c.
ROLES = ["supervisor", "auth", "authwork", "access", "smtp", "shard", "command"]
INDEXES = 4
KINDS = ["open", "spool", "write", "read", "fsync", "fsync-folder", "ftruncate", "unlink", "mkdir", "fallocate",
         "statfs", "malloc", "rename", "stat", "lseek", "opendir", "mmap"]
KIND_SLOTS = 32
ORDER = struct.Struct("=qqqqq")  # wait, times, fault, hits, calls
ERRORS = ["ENOSPC", "EIO", "EDQUOT", "EMFILE", "EINTR", "ENOMEM"]
FAULTS = {"short": -1, "full": -2, "lie": -3, "held": -4, **{name: getattr(errno, name) for name in ERRORS}}
FOR_EVER = 1 << 40


def library():
    """The preload of the build that the server under test is from."""
    return pathlib.Path(binary()).resolve().parents[2] / "tests" / "torture" / "libtorture.so"


class Orders:
    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "orders"
        size = len(ROLES) * INDEXES * KIND_SLOTS * ORDER.size
        self.path.write_bytes(bytes(size))
        with open(self.path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), size)

    def environment(self):
        return {"LD_PRELOAD": str(library()), "MANSIO_ORDERS": str(self.path)}

    def _at(self, role, index, kind):
        return ((ROLES.index(role) * INDEXES + index) * KIND_SLOTS + KINDS.index(kind)) * ORDER.size

    def _set(self, at, field, value):
        """One aligned store: the other side reads each field at once."""
        memoryview(self.map).cast("q")[at // 8 + field] = value

    def give(self, role, index, kind, fault, wait=1, times=1):
        """The wait-th call from now is the first to fail, `times` of them do."""
        at = self._at(role, index, kind)
        for field, value in ((0, 0), (3, 0), (2, FAULTS[fault]), (1, times), (0, wait)):
            self._set(at, field, value)

    def cancel(self, role, index, kind):
        self._set(self._at(role, index, kind), 0, 0)

    def hits(self, role, index, kind):
        return ORDER.unpack_from(self.map, self._at(role, index, kind))[3]

    def calls(self, role, index, kind):
        return ORDER.unpack_from(self.map, self._at(role, index, kind))[4]


def is_usable():
    return library().exists() and os.access(library(), os.R_OK)
