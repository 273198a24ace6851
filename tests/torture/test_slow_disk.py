"""While a sync takes its time nothing is written: what clients ask for meanwhile is done later, not forgotten."""

import os
import select
import signal

import pytest

from harness import wire
from harness.material import message

from orders import library

pytestmark = [pytest.mark.plain,
              pytest.mark.skipif(not library().exists(), reason="the server is not from a build folder")]


def close_the_gate(server, orders, writers):
    """Two write at once, so that the shard does not wait for the sync itself; it goes on until the order is cancelled."""
    shard, = server.processes("shard").values()
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
        server.wait_for(is_gone, "QUIT to be carried out")


def test_a_segment_that_begins_stops_no_reader_and_is_promised_when_its_folder_is_synced(world):
    server, orders = world
    server.settings["store"] = {"segment_size": "1MB"}
    server.write_config()
    server.restart()
    account, other = server.add_account(), server.add_account()
    server.deliver(other, message())
    with server.imap(account) as writer, server.imap(other) as reader:
        writer.append("INBOX", message(body="A line.\r\n" * 200_000))
        reader.select()
        orders.give("shard", 0, "fsync-folder", "held")
        tag = writer.send("APPEND INBOX ", wire.Literal(message()))
        server.wait_for(lambda: orders.hits("shard", 0, "fsync-folder"), "the sync of the folder to begin")
        assert message() in reader.fetch(1, "BODY.PEEK[]")[1][b"BODY[]"]
        assert not select.select([writer.line.sock], [], [], 0)[0]  # no answer yet
        orders.cancel("shard", 0, "fsync-folder")
        assert writer.wait(tag).status == b"OK"
        assert writer.status("INBOX", "MESSAGES") == {b"MESSAGES": 2}
