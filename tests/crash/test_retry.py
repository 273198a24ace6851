"""A delivery that was stored, but whose sender saw no answer: he tries the same again, and it stays one message."""

import contextlib
import os
import signal
import time

import pytest

from harness import wire
from harness.material import message

pytestmark = pytest.mark.smoke
SENDER = "sender@example.net"


def deliver_without_an_answer(server, client, account, data, dies):
    """Sends a message and lets smtp hang just when the shard has the order; the shard stores it, then `dies` dies."""
    client.begin(SENDER, [account.address])
    shards = server.processes("shard").values()
    smtp = server.processes("smtp")[0]
    for pid in shards:
        os.kill(pid, signal.SIGSTOP)
    client.line.send(wire.dot_stuffed(data))
    time.sleep(0.3)  # smtp gives the order to a shard that does not hear it yet
    os.kill(smtp, signal.SIGSTOP)
    for pid in shards:
        os.kill(pid, signal.SIGCONT)
    server.wait_for(lambda: found(server, account) == 1, "the message in the mailbox")
    if dies == "smtp":
        server.kill_role("smtp")
    else:
        server.kill_everything()
        server.start()
    with contextlib.suppress(ConnectionError):
        assert client.line.closed()


def found(server, account):
    with server.imap(account) as imap:
        return imap.status("INBOX", "MESSAGES")[b"MESSAGES"]


@pytest.mark.parametrize("dies", ["smtp", "everything"])
@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
@pytest.mark.parametrize("size", [1000, 600000, 3000000])
def test_what_was_stored_and_not_answered_is_not_stored_again(fresh_server, dies, protocol, size):
    server = fresh_server()
    account = server.add_account()
    data = message(body="line of sixteen\r\n" * (size // 16))
    with getattr(server, protocol)() as client:
        deliver_without_an_answer(server, client, account, data, dies)
    with getattr(server, protocol)() as client:
        client.send_message(SENDER, [account.address], data)
    assert found(server, account) == 1


def test_what_was_answered_may_be_sent_again(fresh_server):
    server = fresh_server()
    account = server.add_account()
    for _ in range(2):
        server.deliver(account, message())
    assert found(server, account) == 2


def test_what_was_stored_and_expunged_before_the_next_try_stays_away(fresh_server):
    server = fresh_server()
    account = server.add_account()
    with server.smtp() as client:
        deliver_without_an_answer(server, client, account, message(), "smtp")
    with server.imap(account) as imap:
        imap.select()
        imap.ok("STORE 1 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    with server.smtp() as client:
        client.send_message(SENDER, [account.address], message())
    assert found(server, account) == 0


def test_an_order_of_a_process_that_died_is_stored_once_at_most(fresh_server):
    """smtp dies before the shard has even read the order: done or not, the next try leaves one message."""
    server = fresh_server()
    account = server.add_account()
    with server.smtp() as client:
        client.begin(SENDER, [account.address])
        shards = server.processes("shard").values()
        for pid in shards:
            os.kill(pid, signal.SIGSTOP)
        client.line.send(wire.dot_stuffed(message()))
        time.sleep(0.3)
        os.kill(server.processes("smtp")[0], signal.SIGKILL)
        for pid in shards:
            os.kill(pid, signal.SIGCONT)
        server.wait_ready()
    with server.smtp() as client:
        client.send_message(SENDER, [account.address], message())
    assert found(server, account) == 1
