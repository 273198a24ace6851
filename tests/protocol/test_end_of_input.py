"""A client may say all that it has to say and end its side (`nc -N`): what it asked for is done, and it is answered."""

import socket

import pytest

from harness.material import message

LARGE = b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 60_000


def say_all(client, data):
    client.line.send(data)
    client.line.sock.shutdown(socket.SHUT_WR)


def count(server, account):
    with server.pop3(account) as pop3:
        return pop3.stat()[0]


@pytest.mark.parametrize("mode", ["client", "delete"])
def test_quit_behind_a_large_message_is_carried_out(server, account, mode):
    server.cli("account", "pop3", account.address, "--mode", mode)
    server.deliver(account, LARGE)
    with server.pop3(account) as pop3:
        say_all(pop3, b"RETR 1\r\nDELE 1\r\nQUIT\r\n")
        assert pop3.line.read_line().startswith(b"+OK")
        assert pop3.read_multiline().endswith(LARGE)
        for _ in ("DELE", "QUIT"):
            assert pop3.line.read_line().startswith(b"+OK")
        assert pop3.line.closed()
    assert count(server, account) == 0


def test_commands_that_came_with_the_login_are_carried_out(server, account):
    server.deliver(account, LARGE)
    with server.pop3() as pop3:
        say_all(pop3, f"USER {account.address}\r\nPASS {account.password}\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n".encode())
        for _ in ("USER", "PASS", "RETR"):
            assert pop3.line.read_line().startswith(b"+OK")
        assert pop3.read_multiline().endswith(LARGE)
        for _ in ("DELE", "QUIT"):
            assert pop3.line.read_line().startswith(b"+OK")
    assert count(server, account) == 0


def test_fetch_and_what_follows_it_are_answered(server, account):
    with server.imap(account) as imap:
        imap.append("INBOX", LARGE)
        imap.append("INBOX", message())
        imap.select()
        say_all(imap, b"a1 FETCH 1:* BODY.PEEK[]\r\na2 FETCH 1 BODY.PEEK[]\r\na3 STORE 2 +FLAGS \\Flagged\r\na4 NOOP\r\n")
        for number, bodies in ((1, [LARGE, message()]), (2, [LARGE]), (3, []), (4, [])):
            answer = imap.wait(b"a%d" % number)
            assert answer.status == b"OK"
            assert [one[b"BODY[]"] for one in answer.fetched().values() if b"BODY[]" in one] == bodies
        assert imap.line.closed()
    with server.imap(account) as imap:
        imap.select()
        assert imap.search("FLAGGED") == [2]


def test_idle_ends_with_its_client(server, account):
    with server.imap(account) as imap:
        imap.select()
        say_all(imap, b"a1 IDLE\r\n")
        assert imap.line.closed()
    server.wait_for(lambda: account.address not in server.cli("who").stdout, "the session to end")


def test_what_is_not_whole_is_not_waited_for(server, account):
    with server.imap(account) as imap:
        say_all(imap, b"a1 APPEND INBOX {1000+}\r\nSubject: ")
        assert imap.line.closed()
    server.wait_for(lambda: account.address not in server.cli("who").stdout, "the session to end")
    assert count(server, account) == 0
