"""The short form of the power cuts; `make torture` has the long one."""

import pathlib
import re
import subprocess
import sys

import pytest

from powercut import library

pytestmark = pytest.mark.plain
DRIVER = pathlib.Path(__file__).with_name("powercut.py")
CUTS = 12
SECONDS = 200


def run(evidence, *arguments):
    """(exit status, what it said: lines cut short)"""
    done = subprocess.run([sys.executable, DRIVER, "--evidence", evidence, *map(str, arguments)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    return done.returncode, "\n".join(line[:300] for line in (done.stdout + done.stderr).split("\n"))


@pytest.mark.skipif(not library().exists(), reason=f"no preload at {library()}: the server is not from a build folder")
class TestPowerCuts:
    def test_what_was_not_synced_may_go_and_nothing_acknowledged_is_lost(self, tmp_path, figure):
        status, story = run(tmp_path / "evidence", "--cuts", CUTS)
        figure(re.search(r"cycles=.*|$", story).group())
        assert status == 0, story
        match = re.search(rf"cycles={CUTS} acknowledged=(\d+) lost=0 altered=0 duplicated=0\n$", story)
        assert match and int(match.group(1)) > 50 * CUTS, f"hardly any load: {story}"
        accounts, syncs = map(int, re.search(r"accounts=(\d+) syncs=(\d+)", story).groups())
        assert accounts > 0 and syncs > 20 * CUTS, story

    def test_a_disk_that_only_says_that_it_synced_is_found_out(self, tmp_path):
        status, story = run(tmp_path / "evidence", "--cuts", 8, "--seed", 1, "--lie")
        assert status != 0 and re.search(r"^wrong: | lost=[1-9]| altered=[1-9]", story, re.MULTILINE), story
