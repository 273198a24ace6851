"""250 means stored, whoever sends what was sent before: identical copies are taken for retries only where an answer was lost."""

import contextlib
import socket

import pytest

from harness import wire
from harness.material import message
from harness.server import Server

SETTINGS = {"server": {"shards": 2, "smtp_processes": 3}}
SENDER = "sender@example.net"
SMALL, LARGE = 1000, 1_400_000
sizes = pytest.mark.parametrize("size", [SMALL, LARGE])
protocols = pytest.mark.parametrize("protocol", ["smtp", "lmtp"])


def of_size(size):
    return message(body="line of sixteen\r\n" * (size // 17))


def stored(server, account):
    with server.imap(account) as imap:
        return imap.status("INBOX", "MESSAGES")[b"MESSAGES"]


def transaction(account, data):
    return f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{account.address}>\r\nDATA\r\n".encode() + wire.dot_stuffed(data)


@pytest.fixture(scope="module")
def lone():
    """As most are: one process that receives mail."""
    with Server() as one:
        one.add_domain()
        yield one


@protocols
@sizes
def test_one_after_the_other(lone, protocol, size):
    account = lone.add_account()
    for _ in range(3):
        with getattr(lone, protocol)() as client:
            client.send_message(SENDER, [account.address], of_size(size))
            client.expect(221, "QUIT")
    assert stored(lone, account) == 3


@protocols
def test_one_after_the_other_on_one_connection(lone, protocol):
    account = lone.add_account()
    with getattr(lone, protocol)() as client:
        for _ in range(5):
            client.send_message(SENDER, [account.address], of_size(SMALL))
    assert stored(lone, account) == 5


@protocols
@pytest.mark.parametrize("size, count", [(SMALL, 20), (LARGE, 4)])
def test_on_many_connections_at_once(server, protocol, size, count):
    accounts = [server.add_account() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(getattr(server, protocol)()) for _ in range(count)]
        for client in clients:
            client.begin(SENDER, [account.address for account in accounts])
        for client in clients:
            client.line.send(wire.dot_stuffed(of_size(size)))
        for client in clients:
            for _ in accounts if protocol == "lmtp" else range(1):
                assert client.read()[0] == 250
        assert [stored(server, account) for account in accounts] == [count] * 3


@sizes
def test_by_one_client_to_several_processes(server, size):
    """Each connection is another process's, and what one was told another does not know."""
    account = server.add_account()
    for _ in range(8):
        with server.smtp() as client:
            client.send_message(SENDER, [account.address], of_size(size))
    assert stored(server, account) == 8


@sizes
def test_pipelined(lone, size):
    account = lone.add_account()
    with lone.smtp() as client:
        client.line.send(transaction(account, of_size(size)) * 3)
        codes = [client.read()[0] for _ in range(12)]
    assert codes == [250, 250, 354, 250] * 3
    assert stored(lone, account) == 3


@pytest.mark.parametrize("size", [600, LARGE])
def test_after_one_was_refused_for_lack_of_room(lone, size):
    account = lone.add_account()
    lone.cli("account", "quota", account.address, "--messages=1")
    with lone.lmtp() as client:
        client.send_message(SENDER, [account.address], of_size(size))
        client.begin(SENDER, [account.address])
        client.line.send(wire.dot_stuffed(of_size(size)))
        assert client.read()[0] == 552
        lone.cli("account", "quota", account.address, "--messages=none")
        for _ in range(2):
            client.send_message(SENDER, [account.address], of_size(size))
    assert stored(lone, account) == 3


def said_all(line, text):
    """The client says all, ends its side (nc -N) and reads to the end."""
    line.send(text)
    line.sock.shutdown(socket.SHUT_WR)
    received = b""
    while piece := line.sock.recv(65536):
        received += piece
    return received


@pytest.mark.parametrize("end", [b"", b"QUIT\r\n"], ids=["end", "quit"])
@pytest.mark.parametrize("how", ["smtp", "lmtp", "lmtp socket"])
@sizes
def test_by_a_client_that_ends_its_side_before_the_answer(lone, how, end, size):
    account = lone.add_account()
    hello = b"EHLO c\r\n" if how == "smtp" else b"LHLO c\r\n"
    for _ in range(3):
        with (wire.Line.open_unix(lone.lmtp_socket) if how == "lmtp socket" else lone.connect(how)) as line:
            answer = said_all(line, hello + transaction(account, of_size(size)) * 2 + end)
        assert answer.count(b"\r\n250 2.0.0 ") == 2, answer
    assert stored(lone, account) == 6


def test_to_an_account_that_another_could_not_be_sent_to(lone):
    """452 for all of it, as one of the two is full: who has it gets no second copy, and that is over with the first 250."""
    first, full = lone.add_account(), lone.add_account()
    lone.cli("account", "quota", full.address, "--messages=1")
    lone.deliver(full, message())
    for _ in range(3):
        with lone.smtp() as client:
            client.begin(SENDER, [first.address, full.address])
            client.line.send(wire.dot_stuffed(of_size(SMALL)))
            assert client.read()[0] == 452
    assert stored(lone, first) == 1
    lone.cli("account", "quota", full.address, "--messages=none")
    for count in (1, 2):
        with lone.smtp() as client:
            client.send_message(SENDER, [first.address, full.address], of_size(SMALL))
        assert (stored(lone, first), stored(lone, full)) == (count, count + 1)
