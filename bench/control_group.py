"""A control group of its own for a server, so that its CPU time can be read exactly, processes that have ended included."""

import contextlib
import itertools
import os
import pathlib
import time

ROOT = pathlib.Path("/sys/fs/cgroup")
_numbers = itertools.count(1)


def _own_group():
    """(this process's group as a folder, name of the file with the CPU time), version 2 before version 1."""
    lines = [line.split(":", 2) for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if controllers == "":
            for mount in (ROOT, ROOT / "unified"):
                if (mount / "cgroup.controllers").exists():
                    yield mount / path.lstrip("/"), "cpu.stat"
    for _, controllers, path in lines:
        if "cpuacct" in controllers.split(","):
            for name in (controllers, "cpuacct"):
                if (ROOT / name).is_dir():
                    yield ROOT / name / path.lstrip("/"), "cpuacct.usage"


class ControlGroup:
    """file: what to read CPU time from; or None where this machine gives no group, and /proc has to do."""

    def __init__(self):
        self.folder = self.file = self._parent = None

    def create(self):
        for parent, name in _own_group():
            folder = parent / f"mansio-bench-{os.getpid()}-{next(_numbers)}"
            try:
                folder.mkdir()
            except OSError:
                continue
            if os.access(folder / "cgroup.procs", os.W_OK) and (folder / name).exists():
                self.folder, self.file, self._parent = folder, folder / name, parent
                return
            folder.rmdir()

    @contextlib.contextmanager
    def joined(self):
        """What is started meanwhile begins its life in the group: this process steps in and out again."""
        if not self.folder:
            yield
            return
        me = str(os.getpid())
        (self.folder / "cgroup.procs").write_text(me)
        try:
            yield
        finally:
            (self._parent / "cgroup.procs").write_text(me)

    def pids(self):
        if not self.folder:
            return set()
        return {int(line) for line in (self.folder / "cgroup.procs").read_text().split()}

    def close(self):
        folder, self.folder, self.file = self.folder, None, None
        for _ in range(50):
            if not folder:
                return
            try:
                folder.rmdir()
                return
            except OSError:
                time.sleep(0.05)
