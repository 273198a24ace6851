"""A batch that the disk refuses after all: nothing of it is acknowledged, and its sessions hear that they end."""

import contextlib
import os
import signal

import pytest

from harness import wire
from harness.material import message

from orders import FOR_EVER, library

pytestmark = [pytest.mark.plain,
              pytest.mark.skipif(not library().exists(), reason="the server is not from a build folder")]


COMMANDS = {
    "APPEND": ("APPEND INBOX ", wire.Literal(message())),
    "STORE": ("STORE 1 +FLAGS (\\Seen)",),
    "COPY": ("COPY 1 INBOX",),
    "CREATE": ("CREATE New",),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_session_of_a_void_batch_hears_bye_and_no_answer(world, command):
    server, orders = world
    account = server.add_account()
    server.deliver(account, message())
    with server.imap(account) as imap, server.imap(account) as idler:
        imap.select()
        idler.select()
        before = imap.status("INBOX", "MESSAGES UIDNEXT UNSEEN")
        orders.give("shard", 0, "write", "ENOSPC", times=FOR_EVER)
        tag = imap.send(*COMMANDS[command])
        answer = imap.read_response()
        assert answer.startswith(b"* BYE ") and tag not in answer, answer
        assert imap.line.closed()
        orders.cancel("shard", 0, "write")
    with server.imap(account) as imap:
        assert imap.status("INBOX", "MESSAGES UIDNEXT UNSEEN") == before
        assert b"New" not in imap.list()


def held_sync(server, orders, number, *commands):
    """The sync of this number is held that comes of these commands ([client, *parts]), which are read in one turn."""
    shard, = server.processes("shard").values()
    orders.give("shard", 0, "fsync", "held", wait=number)
    os.kill(shard, signal.SIGSTOP)
    tags = [client.send(*parts) for client, *parts in commands]
    os.kill(shard, signal.SIGCONT)
    server.wait_for(lambda: orders.hits("shard", 0, "fsync"), "the sync to begin")
    return tags


def last_lines(client):
    """All that comes, to the end of the connection."""
    lines = []
    try:
        while True:
            lines.append(client.line.read_line())
    except wire.Closed:
        return lines


def append(text):
    return b"APPEND INBOX {%d+}\r\n" % len(text) + text


def test_who_waits_for_the_batch_before_a_void_one_hears_what_became_of_that(world):
    server, orders = world
    account = server.add_account()
    with server.imap(account) as one, server.imap(account) as two, contextlib.ExitStack() as open_now:
        writers = [open_now.enter_context(server.imap(account)) for _ in range(4)]
        tags = held_sync(server, orders, 2, (one, append(message())), (two, append(message())))  # the log's
        orders.give("shard", 0, "write", "ENOSPC", times=FOR_EVER)
        for writer in writers:
            writer.send(append(message()))
        for writer in writers:  # more than the room of a batch that waits: so it is written
            for _ in range(12):
                writer.send(append(message(body="A line.\r\n" * 24_000)))
        server.wait_for(lambda: orders.hits("shard", 0, "write"), "the next batch to be void")
        orders.cancel("shard", 0, "write")
        orders.cancel("shard", 0, "fsync")
        for client, tag in zip((one, two), tags):
            answer, bye = last_lines(client)
            assert answer.startswith(tag + b" OK [APPENDUID "), answer
            assert bye.startswith(b"* BYE ") and b"nothing of it was done" not in bye
        for writer in writers:
            bye, = last_lines(writer)
            assert b"nothing of it was done" in bye
    with server.imap(account) as imap:
        assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 2}


@pytest.mark.parametrize("command, sync", [("MOVE 1:* Other", 1), ("EXPUNGE", 1), ("RENAME INBOX Third", 2)])
def test_a_command_that_is_durable_in_part_is_not_said_to_be_undone(world, command, sync):
    server, orders = world
    account = server.add_account()
    with server.imap(account) as imap:
        imap.append("INBOX", message())
        imap.ok("CREATE Other")
        imap.select()
        for _ in range(14):
            imap.ok("COPY 1:* INBOX")
        imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        held_sync(server, orders, sync, (imap, command))  # of the first slice
        orders.give("shard", 0, "write", "ENOSPC", times=FOR_EVER)
        orders.cancel("shard", 0, "fsync")
        bye = last_lines(imap)[-1]
        orders.cancel("shard", 0, "write")
    assert bye.startswith(b"* BYE ") and b"nothing of it was done" not in bye
    with server.imap(account) as imap:
        assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 8192}
