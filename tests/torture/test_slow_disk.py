"""While a sync takes its time nothing is written: what clients ask for meanwhile is done later, not forgotten."""

import os
import signal

import pytest

from harness.material import message

from orders import library

pytestmark = [pytest.mark.plain,
              pytest.mark.skipif(not library().exists(), reason="the server is not from a build folder")]


def close_the_gate(server, orders, writers):
    """Two write at once, so that the shard does not wait for the sync itself; it goes on until the order is cancelled."""
    shard, = [one["pid"] for one in server.status()["processes"] if one["role"] == "shard"]
    orders.give("shard", 0, "fsync", "held")
    os.kill(shard, signal.SIGSTOP)
    for writer in writers:
        writer.line.send(b"a1 APPEND INBOX {4+}\r\nx: y\r\n")
    os.kill(shard, signal.SIGCONT)
    server.wait_for(lambda: orders.hits("shard", 0, "fsync"), "the sync to begin")


def test_a_quit_that_waits_for_the_disk_is_carried_out_though_its_client_is_gone(world):
    """RFC 1939 section 6"""
    server, orders = world
    account, other, third = (server.add_account() for _ in range(3))
    server.deliver(account, message())
    with server.pop3(account) as gone, server.pop3(third) as stays, server.imap(other) as one, \
            server.imap(other) as two:
        close_the_gate(server, orders, (one, two))
        gone.line.send(b"DELE 1\r\nQUIT\r\n")
        gone.line.close()
        for _ in range(3):
            assert stays.stat()[0] == 0  # so the end was seen
        orders.cancel("shard", 0, "fsync")

        def is_gone():
            with server.pop3(account) as pop3:
                return pop3.stat()[0] == 0
        server.wait_for(is_gone, "QUIT to be carried out", seconds=5)
