"""The machine below the figures: its memory made ready, its limits beside those of the machine that the goals were set on."""

import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from harness.server import binary

HELD_SHARE = 0.5 # of the memory that is available, at most
# what the baseline states of its machine; its words do not say on which processor the other process was
BASELINE = {"round_trip_us": 7, "sendfile_s_gb": 0.24, "pread_write_s_gb": 0.39, "sync_wall_us": 140}
WITH_PEER = {"round_trip_us": "round trip between two processes, us", "sendfile_s_gb": "sendfile over loopback, s a GB",
             "pread_write_s_gb": "pread and write over loopback, s a GB"}
ALONE = {"sync_us": "fdatasync of 8 KB appended, us", "sync_wall_us": "the same, us of the clock",
         "new_pages_s_gb": "writes into new pages of the page cache, s a GB"}


def program(name):
    return binary().parents[2] / "bench" / name


def available_megabytes():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


@contextlib.contextmanager
def memory_held(megabytes):
    """Memory that a host gives only when it is touched is given before anything is measured (hold.c)."""
    megabytes = min(megabytes, int(available_megabytes() * HELD_SHARE))
    with subprocess.Popen([program("hold"), str(megabytes)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            if holder.stdout.readline().strip() != "ready":
                print("measuring without memory made ready", file=sys.stderr)
            yield holder
        finally:
            holder.kill()


def limits(rounds=3):
    """{name: median of some rounds}"""
    found = []
    for _ in range(rounds):
        done = subprocess.run([program("limits"), tempfile.gettempdir()], capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def row_text(what, *cells):
    return f"{what:<52}" + "".join(f"{'-' if cell is None else cell if isinstance(cell, str) else f'{cell:.3g}':>16}" for cell in cells)


def limits_text(found):
    """Lines: what it costs here with both processes on one processor, on two, and where the goals were set."""
    lines = [row_text("limits of this machine, CPU of one side", "one processor", "two", "the baseline's")]
    lines += [row_text(what, found[f"{name}_same"], found.get(f"{name}_other"), BASELINE[name]) for name, what in WITH_PEER.items()]
    lines += [row_text(what, found[name], None, BASELINE.get(name)) for name, what in ALONE.items()]
    return "\n".join(lines)
