"""`home`: a home folder for the program under test."""

import pytest

from harness.programs import Home


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")
