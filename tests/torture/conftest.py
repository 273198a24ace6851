"""`world`: a server of one shard whose calls fail on order."""

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
        for kind in ("write", "fsync"):
            orders.cancel("shard", 0, kind)
        server.close()
