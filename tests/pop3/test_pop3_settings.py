"""POP3 where the configuration makes it different: pop3.one_session, pop3.login_delay, pop3.utf8,
login.allow_plain_without_tls. RFC 2449 section 8.1, RFC 6856, RFC 2595 section 2.3."""

import base64

import pytest

from harness.material import message

HOUR = {"pop3": {"login_delay": "1h"}}


def plain(account):
    return base64.b64encode(f"\0{account.address}\0{account.password}".encode()).decode()


def capabilities(pop3):
    return pop3.multiline("CAPA").decode().splitlines()


# ---------------------------------------------------------------------- pop3.one_session

def test_one_session_at_a_time_where_it_is_asked_for(fresh_server):
    server = fresh_server({"pop3": {"one_session": True}})
    account, other = server.add_account(), server.add_account()
    server.deliver(account, message())
    with server.pop3(account) as first:
        with server.pop3() as second:
            second.ok(f"USER {account.address}")
            second.error(f"PASS {account.password}", code="IN-USE")
        with server.pop3(None, "pop3s") as second:
            second.error(f"AUTH PLAIN {plain(account)}", code="IN-USE")
        with server.pop3() as second:  # who does not know the password learns nothing
            second.ok(f"USER {account.address}")
            second.error("PASS wrong", code="AUTH")
        with server.imap(account) as imap, server.pop3(other) as stranger:
            imap.select()
            stranger.ok("NOOP")
        first.ok("DELE 1")
        first.ok("QUIT")
    with server.pop3(account) as next_one:
        assert next_one.stat()[0] == 0
    server.wait_for(lambda: logs_in(server, account), "the end of a session that just went away")


def logs_in(server, account):
    with server.pop3() as pop3:
        pop3.ok(f"USER {account.address}")
        return pop3.command(f"PASS {account.password}").startswith(b"+OK")


# ---------------------------------------------------------------------- pop3.login_delay

def test_an_account_that_comes_too_soon_is_told_to_wait(fresh_server):
    server = fresh_server(HOUR)
    account, other = server.add_account(), server.add_account()
    with server.pop3() as pop3:
        assert "LOGIN-DELAY 3600" in capabilities(pop3)
        pop3.login(account)
        assert "LOGIN-DELAY 3600" in capabilities(pop3)
        pop3.ok("QUIT")
    with server.pop3() as pop3:
        pop3.ok(f"USER {account.address}")
        pop3.error("PASS wrong", code="AUTH")
        pop3.ok(f"USER {account.address}")
        pop3.error(f"PASS {account.password}", code="LOGIN-DELAY")
        pop3.error(f"AUTH PLAIN {plain(account)}", code="LOGIN-DELAY")
        pop3.login(other)
    with server.imap(account) as imap:
        imap.select()


def test_an_account_that_has_waited_comes_in_again(fresh_server):
    server = fresh_server({"pop3": {"login_delay": "300ms"}})
    account = server.add_account()
    with server.pop3(account) as pop3:
        assert "LOGIN-DELAY 1" in capabilities(pop3)  # whole seconds
    server.wait_for(lambda: logs_in(server, account), "the delay to be over")


@pytest.mark.parametrize("service", ["pop3", "pop3s"])
def test_a_login_that_became_no_session_does_not_count(fresh_server, service):
    server = fresh_server({"pop3": {"login_delay": "1h"}, "imap": {"max_sessions_per_account": 1}})
    account, other = server.add_account(), server.add_account()
    with server.imap(account) as imap, server.pop3(None, service) as pop3:
        imap.select()
        pop3.error(f"AUTH PLAIN {plain(account)}", code="SYS/TEMP")  # too many sessions
    server.wait_for(lambda: logs_in(server, account), "a login whose forerunner was refused")
    server.cli("account", "pop3", other.address, "--mailbox", "Nowhere")
    with server.pop3(None, service) as pop3:
        pop3.error(f"AUTH PLAIN {plain(other)}", code="SYS/PERM")
    server.cli("account", "pop3", other.address, "--mailbox", "INBOX")
    server.wait_for(lambda: logs_in(server, other), "a login whose forerunner found no mailbox")
    for one in (account, other):
        with server.pop3() as pop3:
            pop3.error(f"AUTH PLAIN {plain(one)}", code="LOGIN-DELAY")


# ---------------------------------------------------------------------- pop3.utf8

WIDE = "Subject: Grüße\r\nFrom: Jürgen <jürgen@example.net>\r\n\r\n.Grüße\r\n".encode()
NARROW = "Subject: ASCII\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n".encode()


def append(server, account, *messages):
    with server.imap(account) as imap:
        for one in messages:
            imap.append("INBOX", one)


def test_without_the_setting_utf8_is_not_there_and_mail_is_sent_as_it_is(fresh_server):
    server = fresh_server()
    account = server.add_account()
    append(server, account, WIDE)
    with server.pop3() as pop3:
        assert "UTF8" not in capabilities(pop3)
        pop3.error("UTF8")
        pop3.login(account)
        assert "UTF8" not in capabilities(pop3)
        assert pop3.multiline("RETR 1") == WIDE


@pytest.fixture(scope="module")
def wide(server):
    account = server.add_account()
    append(server, account, WIDE, NARROW)
    return account


SETTINGS = {"pop3": {"utf8": True}}


@pytest.mark.parametrize("service", ["pop3", "pop3s"])
def test_in_utf8_mode_mail_is_sent_as_it_is(server, wide, service):
    with server.pop3(None, service) as pop3:
        assert "UTF8" in capabilities(pop3)
        pop3.ok("UTF8")
        pop3.login(wide)
        assert "UTF8" in capabilities(pop3)
        assert pop3.multiline("RETR 1") == WIDE and pop3.multiline("RETR 2") == NARROW
        assert pop3.ok("LIST 1") == b"+OK 1 %d" % len(WIDE)


def test_utf8_mode_holds_for_auth_too(server, wide):
    with server.pop3() as pop3:
        pop3.start_tls(server.certificate)
        pop3.ok("UTF8")
        pop3.ok(f"AUTH PLAIN {plain(wide)}")
        assert pop3.multiline("TOP 1 0") == WIDE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def test_without_utf8_mode_a_header_in_utf8_is_refused_and_says_so(server, wide):
    """RFC 6856 sections 2.1 and 5; bodies cross as RFC 1939 has it, and LIST says what RETR will send in UTF-8 mode."""
    with server.pop3(wide) as pop3:
        for line in ("RETR 1", "TOP 1 0"):
            pop3.error(line, code="UTF8")
        assert pop3.ok("LIST 1") == b"+OK 1 %d" % len(WIDE)
        assert pop3.multiline("RETR 2") == NARROW
        pop3.ok("DELE 1")


def test_utf8_between_user_and_pass_makes_user_void(server, wide):
    with server.pop3() as pop3:
        pop3.ok(f"USER {wide.address}")
        pop3.ok("UTF8")
        pop3.error(f"PASS {wide.password}")
        pop3.login(wide)
        assert pop3.multiline("RETR 1") == WIDE


def test_utf8_mode_ends_with_its_connection(server, wide):
    with server.pop3() as pop3:
        pop3.ok("UTF8")
        pop3.ok("QUIT")
    with server.pop3(wide) as pop3:
        pop3.error("RETR 1", code="UTF8")


# ---------------------------------------------------------------------- login.allow_plain_without_tls

def test_no_password_is_asked_for_without_tls(fresh_server):
    server = fresh_server({"login": {"allow_plain_without_tls": "never"}})
    account = server.add_account()
    with server.pop3() as pop3:
        before = capabilities(pop3)
        assert "STLS" in before and "USER" not in before and not [one for one in before if one.startswith("SASL")]
        pop3.error(f"USER {account.address}")
        pop3.start_tls(server.certificate)
        after = capabilities(pop3)
        assert "STLS" not in after and "USER" in after and "SASL PLAIN LOGIN" in after
        pop3.login(account)


def test_without_a_certificate_there_is_no_stls(fresh_server):
    server = fresh_server({"tls": {"certificate": "", "key": ""}, "listen": {"imaps": [], "pop3s": [], "submissions": []}})
    account = server.add_account()
    with server.pop3() as pop3:
        assert "STLS" not in capabilities(pop3)
        pop3.error("STLS")
        pop3.login(account)
