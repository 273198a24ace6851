"""The disk that the power cuts leave behind keeps what was synced, all of it and nothing else."""

import os
import random
import signal
import struct
import subprocess
import sys

import disk
import pytest

from powercut import library

pytestmark = pytest.mark.plain


def always(fate):
    class Luck(random.Random):
        def choice(self, _):
            return fate

    return Luck(1)


class Journal:
    """A folder with one file that is durable, and the journal of what is done to it."""

    def __init__(self, folder):
        self.path = folder / "store"
        self.path.mkdir()
        (self.path / "old").write_bytes(b"old" * 1000)
        self.disk = disk.Disk(self.path, folder / "journal")
        self.disk.begin()
        self.folder = os.stat(self.path).st_ino
        self.old = os.stat(self.path / "old").st_ino
        self.syncs = 0

    def add(self, kind, inode, value=0, data=b""):
        with open(self.disk.journal, "ab") as journal:
            journal.write(disk.RECORD.pack(disk.MAGIC, kind, inode, value, len(data)) + data)

    def sync(self, inode, ends=True):
        self.syncs += 1
        self.add(disk.SYNC_BEGIN, inode, self.syncs)
        if ends:
            self.add(disk.SYNC_END, inode, self.syncs)

    def cut(self, fate):
        self.disk.cut(always(fate))
        return {one.name: one.read_bytes() for one in self.path.iterdir()}


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


OLD = b"old" * 1000


@pytest.mark.parametrize("fate", disk.Fate)
def test_what_was_synced_is_there_whatever_else_is(journal, fate):
    journal.add(disk.WRITE, journal.old, 4, b"new")
    journal.add(disk.CREATE, 999, journal.folder, b"made\0")
    journal.add(disk.WRITE, 999, 2, b"bytes")
    journal.sync(journal.old)
    journal.sync(999)
    journal.sync(journal.folder)
    assert journal.cut(fate) == {"old": OLD[:4] + b"new" + OLD[7:], "made": b"\0\0bytes"}


def test_what_was_not_synced_may_be_gone(journal):
    journal.add(disk.WRITE, journal.old, 0, b"new")
    journal.add(disk.TRUNCATE, journal.old, 5)
    assert journal.cut(disk.Fate.LOST) == {"old": OLD}


def test_a_write_after_the_beginning_of_a_sync_is_not_covered(journal):
    journal.add(disk.SYNC_BEGIN, journal.old, 1)
    journal.add(disk.WRITE, journal.old, 0, b"new")
    journal.add(disk.SYNC_END, journal.old, 1)
    assert journal.cut(disk.Fate.LOST) == {"old": OLD}


def test_a_sync_that_did_not_return_covers_nothing(journal):
    journal.add(disk.WRITE, journal.old, 0, b"new")
    journal.sync(journal.old, ends=False)
    assert journal.cut(disk.Fate.LOST) == {"old": OLD}


def test_a_file_goes_with_a_folder_that_was_not_synced(journal):
    journal.add(disk.CREATE, 999, journal.folder, b"made\0")
    journal.sync(999)
    journal.add(disk.UNLINK, journal.folder, 0, b"old\0")
    assert journal.cut(disk.Fate.LOST) == {"old": OLD}


def test_a_rename_is_one_change(journal):
    journal.add(disk.CREATE, 999, journal.folder, b"made\0")
    journal.add(disk.WRITE, 999, 0, b"new")
    journal.sync(999)
    journal.sync(journal.folder)
    journal.add(disk.RENAME, journal.folder, journal.folder, b"made\0old\0")
    with open(journal.disk.journal, "ab") as file:
        file.write(b"half a record")
    assert journal.cut(disk.Fate.LOST) == {"old": OLD, "made": b"new"}
    journal.disk.begin()


def test_what_is_kept_is_as_the_server_left_it(journal):
    journal.add(disk.WRITE, journal.old, 0, b"new")
    journal.add(disk.TRUNCATE, journal.old, 5)
    assert journal.cut(disk.Fate.KEPT) == {"old": b"newol"}


def test_a_torn_write_has_whole_sectors(journal):
    journal.add(disk.WRITE, journal.old, 100, b"n" * 2000)
    found = journal.cut(disk.Fate.TORN)["old"]
    sectors = [found[max(start, 100):min(start + disk.SECTOR, 2100)] for start in range(0, 2100, disk.SECTOR)]
    old = [OLD[max(start, 100):min(start + disk.SECTOR, 2100)] for start in range(0, 2100, disk.SECTOR)]
    new = [b"n" * len(one) for one in sectors]
    assert all(one in pair for one, *pair in zip(sectors, old, new)) and sectors not in (old, new)


def test_a_hole_is_zeros_and_leaves_the_size(journal):
    journal.add(disk.HOLE, journal.old, 2990, struct.pack("=Q", 100))
    assert journal.cut(disk.Fate.KEPT) == {"old": OLD[:2990] + bytes(10)}


# ---------------------------------------------------------------------- the journal itself

@pytest.fixture
def watched(tmp_path):
    """watched(statements): a program under the journal's preload, with a file open as fd; gives its exit status and the
    folder's disk."""
    store = tmp_path / "store"
    store.mkdir()
    (store / "old").write_bytes(OLD)
    one = disk.Disk(store, tmp_path / "journal")
    one.begin()

    def run(statements):
        program = "import os, mmap, ctypes; c = ctypes.CDLL(None); fd = os.open('old', os.O_RDWR)\n" + statements
        environment = {"LD_PRELOAD": str(library()), "MANSIO_JOURNAL": str(one.journal)}
        return subprocess.run([sys.executable, "-c", program], cwd=store, env=environment, check=False).returncode, one

    return run


HOLE = "c.fallocate64(fd, 3, ctypes.c_long(1000), ctypes.c_long(500))"
UNKNOWN = {
    "fallocate": "c.fallocate64(fd, 0, ctypes.c_long(0), ctypes.c_long(100))",
    "posix_fallocate": "os.posix_fallocate(fd, 0, 100)",
    "copy_file_range": "os.copy_file_range(fd, fd, 10, 0, 100)",
    "sendfile": "os.sendfile(fd, fd, 0, 10)",
    "pwritev": "os.pwritev(fd, [b'x'], 0, os.RWF_DSYNC)",
    "sync_file_range": "c.sync_file_range(fd, ctypes.c_long(0), ctypes.c_long(0), 0)",
    "syncfs": "c.syncfs(fd)",
    "mmap": "mmap.mmap(fd, 100)",
    "linkat": "c.linkat(-100, b'old', -100, b'new', 0)",
    "truncate": "os.truncate('old', 10)",
}


@pytest.mark.skipif(not library().exists(), reason="no preload: the server is not from a build folder")
class TestJournal:
    def test_what_it_writes_down_is_what_was_done(self, watched):
        status, one = watched("os.pwrite(fd, b'new', 0)\nos.fsync(fd)\n" + HOLE)
        assert status == 0
        one.cut(always(disk.Fate.KEPT))
        assert (one.path / "old").read_bytes() == b"new" + OLD[3:1000] + bytes(500) + OLD[1500:]

    @pytest.mark.parametrize("call", UNKNOWN)
    def test_a_call_that_it_does_not_know_ends_the_process_and_the_run(self, watched, call):
        status, one = watched(UNKNOWN[call])
        assert status == -signal.SIGABRT
        with pytest.raises(AssertionError, match=call):
            one.cut(always(disk.Fate.KEPT))
