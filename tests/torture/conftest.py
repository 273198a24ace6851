"""`world`: a server of one shard whose calls fail on order. `short_form`: the quick run of a program of this folder."""

import pathlib
import subprocess
import sys

import pytest

from harness.server import Server

from orders import Orders


@pytest.fixture
def world(tmp_path):
    tmp_path.chmod(0o711)
    orders = Orders(tmp_path)
    orders.path.chmod(0o666)
    server = Server({"server": {"shards": 1}}, environment=orders.environment())
    try:
        server.start()
        server.add_domain()
        yield server, orders
    finally:
        for kind in ("write", "fsync", "fsync-folder"):
            orders.cancel("shard", 0, kind)
        server.close()


@pytest.fixture
def short_form(tmp_path, figure):
    """run(program, seconds): the last line that it printed, which is shown as a figure, and the end of all it said."""
    def run(program, seconds):
        done = subprocess.run([sys.executable, pathlib.Path(__file__).with_name(program), "--short", "--evidence", tmp_path / "evidence"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False)
        story = done.stdout[-8000:] + done.stderr[-4000:]
        last = done.stdout.splitlines()[-1]
        figure(last)
        assert done.returncode == 0, story
        return last, story
    return run
