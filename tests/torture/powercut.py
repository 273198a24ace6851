#!/usr/bin/python3
"""Power cuts: the load of the crash test on a disk that keeps nothing but what was synced.

    powercut.py [--cuts 100] [--seed 1] [--lie] [--evidence FOLDER]

A preload (journal.c) writes down what all processes do to the store's files. A cut kills all processes at a random
moment and leaves of the store what a disk may have then (disk.py): what was synced, and of the rest nothing,
everything, some calls or some sectors. The server must start on that, and nothing that was acknowledged may be missing:
mail, flags, mailboxes (the ledger of tests/crash), counters, accounts. The first cut finds a store that has only just
been made.

--lie: after the first cut syncs do not count either; then there must be harm to find, or the test is blind. The last
line and the exit status are those of the crash test.
"""

import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "crash"), str(HERE.parent)]

from harness.server import Server, binary  # noqa: E402

from driver import Run  # noqa: E402

from disk import Disk  # noqa: E402

SETTINGS = {
    "server": {"restart_delay_min": "10ms", "restart_delay_max": "50ms"},
    # small, so that segments and checkpoints come often
    "store": {"segment_size": "1MB", "wal_checkpoint_size": "256KB", "undelete_window": "0ms"},
    "login": {"max_connections": 1000},
    "quota": {"messages": 1000000, "bytes": "1TB"},
}


def library():
    """The preload of the build that the server under test is from."""
    return binary().resolve().parents[2] / "tests" / "torture" / "libjournal.so"


class Administrator(threading.Thread):
    """Adds accounts until told to stop: an account whose making was acknowledged must be there."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.stop = threading.Event()
        self.made = []
        self.refused = []

        self.power = threading.Lock()  # held while there is none
        self.process = None

    def run(self):
        with self.server.password_file() as path:
            while not self.stop.is_set():
                address = f"made-{time.monotonic_ns()}@example.test"
                with self.power:
                    self.process = self._begin(address, path)
                error = self.process.communicate()[1]
                (self.made if self.process.returncode == 0 else self.refused).append((address, error.strip()))
                time.sleep(0.02)

    def _begin(self, address, path):
        command = [binary(), "account", "add", address, "--password-file", path, "-c", self.server.config]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True, env=self.server.environment)

    def kill(self):
        """While the power is gone: without a server, the command would do the work itself."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class PowerCut:
    """In the place of the crash test's killer."""

    def __init__(self, cuts, server, at_rest):
        self.cuts = cuts
        self.server = server
        self.at_rest = at_rest

    def strike(self):
        """Sometimes the power goes again while the server is only just coming back."""
        luck = self.cuts.luck
        with self.cuts.administrator.power:
            what = self._cut()
            if luck.random() < 0.3:
                self.server.start(wait=False)
                time.sleep(luck.uniform(0, 0.2))
                what += ", then another " + self._cut()
            self.server.start()
        return what

    def _cut(self):
        disk = self.cuts.disk
        self.server.kill_everything()
        self.cuts.administrator.kill()
        what = disk.cut(self.cuts.luck)
        self.at_rest()
        disk.is_lying = self.cuts.is_lying
        disk.begin()
        return what


class Cuts(Run):
    def __init__(self, is_lying, *arguments):
        super().__init__(*arguments)
        self.is_lying = is_lying
        self.disk = None
        self.administrator = None
        self.accounts = self.syncs = self.changes_lost = 0

    def new_server(self):
        journal = pathlib.Path(tempfile.mkdtemp(prefix="mansio-journal-")) / "journal"
        journal.parent.chmod(0o711)
        server = Server(SETTINGS, environment={"LD_PRELOAD": str(library()), "MANSIO_JOURNAL": str(journal)})
        self.disk = Disk(server.directory, journal)
        self.disk.begin()
        return server

    def new_killer(self, server, at_rest):
        return PowerCut(self, server, at_rest)

    def new_workers(self, server):
        self.administrator = Administrator(server)
        return [self.administrator]

    def check(self, server, findings):
        there = {one["address"] for one in server.cli_json("account", "list")}
        for address, _ in self.administrator.made:
            self.accounts += 1
            if address not in there:
                findings.add("lost", f"account {address}")
        for address in [address for address, _ in self.administrator.made + self.administrator.refused
                        if address in there]:
            server.cli("account", "remove", address, "--yes")

    def store(self, cycles):
        try:
            return super().store(cycles)
        finally:
            self.syncs += self.disk.synced
            self.changes_lost += self.disk.lost
            self.disk.journal.unlink()
            self.disk.journal.parent.rmdir()


def main():
    parser = argparse.ArgumentParser(description="power cuts under load, and a ledger")
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--connections", type=int, default=8, help="clients at a time")
    parser.add_argument("--lie", action="store_true", help="no sync counts: harm must be found")
    parser.add_argument("--evidence", type=pathlib.Path, default=None, help="default: a new folder for temporary files")
    arguments = parser.parse_args()
    if not binary().exists() or not library().exists():
        parser.error(f"no server to test at {binary()}, or no preload beside it: make build, or set MANSIO_BIN")
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    evidence = arguments.evidence or pathlib.Path(tempfile.gettempdir()) / f"mansio-powercut-{os.getpid()}"
    print(f"seed={seed} connections={arguments.connections}", flush=True)
    run = Cuts(arguments.lie, arguments.cuts, seed, arguments.connections, evidence)
    is_good = run.all()
    print(f"accounts={run.accounts} syncs={run.syncs} changes_lost={run.changes_lost}")
    print(run.summary())
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
