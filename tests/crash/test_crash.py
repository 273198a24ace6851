"""The short form of the crash test; `make crash CYCLES=10000` is the long one."""

import pathlib
import re
import subprocess
import sys

import pytest

from harness.server import is_sanitized

DRIVER = pathlib.Path(__file__).with_name("driver.py")
SECONDS = 600


@pytest.mark.smoke
def test_kill_9_loses_alters_and_doubles_nothing(tmp_path, figure):
    cycles = 10 if is_sanitized() else 200
    done = subprocess.run([sys.executable, DRIVER, "--cycles", str(cycles), "--evidence", tmp_path / "evidence"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    story = done.stdout[-8000:] + done.stderr[-4000:]
    last = done.stdout.splitlines()[-1]
    figure(last)
    assert done.returncode == 0, story
    match = re.fullmatch(rf"cycles={cycles} acknowledged=(\d+) lost=0 altered=0 duplicated=0", last)
    assert match, story
    assert int(match.group(1)) > 50 * cycles, f"hardly any load: {story}"
