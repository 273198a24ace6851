"""POP3: RFC 1939, CAPA (2449), STLS (2595), SASL (5034), response codes (2449, 3206)."""

import base64

import pytest

from harness import wire
from harness.material import message


def deliver(server, account, *subjects):
    for subject in subjects:
        server.deliver(account, message(subject=subject))


def plain(account, authorization=""):
    """RFC 4616's one message, in base64."""
    return base64.b64encode(f"{authorization}\0{account.address}\0{account.password}".encode()).decode()


@pytest.mark.smoke
def test_mail_is_listed_and_read_with_its_exact_size(server, account):
    deliver(server, account, "one", "two")
    with server.pop3(account) as pop3:
        count, octets = pop3.stat()
        sizes = {int(number): int(size) for number, size in
                 (line.split() for line in pop3.multiline("LIST").splitlines())}
        assert count == 2 and sorted(sizes) == [1, 2] and octets == sum(sizes.values())
        for number, subject in ((1, b"one"), (2, b"two")):
            body = pop3.multiline(f"RETR {number}")
            assert len(body) == sizes[number]
            assert b"Subject: " + subject in body
            assert pop3.ok(f"LIST {number}").split() == [b"+OK", b"%d" % number, b"%d" % sizes[number]]


def test_an_empty_maildrop(server, account):
    with server.pop3(account) as pop3:
        assert pop3.stat() == (0, 0)
        assert pop3.multiline("LIST") == b"" and pop3.multiline("UIDL") == b""
        pop3.error("RETR 1")


def test_dele_takes_effect_at_quit_and_only_there(server, account):
    deliver(server, account, "one", "two")
    with server.pop3(account) as pop3:
        pop3.ok("DELE 1")
        assert pop3.stat()[0] == 1
        pop3.error("RETR 1")
        pop3.error("DELE 1")
        assert b"1 " not in pop3.multiline("LIST").splitlines()[0][:2]
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 2
        pop3.ok("DELE 1")
        pop3.ok("QUIT")
        assert pop3.line.closed()
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 1
        assert b"Subject: two" in pop3.multiline("RETR 1")


def test_rset_takes_deletions_back(server, account):
    deliver(server, account, "one")
    with server.pop3(account) as pop3:
        pop3.ok("DELE 1")
        pop3.ok("RSET")
        assert pop3.stat()[0] == 1
        pop3.ok("QUIT")
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 1


def test_numbers_do_not_move_within_a_session(server, account):
    deliver(server, account, "one", "two", "three")
    with server.pop3(account) as pop3:
        pop3.ok("DELE 2")
        deliver(server, account, "four")
        assert [line.split()[0] for line in pop3.multiline("LIST").splitlines()] == [b"1", b"3"]
        assert b"Subject: three" in pop3.multiline("RETR 3")
        pop3.error("RETR 4")


def test_unique_ids_stay_over_sessions_deletions_and_restarts(fresh_server):
    server = fresh_server()
    account = server.add_account()
    deliver(server, account, "one", "two", "three")
    with server.pop3(account) as pop3:
        before = pop3.uidl()
        assert len(set(before.values())) == 3
        assert all(1 <= len(uid) <= 70 and all(0x21 <= byte <= 0x7e for byte in uid) for uid in before.values())
        assert pop3.ok("UIDL 2").split()[1:] == [b"2", before[2]]
        pop3.ok("DELE 1")
        pop3.ok("QUIT")
    server.restart()
    with server.pop3(account) as pop3:
        assert pop3.uidl() == {1: before[2], 2: before[3]}


def test_a_mail_deleted_elsewhere_is_an_error_not_another_mail(server, account):
    deliver(server, account, "one", "two")
    with server.pop3(account) as pop3:
        pop3.stat()
        with server.imap(account) as imap:
            imap.select()
            imap.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
            imap.ok("EXPUNGE")
        answer = pop3.command("RETR 1")
        if answer.startswith(b"+OK"):
            assert b"Subject: one" in pop3.read_multiline()
        assert b"Subject: two" in pop3.multiline("RETR 2")


def test_top_gives_the_header_and_so_many_lines(server, account):
    server.deliver(account, message(body="line 1\r\n.line 2\r\nline 3\r\n"))
    with server.pop3(account) as pop3:
        whole = pop3.multiline("RETR 1")
        header, _, body = whole.partition(b"\r\n\r\n")
        assert pop3.multiline("TOP 1 0") == header + b"\r\n\r\n"
        assert pop3.multiline("TOP 1 2") == header + b"\r\n\r\nline 1\r\n.line 2\r\n"
        assert pop3.multiline("TOP 1 999") == whole
        pop3.error("TOP 1")
        pop3.error("TOP 1 -1")
        pop3.error("TOP 2 0")


def test_capa_names_what_is_spoken_in_each_state(server, account):
    with server.pop3() as pop3:
        before = {line.split()[0] for line in pop3.multiline("CAPA").splitlines()}
        assert {b"TOP", b"UIDL", b"USER", b"SASL", b"STLS", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE"} <= before
        pop3.login(account)
        after = {line.split()[0] for line in pop3.multiline("CAPA").splitlines()}
        assert {b"TOP", b"UIDL", b"PIPELINING", b"RESP-CODES"} <= after and b"STLS" not in after


def test_sasl_plain_with_and_without_an_initial_response(server, account):
    with server.pop3() as pop3:
        pop3.ok(f"AUTH PLAIN {plain(account)}")
        assert pop3.stat() == (0, 0)
    with server.pop3() as pop3:
        pop3.line.send(b"AUTH PLAIN\r\n")
        assert pop3.line.read_line().rstrip() == b"+"
        pop3.ok(plain(account))


@pytest.mark.parametrize("answer", ["*", "!!!", "", "AAAA", "=" * 8])
def test_a_broken_or_cancelled_sasl_exchange_is_an_error(server, answer):
    with server.pop3() as pop3:
        pop3.line.send(b"AUTH PLAIN\r\n")
        assert pop3.line.read_line().startswith(b"+")
        pop3.error(answer)


def test_a_wrong_password_is_an_auth_error_and_the_same_as_no_such_user(server, account):
    texts = set()
    for user in (account.address, "nobody@example.test"):
        with server.pop3() as pop3:
            pop3.ok(f"USER {user}")
            texts.add(pop3.error("PASS wrong", code="AUTH"))
    assert len(texts) == 1


def test_stls_then_login(server, account):
    with server.pop3() as pop3:
        pop3.start_tls(server.certificate)
        assert b"STLS" not in pop3.multiline("CAPA")
        pop3.error("STLS")
        pop3.login(account)
        assert pop3.stat() == (0, 0)


def test_pop3s(server, account):
    with server.pop3(account, "pop3s") as pop3:
        assert pop3.stat() == (0, 0)


def test_no_password_crosses_without_tls(fresh_server):
    server = fresh_server({"login": {"allow_plain_without_tls": "never"}})
    account = server.add_account()
    with server.pop3() as pop3:
        capabilities = pop3.multiline("CAPA").splitlines()
        assert b"USER" not in capabilities and not [one for one in capabilities if one.startswith(b"SASL")]
        pop3.error(f"USER {account.address}")
        pop3.error(f"AUTH PLAIN {plain(account)}")
        pop3.start_tls(server.certificate)
        assert b"USER" in pop3.multiline("CAPA").splitlines()
        pop3.login(account)


def test_pipelined_commands_are_answered_in_order(server, account):
    deliver(server, account, "one", "two")
    with server.pop3() as pop3:
        pop3.line.send(f"USER {account.address}\r\nPASS {account.password}\r\n".encode() +
                       b"STAT\r\nRETR 1\r\nDELE 1\r\nRETR 2\r\nQUIT\r\n")
        for _ in range(3):
            assert pop3.line.read_line().startswith(b"+OK")
        for subject in (b"one", b"two"):
            assert pop3.line.read_line().startswith(b"+OK")
            assert b"Subject: " + subject in pop3.read_multiline()
            assert pop3.line.read_line().startswith(b"+OK")
        assert pop3.line.closed()
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 1


@pytest.mark.parametrize("line", ["STAT", "LIST", "RETR 1", "DELE 1", "UIDL", "TOP 1 0", "RSET", "PASS x"])
def test_mail_needs_a_login_first(server, account, line):
    with server.pop3() as pop3:
        pop3.error(line)
        pop3.login(account)


def test_a_second_login_is_an_error(server, account):
    with server.pop3(account) as pop3:
        pop3.error("USER x")
        pop3.error("PASS x")
        pop3.ok("NOOP")


@pytest.mark.parametrize("line", ["RETR", "RETR x", "RETR 0", "RETR -1", "RETR 1 1", "RETR 99999999999999999999",
                                  "DELE",
                                  "LIST x", "UIDL 0", "STAT 1", "FROB", ""])
def test_broken_commands_are_errors(server, account, line):
    deliver(server, account, "one")
    with server.pop3(account) as pop3:
        if line == "STAT 1":
            pop3.command(line)
        else:
            pop3.error(line)
        pop3.ok("NOOP")


def test_a_message_without_a_final_line_end_is_given_one(server, account):
    """APPEND may store what has no last CRLF; POP3's end mark stands on a line of its own all the same."""
    with server.imap(account) as imap:
        imap.append("INBOX", b"Subject: x\r\n\r\nno line end")
    with server.pop3(account) as pop3:
        whole = pop3.multiline("RETR 1")
        assert whole == b"Subject: x\r\n\r\nno line end\r\n"
        assert pop3.stat() == (1, len(whole)) and pop3.ok("LIST 1") == b"+OK 1 %d" % len(whole)
        pop3.ok("NOOP")


def test_commands_are_known_in_any_case(server, account):
    with server.pop3(account) as pop3:
        pop3.ok("noop")
        pop3.ok("sTaT")
