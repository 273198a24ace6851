"""Servers that more than one file wants."""

import pytest


@pytest.fixture
def forgetful(fresh_server):
    """Expunged mail is forgotten at once, files of bodies are small, so that there is something to compact; one shard."""
    return fresh_server({"server": {"shards": 1}, "store": {"undelete_window": "0ms", "segment_size": "1MB"}})
