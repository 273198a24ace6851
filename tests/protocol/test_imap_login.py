"""IMAP before and around login: greeting, capabilities, TLS, LOGIN, AUTHENTICATE, LOGOUT. RFC 3501 section 6.1, 6.2"""

import base64

import pytest

from harness import wire


def plain(account):
    return base64.b64encode(f"\0{account.address}\0{account.password}".encode()).decode()


@pytest.mark.smoke
@pytest.mark.parametrize("service", ["imap", "imaps"])
def test_login_and_logout(server, account, service):
    with server.imap(service=service) as imap:
        assert imap.greeting.startswith(b"* OK")
        imap.login(account)
        answer = imap.ok("LOGOUT")
        assert answer.all(b"BYE")
        assert imap.line.closed()


def test_capabilities_say_what_is_spoken(server, account):
    with server.imap() as imap:
        before = set(imap.ok("CAPABILITY").one(b"CAPABILITY").split())
        assert {b"IMAP4rev1", b"STARTTLS", b"AUTH=PLAIN", b"SASL-IR"} <= before
        assert b"LITERAL+" in before and b"LOGINDISABLED" not in before
        imap.login(account)
        after = set(imap.ok("CAPABILITY").one(b"CAPABILITY").split())
        assert {b"IMAP4rev1", b"IDLE", b"NAMESPACE", b"ID", b"UIDPLUS", b"UNSELECT", b"MOVE", b"SPECIAL-USE",
                b"CHILDREN",
                b"ENABLE"} <= after
        assert b"STARTTLS" not in after


def test_no_password_crosses_without_tls(fresh_server):
    server = fresh_server({"login": {"allow_plain_without_tls": "never"}})
    account = server.add_account()
    with server.imap() as imap:
        offered = set(imap.ok("CAPABILITY").one(b"CAPABILITY").split())
        assert b"LOGINDISABLED" in offered and b"AUTH=PLAIN" not in offered and b"STARTTLS" in offered
        imap.no(b"LOGIN ", wire.quoted(account.address), b" ", wire.quoted(account.password), code=b"PRIVACYREQUIRED")
        imap.no(f"AUTHENTICATE PLAIN {plain(account)}")
        imap.start_tls(server.certificate)
        offered = set(imap.ok("CAPABILITY").one(b"CAPABILITY").split())
        assert b"LOGINDISABLED" not in offered and b"AUTH=PLAIN" in offered and b"STARTTLS" not in offered
        imap.login(account)
        imap.select()


def b64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("initial", [False, True])
def test_sasl_login_asks_for_name_and_password(server, account, initial):
    """draft-murchison-sasl-login section 2; the initial response is what RFC 4959 allows"""
    with server.imap() as imap:
        assert b"AUTH=LOGIN" in imap.ok("CAPABILITY").one(b"CAPABILITY").split()
        if initial:
            imap.line.send(f"a AUTHENTICATE LOGIN {b64(account.address)}\r\n".encode())
        else:
            imap.line.send(b"a AUTHENTICATE LOGIN\r\n")
            assert imap.line.read_line() == b"+ " + b64("Username:").encode()
            imap.line.send(b64(account.address).encode() + b"\r\n")
        assert imap.line.read_line() == b"+ " + b64("Password:").encode()
        imap.line.send(b64(account.password).encode() + b"\r\n")
        assert imap.line.read_line().startswith(b"a OK")
        imap.select()


@pytest.mark.parametrize("lines", [[b"*"], [b"dXNlcg==", b"*"], [b"!"], [b""], [b"dXNlcg==", b""], [b"AA=="]])
def test_a_broken_sasl_login_is_bad(server, account, lines):
    with server.imap() as imap:
        imap.line.send(b"a AUTHENTICATE LOGIN\r\n")
        for line in lines:
            assert imap.line.read_line().startswith(b"+ ")
            imap.line.send(line + b"\r\n")
        assert imap.line.read_line().startswith(b"a BAD")
        imap.login(account)


def test_starttls_twice_is_refused(server):
    with server.imap() as imap:
        imap.start_tls(server.certificate)
        imap.bad("STARTTLS")


def test_what_was_sent_before_tls_is_not_obeyed_after_it(server, account):
    """RFC 3501 section 6.2.1 and the command injection that many servers had."""
    with server.imap() as imap:
        imap.line.send(b"a STARTTLS\r\nb LOGIN " + account.address.encode() + b" " +
                       wire.quoted(account.password) + b"\r\n")
        try:
            assert imap.read_response().startswith(b"a OK")
            imap.line.unread = b""
            imap.line.start_tls(server.certificate)
            assert imap.command("SELECT INBOX").status == b"BAD"
        except (wire.Closed, OSError):
            pass


def test_a_wrong_password_is_no_and_the_same_as_no_such_user(server, account):
    with server.imap() as imap:
        first = imap.no(b"LOGIN ", wire.quoted(account.address), b" wrong", code=b"AUTHENTICATIONFAILED")
        second = imap.no(b"LOGIN nobody@example.test wrong", code=b"AUTHENTICATIONFAILED")
        assert first.text == second.text


def test_login_takes_literals(server, account):
    with server.imap() as imap:
        imap.ok("LOGIN ", wire.Literal(account.address.encode()), " ", wire.Literal(account.password.encode()))


def test_login_takes_non_synchronizing_literals(server, account):
    with server.imap() as imap:
        user, password = account.address.encode(), account.password.encode()
        imap.ok(b"LOGIN {%d+}\r\n%s {%d+}\r\n%s" % (len(user), user, len(password), password))


@pytest.mark.parametrize("initial", [True, False])
def test_authenticate_plain(server, account, initial):
    with server.imap() as imap:
        if initial:
            imap.ok(f"AUTHENTICATE PLAIN {plain(account)}")
        else:
            tag = imap.send("AUTHENTICATE PLAIN")
            assert imap.read_response().startswith(b"+ ")
            imap.line.send(plain(account).encode() + b"\r\n")
            assert imap.wait(tag).status == b"OK"
        imap.select()


@pytest.mark.parametrize("answer", [b"*", b"!!!", b"", b"AAAA"])
def test_a_broken_or_cancelled_authenticate_leaves_the_connection_usable(server, account, answer):
    with server.imap() as imap:
        tag = imap.send("AUTHENTICATE PLAIN")
        assert imap.read_response().startswith(b"+")
        imap.line.send(answer + b"\r\n")
        assert imap.wait(tag).status in (b"BAD", b"NO")
        imap.login(account)


def test_an_unknown_mechanism_is_no(server):
    with server.imap() as imap:
        imap.no("AUTHENTICATE FROB")


def test_commands_in_the_wrong_state_are_bad(server, account):
    with server.imap() as imap:
        imap.bad("SELECT INBOX")
        imap.bad("FETCH 1 FLAGS")
        imap.login(account)
        imap.bad("FETCH 1 FLAGS")
        imap.bad("EXPUNGE")
        imap.bad("CLOSE")
        imap.bad("LOGIN x y")
        imap.bad("STARTTLS")
        imap.select()


def test_what_is_pipelined_behind_login_is_answered(server, account):
    """access stops at the completed login and hands on what it has read."""
    with server.imap() as imap:
        imap.line.send(b"a LOGIN " + account.address.encode() + b" \"" + account.password.encode() +
                       b"\"\r\nb SELECT INBOX\r\nc NOOP\r\nd LOGOUT\r\n")
        seen = []
        while not seen or not seen[-1].startswith(b"d "):
            seen.append(imap.read_response())
        assert [line[:4] for line in seen if not line.startswith(b"*")] == [b"a OK", b"b OK", b"c OK", b"d OK"]


def test_the_log_follows_a_connection_without_its_password(fresh_server):
    server = fresh_server()
    account = server.add_account(password="extraordinarily-secret")
    with server.imap(account) as imap:
        imap.ok("LOGOUT")
    server.wait_for(lambda: account.address in server.log_text(), "the login in the log")
    assert "extraordinarily-secret" not in server.log_text()


def test_id_answers_and_takes_anything(server, account):
    with server.imap() as imap:
        name = dict(zip(*[iter(wire.parse(imap.ok("ID NIL").one(b"ID"))[0])] * 2))
        assert name[b"name"].lower() == b"mansio"
        imap.login(account)
        imap.ok('ID ("name" "tester" "version" NIL)')
        imap.bad("ID (")


def test_namespace_is_one_personal_root(server, account):
    with server.imap(account) as imap:
        assert wire.parse(imap.ok("NAMESPACE").one(b"NAMESPACE")) == [[[b"", b"/"]], None, None]


def test_enable_answers_what_it_enabled(server, account):
    with server.imap(account) as imap:
        assert imap.ok("ENABLE FROB").one(b"ENABLED") == b""
        imap.bad("ENABLE")


def test_no_wait_is_longer_than_the_longest_one_set(fresh_server):
    server = fresh_server({"login": {"failure_delay": "1ms", "failure_delay_max": "1ms"}})
    account = server.add_account()
    for _ in range(25):  # doubled each time it would be hours
        with server.imap() as imap:
            imap.no(f"LOGIN {account.address} wrong", code=b"AUTHENTICATIONFAILED")
