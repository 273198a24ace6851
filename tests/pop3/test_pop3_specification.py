"""Says every line of pop3_specification.py to a server, each in a session of its own, and looks at the whole answer:
its status, its response code, that it is one line where it should be one, that an error changes nothing, and that the
session goes on behind it as it should."""

import base64
import collections
import re

import pytest

import pop3_specification as pop3
from harness import server as harness_server
from harness.material import message

SETTINGS = {"pop3": {"utf8": True}}
MESSAGES = {pop3.OPEN: 3, pop3.MARKED: 2, pop3.EMPTY: 0}


def plain(user, password, act_for=""):
    """RFC 4616's one message, in base64."""
    return base64.b64encode(f"{act_for}\0{user}\0{password}".encode()).decode()


class World:
    """Two servers (one wants TLS before passwords) and two accounts that no case changes."""

    def __init__(self, server):
        self.server = server
        self.locked = harness_server.Server(
            {**SETTINGS, "login": {**harness_server.DEFAULTS["login"], "allow_plain_without_tls": "never"}})
        self.locked.start()
        self.open = self.account_with_mail()
        self.empty = server.add_account()

    def account_with_mail(self):
        account = self.server.add_account()
        for number in range(1, 4):
            self.server.deliver(account, message(f"number {number}", f"line 1\r\n.line 2 of {number}\r\n"))
        return account

    def enter(self, state, line):
        """(client in this state, account)"""
        account = self.empty if state == pop3.EMPTY else self.open
        if state == pop3.MARKED and line == "QUIT":
            account = self.account_with_mail()
        server = self.locked if state == pop3.LOCKED else self.server
        client = server.pop3(account if state in pop3.TRANSACTION else None)
        if state == pop3.NAMED:
            client.ok(f"USER {account.address}")
        elif state == pop3.ENCRYPTED:
            client.start_tls(server.certificate)
        elif state == pop3.WIDE:
            client.ok("UTF8")
        elif state == pop3.CHALLENGED:
            client.line.send(b"AUTH PLAIN\r\n")
            assert client.line.read_line() == b"+ "
        elif state == pop3.MARKED:
            client.ok("DELE 2")
        return client, account


@pytest.fixture(scope="module")
def world(server):
    one = World(server)
    yield one
    one.locked.close()


def check_status(answer, rule):
    if rule.answer.startswith(pop3.GO_ON):
        assert answer == rule.answer.encode()
        return
    assert len(answer) <= 510 and re.fullmatch(rb"(\+OK|-ERR) [ -~]+", answer), answer
    status, text = answer[:4].rstrip().decode(), answer.split(b" ", 1)[1].decode()
    code = re.match(r"\[([^\]]+)\]", text)
    found = f"{status} [{code.group(1)}]" if code else status
    assert found == (rule.answer if rule.answer.startswith("-ERR") else pop3.OK), answer
    if rule.says:
        assert re.fullmatch(rule.says, text), answer


def check_rest(client, state, rule, server):
    """What follows the first line of the answer: nothing more than the rule says; and an error changes nothing."""
    if rule.answer == pop3.LINES:
        client.read_multiline()
    elif rule.answer.startswith(pop3.GO_ON):
        client.error("*")
    elif rule.answer == pop3.TLS:
        client.line.start_tls(server.certificate)
    elif rule.answer == pop3.BYE:
        assert not client.line.unread and client.line.closed()
        return
    assert client.ok("LANG *").startswith(b"+OK en "), "the next command gets the next answer"
    if rule.answer.startswith("-ERR") and state in pop3.TRANSACTION:
        assert client.stat()[0] == MESSAGES[state]
    elif rule.answer.startswith("-ERR"):
        client.error("STAT")
    assert not client.line.unread


def name_of(case):
    state, line, rule = case
    shown = re.sub(r"(.)\1{20,}", lambda run: f"{run.group(1)}*{len(run.group())}", line)
    return f"{state}: {shown!r} -> {rule.answer}".replace("\\\\", "\\")


@pytest.mark.parametrize("case", pop3.cases(), ids=name_of)
def test_the_answer_is_the_specified_one(world, case):
    state, line, rule = case
    client, account = world.enter(state, line)
    with client:
        said = line.format(user=account.address, password=account.password,
                           plain=plain(account.address, account.password), plain_wrong=plain(account.address, "wrong"),
                           plain_as_other=plain(account.address, account.password, "somebody@example.test"))
        client.line.send(said.encode() + b"\r\n")
        check_status(client.line.read_line(), rule)
        check_rest(client, state, rule, world.locked if state == pop3.LOCKED else world.server)


# ---------------------------------------------------------------------- is the specification whole?

def kinds_of_arguments():
    """{(state, command): kinds of arguments that it is specified with}"""
    found = collections.defaultdict(set)
    for state, line, _ in pop3.cases():
        if line.split(" ")[0].upper() in pop3.COMMANDS:
            command, kind = pop3.arguments(line)
            found[state, command].add(kind)
    return found


def test_every_command_is_specified_in_every_state_with_good_bad_and_missing_arguments():
    found = kinds_of_arguments()
    lacking = {(state, command): wanted - found[state, command]
               for state in pop3.STATES for command, (_, has_any) in pop3.COMMANDS.items()
               if (wanted := {pop3.GOOD, pop3.BAD} | ({pop3.MISSING} if has_any else set())) - found[state, command]}
    assert not lacking


def test_every_command_is_specified_as_a_response_to_a_challenge():
    """There it is no command, and has no arguments."""
    found = kinds_of_arguments()
    assert all(found[pop3.CHALLENGED, command] for command in pop3.COMMANDS)


def test_every_command_succeeds_somewhere():
    """(and only with good arguments, or without where these may be missing)"""
    good = {pop3.arguments(line) for state, line, rule in pop3.cases()
            if state != pop3.CHALLENGED and line.split(" ")[0].upper() in pop3.COMMANDS
            and not rule.answer.startswith("-ERR")}
    assert {command for command, _ in good} == set(pop3.COMMANDS)
    assert not {command for command, kind in good if kind == pop3.BAD}


def test_nothing_is_specified_twice():
    counts = collections.Counter((state, line) for state, line, _ in pop3.cases())
    assert not [case for case, count in counts.items() if count > 1]


def test_every_rule_names_its_sentence():
    for rule in pop3.RULES:
        assert re.fullmatch(r"\d{4} section [\d.]+", rule.source) and rule.meaning, rule
