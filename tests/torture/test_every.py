"""The short form of every.py, which has each storage call of a run fail in turn; `make torture` has the long one."""

import re

import pytest

from orders import is_usable

pytestmark = pytest.mark.plain
SECONDS = 200


@pytest.mark.skipif(not is_usable(), reason="no preload: the server is not from a build folder")
def test_each_call_that_fails_is_met_in_order(short_form):
    last, story = short_form("every.py", SECONDS)
    match = re.fullmatch(r"kinds=(\d+) calls=(\d+) wrong=0", last)
    assert match and int(match.group(2)) > 3 * int(match.group(1)), story
