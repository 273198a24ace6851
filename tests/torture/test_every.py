"""The short form of every.py, which has each storage call of a run fail in turn; `make torture` has the long one."""

import pathlib
import re
import subprocess
import sys

import pytest

from orders import is_usable

pytestmark = pytest.mark.plain
DRIVER = pathlib.Path(__file__).with_name("every.py")
SECONDS = 200


@pytest.mark.skipif(not is_usable(), reason="no preload: the server is not from a build folder")
def test_each_call_that_fails_is_met_in_order(tmp_path, figure):
    done = subprocess.run([sys.executable, DRIVER, "--short", "--evidence", tmp_path / "evidence"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    story = done.stdout[-8000:] + done.stderr[-4000:]
    last = done.stdout.splitlines()[-1]
    figure(last)
    assert done.returncode == 0, story
    match = re.fullmatch(r"kinds=(\d+) calls=(\d+) wrong=0", last)
    assert match and int(match.group(2)) > 3 * int(match.group(1)), story
