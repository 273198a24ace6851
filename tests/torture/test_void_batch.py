"""A batch that the disk refuses after all: nothing of it is acknowledged, and its sessions hear that they end."""

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
