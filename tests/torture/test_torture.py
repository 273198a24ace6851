"""The short form of the torture; `make torture ROUNDS=10` is the long one."""

import pathlib
import re
import subprocess
import sys

import pytest

from harness.server import binary

pytestmark = pytest.mark.plain
DRIVER = pathlib.Path(__file__).with_name("torture.py")
LIBRARY = pathlib.Path(binary()).resolve().parents[2] / "tests" / "torture" / "libtorture.so"
SECONDS = 300


@pytest.mark.skipif(not LIBRARY.exists(), reason=f"no preload at {LIBRARY}: the server is not from a build folder")
def test_storage_and_memory_that_fail_lose_nothing(tmp_path, figure):
    done = subprocess.run([sys.executable, DRIVER, "--short", "--evidence", tmp_path / "evidence"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    story = done.stdout[-8000:] + done.stderr[-4000:]
    last = done.stdout.splitlines()[-1]
    figure(last)
    assert done.returncode == 0, story
    match = re.fullmatch(r"cases=(\d+) faults=(\d+) acknowledged=(\d+) lost=0 altered=0 duplicated=0", last)
    assert match, story
    cases, faults, acknowledged = map(int, match.groups())
    assert cases >= 20 and faults >= cases - 3, f"the load did not meet the faults: {story}"
    assert acknowledged > 50 * cases, f"hardly any load: {story}"
