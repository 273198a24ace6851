"""App passwords: named, made by the server and shown once, good for some protocols, void when they are removed."""

import base64
import contextlib
import os
import re
import signal

import pytest

from harness.clock import DAY, Clock
from harness.material import message
from harness.server import Account


def add(server, account, name, *options):
    """The account with its new app password."""
    answer = server.cli_json("account", "app-password", "add", account.address, name, *options)
    return Account(address=account.address, password=answer["password"])


def names(server, account):
    return [one["name"] for one in server.cli_json("account", "app-password", "list", account.address)]


def may_log_in(server, account, protocol):
    clients = {"imap": server.imap, "pop3": server.pop3, "smtp": server.submission}
    try:
        with clients[protocol](account):
            return True
    except AssertionError:
        return False


def test_it_is_shown_once_and_logs_in(server):
    account = server.add_account()
    answer = server.cli_json("account", "app-password", "add", account.address, "phone")
    assert answer["address"] == account.address and answer["name"] == "phone"
    assert answer["protocols"] == ["imap", "pop3", "smtp"]
    password = answer["password"]
    assert re.fullmatch(r"([a-z2-9]{4}-){4}[a-z2-9]{4}", password)
    app = Account(address=account.address, password=password)
    assert may_log_in(server, app, "imap") and may_log_in(server, app, "pop3")
    assert may_log_in(server, account, "imap") and may_log_in(server, account, "pop3")
    assert password not in str(server.cli_json("account", "app-password", "list", account.address))
    assert password.encode() not in server.log.read_bytes()
    text = server.cli("account", "app-password", "list", account.address).stdout
    assert "phone" in text and "imap,pop3,smtp" in text


def test_it_is_good_for_its_protocols_only(server):
    account = server.add_account()
    imap = add(server, account, "reader", "--protocols", "imap")
    pop3 = add(server, account, "fetcher", "--protocols", "pop3")
    both = add(server, account, "both", "--protocols", "imap,pop3")
    assert may_log_in(server, imap, "imap") and not may_log_in(server, imap, "pop3")
    assert not may_log_in(server, pop3, "imap") and may_log_in(server, pop3, "pop3")
    assert may_log_in(server, both, "imap") and may_log_in(server, both, "pop3")
    smtp = add(server, account, "sender", "--protocols", "smtp")
    assert may_log_in(server, smtp, "smtp") and not may_log_in(server, smtp, "imap")
    assert not may_log_in(server, both, "smtp")


def test_what_is_removed_is_void_at_once_and_its_sessions_end(server):
    account = server.add_account()
    app, other = add(server, account, "phone"), add(server, account, "tablet")
    with server.imap(app) as mine, server.pop3(app) as fetching, server.imap(other) as others:
        mine.select()
        server.cli("account", "app-password", "remove", account.address, "phone")
        assert not may_log_in(server, app, "imap") and not may_log_in(server, app, "pop3")
        assert mine.line.closed() and fetching.line.closed()
        others.select()
    assert may_log_in(server, other, "imap") and may_log_in(server, account, "imap")
    assert names(server, account) == ["tablet"]
    again = add(server, account, "phone")
    assert may_log_in(server, again, "imap") and not may_log_in(server, app, "imap")


@contextlib.contextmanager
def stopped(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_login_that_is_under_way_when_it_is_removed_gets_no_session(fresh_server):
    server = fresh_server()
    account = server.add_account()
    app = add(server, account, "phone")
    auth, access = server.role_pids("auth"), server.role_pids("access")
    pop3 = server.pop3()
    pop3.ok(f"USER {app.address}")
    with contextlib.ExitStack() as until_removed:
        with stopped(auth):
            pop3.line.send(f"PASS {app.password}\r\n".encode())
            with server.pop3() as other:
                other.multiline("CAPA")  # access has asked auth
            until_removed.enter_context(stopped(access))
        assert names(server, account) == ["phone"]  # auth has answered access
        server.cli("account", "app-password", "remove", account.address, "phone")
        assert names(server, account) == []
    assert not pop3.line.read_line().startswith(b"+OK")


def test_it_logs_in_whatever_the_time_of_day_was_and_is(fresh_server):
    """What was removed is remembered by another clock: one in 1966 took all tickets for those of removed app passwords."""
    with contextlib.closing(Clock()) as clock:
        server = fresh_server(environment=clock.environment)
        account = server.add_account()
        app, gone = add(server, account, "phone"), add(server, account, "lost")
        for days in (0, -60 * 365, 400):
            clock.set(days * DAY)
            assert may_log_in(server, app, "imap") and may_log_in(server, app, "pop3")
        server.cli("account", "app-password", "remove", account.address, "lost")
        clock.set(0)
        assert may_log_in(server, app, "imap") and not may_log_in(server, gone, "imap")


def test_it_logs_in_by_sasl_too(server):
    account = server.add_account()
    app = add(server, account, "phone")
    plain = base64.b64encode(f"\0{app.address}\0{app.password}".encode()).decode()
    with server.pop3() as pop3:
        pop3.ok(f"AUTH PLAIN {plain}")
        pop3.ok("STAT")


def test_a_wrong_one_is_answered_as_any_wrong_password_is(server):
    account, other = server.add_account(), server.add_account()
    app = add(server, account, "phone", "--protocols", "imap")

    def answer(address, password):
        with server.pop3() as pop3:
            pop3.ok(f"USER {address}")
            return pop3.error(f"PASS {password}", code="AUTH")

    answers = {answer(account.address, app.password),          # another protocol
               answer(account.address, app.password[:-1] + "~"),
               answer(other.address, app.password),            # another account
               answer("nobody@example.test", app.password)}
    assert len(answers) == 1


def test_it_belongs_to_one_account(server):
    alice, bob = server.add_account(), server.add_account()
    app = add(server, alice, "phone")
    assert not may_log_in(server, Account(address=bob.address, password=app.password), "imap")
    assert names(server, bob) == []


def test_the_password_of_the_account_changes_by_itself(server):
    account = server.add_account()
    app = add(server, account, "phone")
    server.cli("account", "password", account.address, "--password-file", "-", input="another one\n")
    assert may_log_in(server, app, "pop3") and not may_log_in(server, account, "pop3")


def test_when_it_was_used_last_is_noted(fresh_server):
    server = fresh_server()
    account = server.add_account()
    app = add(server, account, "phone")
    add(server, account, "tablet")
    assert may_log_in(server, app, "imap")
    for _ in range(2):  # at once, and after a restart
        listed = server.cli_json("account", "app-password", "list", account.address)
        used = {one["name"]: one["last_used"] for one in listed}
        assert used["phone"] > 1_600_000_000 and used["tablet"] is None
        server.restart()


def test_it_is_there_after_a_restart_and_while_the_server_is_down(fresh_server):
    server = fresh_server()
    account = server.add_account()
    app = add(server, account, "phone")
    server.stop()
    assert names(server, account) == ["phone"]
    down = add(server, account, "made while it was down")
    server.start()
    assert may_log_in(server, app, "imap") and may_log_in(server, down, "imap")


@pytest.mark.parametrize("arguments,code", [
    (["add", "nobody@example.test", "phone"], 3),
    (["add", "{account}", "there"], 4),
    (["add", "{account}", "x" * 65], 2),
    (["add", "{account}", "a\tb"], 2),
    (["add", "{account}", "new", "--protocols", "imap,ftp"], 2),
    (["remove", "{account}", "not there"], 3),
    (["remove", "{account}"], 2),
    (["list"], 2),
    (["frob", "{account}"], 2),
    (["list", "{account}", "--protocols", "imap"], 2),
])
def test_mistakes_are_said(server, arguments, code):
    account = server.add_account()
    add(server, account, "there")
    arguments = [one.replace("{account}", account.address) for one in arguments]
    assert server.cli("account", "app-password", *arguments, check=False).returncode == code
