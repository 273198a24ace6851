"""The specification in each mode (base/pop3_policy.h): commands are answered as ever, only what QUIT does is another; and it
is done whole, or not at all. RFC 1939 section 6, RFC 2449 section 6.7."""

import time

import pytest

import pop3_specification as pop3
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


@pytest.mark.parametrize("mode", ["delete", "days"])
def test_a_quit_behind_retr_waits_until_the_message_has_left(server, mode):
    account = server.add_account()
    server.cli("account", "pop3", account.address, "--mode", mode, "--seen", "yes")
    server.deliver(account, message("large") + (b"y" * 70 + b"\r\n") * 500_000)
    with server.pop3(account) as client:
        client.line.send(b"RETR 1\r\nQUIT\r\n")
        assert client.line.read_line().startswith(b"+OK")  # and it goes away without having read it
    time.sleep(0.1)
    assert seen_and_there(server, account) == (1, 1, 0)
    with server.pop3(account) as client:
        client.line.send(b"RETR 1\r\nQUIT\r\n")
        client.line.read_line()
        client.read_multiline()
        assert client.line.read_line().startswith(b"+OK")
    assert seen_and_there(server, account) == ((0, 0, 0) if mode == "delete" else (1, 1, 1))


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
