"""A delivery that was stored, but whose sender saw no answer: he tries the same again, and it stays one message."""

import contextlib
import os
import pathlib
import shutil
import signal
import sqlite3

import pytest

from harness import wire
from harness.material import message
from harness.server import sleeps

pytestmark = pytest.mark.smoke
SENDER = "sender@example.net"


@contextlib.contextmanager
def deaf_shards(server):
    shards = server.processes("shard").values()
    for pid in shards:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in shards:
            os.kill(pid, signal.SIGCONT)


def port_of(client):
    return client.line.sock.getsockname()[1]


def unread(ports):
    """Whether something that clients with these ports sent, or their end, is not read yet."""
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        sending, received = (int(queue, 16) for queue in queues.split(":"))
        if (sending and int(local.split(":")[1], 16) in ports) or (received and int(remote.split(":")[1], 16) in ports):
            return True
    return False


def wait_dealt_with(server, smtp, *ports):
    """Until smtp has read all of these clients and sleeps again: whatever it does about it is done, an order is given."""
    server.wait_for(lambda: not unread(ports) and sleeps(smtp), "smtp to have read it all")


def deliver_without_an_answer(server, clients, account, data, dies):
    """Each client sends the message, and smtp hangs just when the shard has the orders; the shard stores them, then `dies`
    dies."""
    for client in clients:
        client.begin(SENDER, [account.address])
    smtp = server.processes("smtp")[0]
    with deaf_shards(server):
        for client in clients:
            client.line.send(wire.dot_stuffed(data))
        wait_dealt_with(server, smtp, *map(port_of, clients))
        os.kill(smtp, signal.SIGSTOP)
    server.wait_for(lambda: found(server, account) == len(clients), "the messages in the mailbox")
    if dies == "smtp":
        server.kill_role("smtp")
    else:
        server.kill_everything()
        server.start()
    for client in clients:
        with contextlib.suppress(ConnectionError):
            assert client.line.closed()


def keys(server, folder):
    """Of deliveries whose answers may be lost, in all shards; None when the copy was made in a bad moment."""
    count = 0
    for path in server.directory.glob("shards/*/index.db"):
        for name in ("index.db-wal", "index.db"):  # in this order: what a checkpoint moves meanwhile is there twice
            shutil.copy(path.with_name(name), folder / name)
        try:
            with contextlib.closing(sqlite3.connect(folder / "index.db")) as index:
                count += index.execute("SELECT count(*) FROM delivery").fetchone()[0]
        except sqlite3.DatabaseError:
            return None
    return count


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
        deliver_without_an_answer(server, [client], account, data, dies)
    with getattr(server, protocol)() as client:
        client.send_message(SENDER, [account.address], data)
    assert found(server, account) == 1


@pytest.mark.parametrize("dies", ["smtp", "everything"])
@pytest.mark.parametrize("size", [1000, 1400000])
def test_of_several_identical_ones_that_were_not_answered_each_is_held_back_once(fresh_server, dies, size):
    server = fresh_server()
    account = server.add_account()
    data = message(body="line of sixteen\r\n" * (size // 17))
    count = 4
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.smtp()) for _ in range(count)]
        deliver_without_an_answer(server, clients, account, data, dies)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.smtp()) for _ in range(count)]
        for client in clients[:2]:  # two at once, the others one by one
            client.begin(SENDER, [account.address])
        for client in clients[:2]:
            client.line.send(wire.dot_stuffed(data))
        assert [client.read()[0] for client in clients[:2]] == [250, 250]
        for client in clients[2:]:
            client.send_message(SENDER, [account.address], data)
        assert found(server, account) == count
        for more in (1, 2):
            clients[0].send_message(SENDER, [account.address], data)
            assert found(server, account) == count + more


def test_who_gives_up_waiting_is_held_back_and_stored_once(fresh_server):
    """The client goes before the shard has the order done; its next try comes before and after it."""
    server = fresh_server()
    account = server.add_account()
    smtp = server.processes("smtp")[0]
    with server.smtp() as client, server.smtp() as other:
        client.begin(SENDER, [account.address])
        other.begin(SENDER, [account.address])
        with deaf_shards(server):
            port = port_of(client)
            client.line.send(wire.dot_stuffed(message()))
            wait_dealt_with(server, smtp, port)
            client.close()
            wait_dealt_with(server, smtp, port)
            other.line.send(wire.dot_stuffed(message()))
            wait_dealt_with(server, smtp, port_of(other))
        code = other.read()[0]
    assert code in (250, 451)
    server.wait_for(lambda: found(server, account) == 1, "the message in the mailbox")
    with server.smtp() as client:
        client.begin(SENDER, [account.address])
        client.line.send(wire.dot_stuffed(message()))
        assert client.read()[0] == 250
    assert found(server, account) == (1 if code == 451 else 2)


@pytest.mark.parametrize("signal_of_it", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_answered_last_may_be_sent_again_after_a_restart(fresh_server, tmp_path, signal_of_it):
    """Nothing was written since: the key is forgotten all the same."""
    server = fresh_server()
    account = server.add_account()
    server.deliver(account, message())
    if signal_of_it == signal.SIGTERM:
        server.restart()
    else:
        server.wait_for(lambda: keys(server, tmp_path) == 0, "a batch of its own")
        server.kill_everything()
        server.start()
    server.deliver(account, message())
    assert found(server, account) == 2


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
        deliver_without_an_answer(server, [client], account, message(), "smtp")
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
        smtp = server.processes("smtp")[0]
        with deaf_shards(server):
            client.line.send(wire.dot_stuffed(message()))
            wait_dealt_with(server, smtp, port_of(client))
            os.kill(smtp, signal.SIGKILL)
        server.wait_ready()
    with server.smtp() as client:
        client.send_message(SENDER, [account.address], message())
    assert found(server, account) == 1
