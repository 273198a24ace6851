"""The dialogues of imaptest, one test each. A dialogue that needs a capability which we do not offer is skipped."""

import itertools
import re

import pytest

import dialogue
import imaptest_script as script
from harness import wire

FOLDER = dialogue.folder("imaptest")
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.suffix == "" and path.name != "SOURCE")
MAILBOX = "imaptest"


class Peer:
    """One connection of a dialogue, and which message has which sequence number there."""

    def __init__(self, connection):
        self.connection = connection
        self.tags = itertools.count(1)
        self.exists = 0

    def run(self, commands):
        """Sends the commands, then reads until each has its answer. Gives ({tag: status line}, [(raw response, values,
        sequence number at the start)]); commands are (tag, parts), the parts as of wire.Imap.send."""
        answers, responses = {}, []
        self.numbers = list(range(1, self.exists + 1))
        for tag, parts in commands:
            out = tag.encode() + b" "
            for part in parts:
                if not isinstance(part, wire.Literal):
                    out += part
                    continue
                self.connection.send(out + b"{%d}\r\n" % len(part))
                out = bytes(part)
                if not self._read_until(lambda raw: raw.startswith(b"+"), answers, responses, tag):
                    break  # refused before the literal
            else:
                self.connection.send(out + b"\r\n")
        while len(answers) < len(commands):
            self._take(self.connection.read(), answers, responses)
        return answers, responses

    def _read_until(self, is_it, answers, responses, tag):
        while tag not in answers:
            raw = self.connection.read()
            if is_it(raw):
                return True
            self._take(raw, answers, responses)
        return False

    def _take(self, raw, answers, responses):
        first, _, rest = raw.partition(b" ")
        if first != b"*":
            answers[first.decode()] = rest.decode("latin-1")
            return
        status = re.match(rb"(OK|NO|BAD|BYE|PREAUTH) (.*)", rest, re.DOTALL)
        if status:
            responses.append((raw, [one.decode("latin-1") for one in status.groups()], None))
            return
        values, original = wire.parse(rest), None
        if len(values) > 1 and values[0].isdigit():
            original = self._follow(int(values[0]), values[1].upper())
        responses.append((raw, values, original))

    def _follow(self, number, kind):
        """The sequence number that the message had when the command was sent."""
        if kind == b"EXISTS":
            self.numbers += [None] * (number - len(self.numbers))
            self.exists = number
            return None
        if kind == b"EXPUNGE":
            self.exists -= 1
            return self.numbers.pop(number - 1)
        return self.numbers[number - 1] if kind == b"FETCH" else None


class Run:
    def __init__(self, server, account, dialogue_script):
        self.script = dialogue_script
        self.account = account
        self.connections = dialogue.Connections(server)
        self.peers = {}
        self.mail = itertools.cycle(dialogue_script.mail)
        self.differences = []
        self.variables = {"mailbox": MAILBOX, "mailbox_url": MAILBOX, "user": account.address, "tag": "*",
                          "username": account.address, "domain": "example.test"}

    def peer(self, number):
        if number not in self.peers:
            self.peers[number] = Peer(self.connections.get(number))
            if self.script.state != "nonauth":
                self.peers[number].connection.login(self.account)
        return self.peers[number]

    def prepare(self):
        """Brings every connection into the state that the header asks for."""
        order = ["nonauth", "auth", "created", "appended", "selected"]
        reached = order.index(self.script.state)
        if reached >= order.index("created"):
            self.must(1, f"CREATE {MAILBOX}")
        if reached >= order.index("appended"):
            messages = self.script.messages
            for _ in range(len(self.script.mail) if messages == "all" else int(messages)):
                self.must(1, "append")
        for number in range(1, self.script.connections + 1):
            self.peer(number)
            if reached >= order.index("selected"):
                self.must(number, f"SELECT {MAILBOX}")

    def must(self, number, text):
        answers, _ = self.peer(number).run([("p", self.parts(text))])
        assert answers["p"].startswith("OK"), f"{text}: {answers['p']}"

    def parts(self, text):
        """A command as wire.Imap.send takes it; APPEND without a message gets the next one of the mailbox file."""
        word, _, rest = text.strip().partition(" ")
        if word.lower() == "append" and "{{{" not in text and "catenate" not in text:
            date, message = next(self.mail)
            head = script.expand(rest.strip() or "$mailbox", self.variables)
            return [f'APPEND {head} "{date}" '.encode(), wire.Literal(message), b""]
        parts = []
        for index, one in enumerate(re.split(r"\{\{\{\n(.*?)\n\}\}\}", text, flags=re.DOTALL)):
            parts.append(wire.Literal(one.replace("\n", "\r\n").encode()) if index % 2
                         else script.expand(one, self.variables).encode())
        return parts

    def differ(self, line, text):
        self.differences.append(dialogue.Difference(line, text))

    def step(self, step):
        peer = self.peer(step.connection)
        tags = {one.tag: one.tag or f"a{next(peer.tags)}" for one in step.commands}
        self.variables["tag"] = next(iter(tags.values()))
        answers, responses = peer.run([(tags[one.tag], self.parts(one.text)) for one in step.commands])
        for name, reply in step.replies.items():
            got = answers[tags[name]]
            if reply.status and not got.lower().startswith(reply.status):
                self.differ(step.line, f"{reply.status.upper()} wanted, {dialogue.short(got)}")
            elif reply.code and not script.match_code(reply.code, got.partition(" ")[2], self.variables):
                self.differ(step.line, f"[{reply.code.upper()}] wanted, {dialogue.short(got)}")
        self.compare(step.wants, responses)

    def compare(self, wants, responses):
        left = list(responses)
        for want in wants:
            found = next((one for one in left
                          if script.match_response(want.text, one[1], one[2], self.variables)), None)
            if want.sign == "*" and found is None:
                self.differ(want.line, f"{dialogue.short(want.text)} wanted, came: "
                                       f"{dialogue.short(b' / '.join(one[0] for one in responses), 600)}")
            elif want.sign == "!" and found is not None:
                self.differ(want.line, f"{dialogue.short(want.text)} not wanted, {dialogue.short(found[0])}")
            elif want.sign == "*":
                left.remove(found)

    def go(self):
        with self.connections:
            self.prepare()
            for step in self.script.steps:
                self.step(step)
        return self.differences


@pytest.fixture(scope="module")
def capabilities(server):
    """Before and after login together: what a dialogue may count on."""
    with server.imap() as before, server.imap(server.add_account()) as after:
        return {one.decode().upper() for client in (before, after)
                for one in client.ok("CAPABILITY").one(b"CAPABILITY").split()}


@pytest.mark.parametrize("name", NAMES)
def test_dialogue(server, capabilities, name):
    one = script.Script(FOLDER / name)
    lacking = [capability for capability in one.capabilities if capability not in capabilities]
    if lacking:
        pytest.skip(f"{name} needs {' '.join(lacking)}")
    run = Run(server, server.add_account(), one)
    dialogue.judge("imaptest", name, run.go())
