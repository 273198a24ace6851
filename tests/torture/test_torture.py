"""The short form of the torture; `make torture ROUNDS=10` is the long one."""

import re

import pytest

from orders import is_usable

pytestmark = pytest.mark.plain
SECONDS = 300


@pytest.mark.skipif(not is_usable(), reason="no preload: the server is not from a build folder")
def test_storage_and_memory_that_fail_lose_nothing(short_form):
    last, story = short_form("torture.py", SECONDS)
    match = re.fullmatch(r"cases=(\d+) faults=(\d+) acknowledged=(\d+) lost=0 altered=0 duplicated=0", last)
    assert match, story
    cases, faults, acknowledged = map(int, match.groups())
    assert cases >= 20 and faults >= cases - 3, f"the load did not meet the faults: {story}"
    assert acknowledged > 50 * cases, f"hardly any load: {story}"
