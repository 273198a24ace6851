"""The specification in each mode (base/pop3_policy.h): commands are answered as ever, only what QUIT does is another; and it
is done whole, or not at all. RFC 1939 section 6, RFC 2449 section 6.7."""

import select
import socket
import time

import pytest

import pop3_specification as pop3
from harness import wire
from harness.material import message
from test_pop3_specification import World, check_rest, check_status, name_of

SETTINGS = {"pop3": {"utf8": True}}
MODES = ["delete", "keep", "days"]


class WorldOfModes(World):
    """Accounts that no case changes, one with mail and one without for each mode."""

    def __init__(self, server):
        super().__init__(server)
        self.by_mode = {mode: (self.in_mode(self.account_with_mail(), mode), self.in_mode(server.add_account(), mode))
                        for mode in MODES}

    def in_mode(self, account, mode):
        self.server.cli("account", "pop3", account.address, "--mode", mode)
        return account

    def enter_in(self, mode, state, line):
        account = self.by_mode[mode][state == pop3.EMPTY]
        if state == pop3.MARKED and line == "QUIT":
            account = self.in_mode(self.account_with_mail(), mode)
        client = self.server.pop3(account)
        if state == pop3.MARKED:
            client.ok("DELE 2")
        return client, account


@pytest.fixture(scope="module")
def world(server):
    one = WorldOfModes(server)
    yield one
    one.locked.close()


AFTER_LOGIN = [case for case in pop3.cases() if case[0] in pop3.TRANSACTION and "{plain" not in case[1]]


@pytest.mark.parametrize("case", AFTER_LOGIN, ids=name_of)
@pytest.mark.parametrize("mode", MODES)
def test_the_answer_is_the_specified_one_in_each_mode(world, mode, case):
    state, line, rule = case
    client, account = world.enter_in(mode, state, line)
    with client:
        client.line.send(line.format(user=account.address, password=account.password).encode() + b"\r\n")
        check_status(client.line.read_line(), rule)
        check_rest(client, state, rule, world.server)


# ---------------------------------------------------------------------- what QUIT does

@pytest.fixture(params=MODES)
def account_in_mode(server, request):
    account = server.add_account()
    server.cli("account", "pop3", account.address, "--mode", request.param, "--seen", "yes")
    for n in range(4):
        server.deliver(account, message(f"number {n}"))
    return account, request.param


def seen_and_there(server, account):
    """(messages that POP3 shows, messages of the INBOX, of these \\Seen)"""
    with server.pop3(account) as pop3_client, server.imap(account) as imap:
        imap.select()
        return pop3_client.stat()[0], len(imap.search("ALL")), len(imap.search("SEEN"))


SESSION = b"RETR 1\r\nDELE 2\r\nRETR 3\r\nDELE 3\r\nQUIT\r\n"
# shown, there, seen; what an IMAP client removed is not counted
AFTER_SESSION = {"delete": (1, 1, 0), "keep": (2, 4, 2), "days": (2, 4, 2)}


def test_quit_does_what_the_mode_says(server, account_in_mode):
    account, mode = account_in_mode
    with server.pop3(account) as client:
        client.line.send(SESSION)
        for answer in (True, False, True, False, False):
            assert client.line.read_line().startswith(b"+OK")
            if answer:
                client.read_multiline()
        assert client.line.closed()
    assert seen_and_there(server, account) == AFTER_SESSION[mode]


def test_a_session_that_ends_without_quit_changes_nothing_at_whatever_byte(server, account_in_mode):
    account, _ = account_in_mode
    for length in range(len(SESSION)):  # the last LF is never among them
        with server.pop3(account) as client:
            client.line.send(SESSION[:length])
    time.sleep(0.1)  # whatever would still be done is done
    assert seen_and_there(server, account) == (4, 4, 0)


def test_a_quit_whose_answer_was_lost_was_carried_out(server, account_in_mode):
    account, mode = account_in_mode
    with server.pop3(account) as client:
        for command in (b"RETR 1\r\n", b"RETR 3\r\n"):
            client.line.send(command)
            client.line.read_line()
            client.read_multiline()
        client.ok("DELE 2")
        client.ok("DELE 3")
        client.line.send(b"QUIT\r\n")  # and nobody reads on
    server.wait_for(lambda: seen_and_there(server, account) == AFTER_SESSION[mode], "QUIT to be carried out")


def end_with_reset(client, last_words):
    client.line.send(last_words)
    client.line.abort()


def end_with_an_answer_unread(client, last_words):
    """which the kernel answers with a reset"""
    client.line.send(b"NOOP\r\n")
    assert select.select([client.line.sock], [], [], 30)[0]
    client.line.send(last_words)
    client.line.close()


@pytest.mark.parametrize("service", ["pop3", "pop3s"])
@pytest.mark.parametrize("end", [end_with_reset, end_with_an_answer_unread])
@pytest.mark.parametrize("last_words", [b"QUIT\r\n", b"NOOP\r\nQUIT\r\n", b"STAT\r\nDELE 4\r\nQUIT\r\n"])
def test_a_quit_whose_small_answers_were_lost_was_carried_out(server, account_in_mode, service, end, last_words):
    """Answers that wait are no messages that its client has not got."""
    account, mode = account_in_mode
    with server.pop3(account, service) as client:
        client.multiline("RETR 1")
        client.multiline("RETR 3")
        client.ok("DELE 2")
        client.ok("DELE 3")
        end(client, last_words)
    shown, there, seen = AFTER_SESSION[mode]
    if b"DELE" in last_words:
        shown, there = shown - 1, there - (mode == "delete")
    server.wait_for(lambda: seen_and_there(server, account) == (shown, there, seen), "QUIT to be carried out")


@pytest.fixture(params=["client", "delete", "days"])
def account_with_a_large_message(server, request):
    """Smaller than what the system takes for a client that reads nothing."""
    account = server.add_account()
    server.cli("account", "pop3", account.address, "--mode", request.param, "--seen", "yes")
    server.deliver(account, message("large") + (b"y" * 70 + b"\r\n") * 5000)
    return account, request.param


def slow_client(server, account):
    """One whose system takes little at once."""
    client = server.pop3(account)
    client.line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return client


def words_behind_retr(mode):
    return b"RETR 1\r\nDELE 1\r\nQUIT\r\n" if mode == "client" else b"RETR 1\r\nNOOP\r\nQUIT\r\n"


def half_close_and_abort(line):
    line.sock.shutdown(socket.SHUT_WR)
    time.sleep(0.1)  # mostly its end is seen before the reset; it ends either way
    line.abort()


@pytest.mark.parametrize("end", [wire.Line.close, wire.Line.abort, half_close_and_abort])
def test_who_quits_and_goes_away_before_a_message_has_arrived_keeps_it(server, account_with_a_large_message, end):
    """It has left the server, and lies in the system's buffers."""
    account, mode = account_with_a_large_message
    with slow_client(server, account) as client:
        client.line.send(words_behind_retr(mode))
        assert client.line.sock.recv(6) == b"+OK 36"
        end(client.line)
    server.wait_for(lambda: account.address not in server.cli("who").stdout, "the session to end")
    assert seen_and_there(server, account) == (1, 1, 0)


@pytest.mark.parametrize("mode", ["client", "delete"])
def test_a_session_whose_client_says_all_and_closes_at_once_ends(server, mode):
    """The client's end comes first, and what is sent then is answered by a reset."""
    account = server.add_account()
    server.cli("account", "pop3", account.address, "--mode", mode)
    server.deliver(account, message(body="A line.\r\n" * 150))
    for _ in range(12):
        with server.pop3(account) as client:
            client.line.send(words_behind_retr(mode))
    server.wait_for(lambda: account.address not in server.cli("who").stdout, "the sessions to end")


def test_a_quit_that_only_marks_as_read_waits_for_no_message(server):
    account = server.add_account()
    server.cli("account", "pop3", account.address, "--mode", "keep", "--seen", "yes")
    server.deliver(account, message("large") + (b"y" * 70 + b"\r\n") * 5000)
    with slow_client(server, account) as client:
        client.line.send(b"RETR 1\r\nQUIT\r\n")
        server.wait_for(lambda: seen_and_there(server, account) == (1, 1, 1), "QUIT to be carried out")


def test_who_quits_behind_a_message_and_reads_it_is_carried_out(server, account_with_a_large_message):
    account, mode = account_with_a_large_message
    with server.pop3(account) as client:
        client.line.send(words_behind_retr(mode))
        client.line.read_line()
        client.read_multiline()
        client.line.read_line()
        # and does not wait for the answer to QUIT
    server.wait_for(lambda: seen_and_there(server, account) == ((1, 1, 1) if mode == "days" else (0, 0, 0)),
                    "QUIT to be carried out")


def test_over_tls_a_quit_behind_retr_waits_until_the_message_has_left(server):
    """The shard, that is: what TLS and the system hold counts as delivered (docs/pop3.md)."""
    account = server.add_account()
    server.cli("account", "pop3", account.address, "--mode", "delete", "--seen", "yes")
    server.deliver(account, message("large") + (b"y" * 70 + b"\r\n") * 500_000)
    with server.pop3(account, "pop3s") as client:
        client.line.send(b"RETR 1\r\nQUIT\r\n")
        assert client.line.read_line().startswith(b"+OK")  # and it goes away without having read it
    server.wait_for(lambda: account.address not in server.cli("who").stdout, "the session to end")
    assert seen_and_there(server, account) == (1, 1, 0)
    with server.pop3(account, "pop3s") as client:
        client.line.send(b"RETR 1\r\nQUIT\r\n")
        client.line.read_line()
        client.read_multiline()
        assert client.line.read_line().startswith(b"+OK")
    assert seen_and_there(server, account) == (0, 0, 0)


def test_what_quit_was_answered_for_is_there_after_a_crash(fresh_server):
    for mode in MODES:
        server = fresh_server({"pop3": {"mode": mode, "seen": True}})
        account = server.add_account()
        for n in range(4):
            server.deliver(account, message(f"number {n}"))
        with server.pop3(account) as client:
            client.multiline("RETR 1")
            client.ok("DELE 2")
            client.multiline("RETR 3")
            client.ok("DELE 3")
            client.ok("QUIT")
        server.kill_everything()
        server.start()
        assert seen_and_there(server, account) == AFTER_SESSION[mode]
