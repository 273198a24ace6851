"""The dialogues of James's protocol tests, one test each, compared by meaning (james_compare.py). Those that need an
extension which we do not offer are skipped; where we and James part, disagreements.py says which RFC decides."""

import base64
import fnmatch
import re

import pytest

import dialogue
import james_compare
import james_script as script
from harness import wire

FOLDER = dialogue.folder("james-mpt-imap", "imap", "scripts")
NAMES = sorted(path.relative_to(FOLDER).as_posix().removesuffix(".test") for path in FOLDER.rglob("*.test")
               if not path.name.startswith("SelectedState"))

# What a dialogue needs, by the pattern of its name: a capability, or where it begins with a "-" none may be offered.
NEEDS = {
    "ACL*": "ACL", "aclIntegration/*": "ACL", "Sharing*": "ACL", "Metadata*": "METADATA", "Replace": "REPLACE",
    "FetchNILSaveDate": "SAVEDATE", "SearchOptionSave": "SEARCHRES", "CondstoreDisable": "-CONDSTORE",
}

# Begin in the state that SelectedStateSetup makes: four messages in "selected", which is selected.
SELECTED = {
    "Copy", "FetchBodyNoSection", "FetchInternalDate", "FetchNILSaveDate", "FetchPeek", "FetchRFC822Header",
    "FetchRFC822Text", "FetchText", "RenameHierarchy", "RenameSelected", "Search", "Store", "Uid",
}
# Begin before the login.
ANONYMOUS = {"AuthenticatePlain", "JustTag", "Login", "NoCommand", "SharedMailbox", "Welcome"}

# Mailboxes that James's test programs make beforehand.
MAILBOXES = {"AuthenticatePlain": ["imapuser"],
             "ListSpecialChar": ["projects &- abc", "&AOk-valuations", "mailbox #17"]}

USER = "imapuser"
PASSWORD = "password"
HIERARCHICAL = re.compile(r"(?i)\S+ (CREATE|DELETE|RENAME|LIST|LSUB|SUBSCRIBE|UNSUBSCRIBE|STATUS|SELECT|EXAMINE) ")


def test_every_dialogue_is_known():
    assert SELECTED | ANONYMOUS <= set(NAMES)


class Run:
    def __init__(self, server, account, name):
        self.name = name
        self.account = account
        self.connections = dialogue.Connections(server)
        self.differences = []

    def begin(self, connection):
        if self.name not in ANONYMOUS:
            connection.login(self.account)

    def translate(self, text):
        """A client's line with our account, and with our hierarchy delimiter in names."""
        if HIERARCHICAL.match(text):
            verb = " ".join(text.split(" ")[:2])
            text = verb + text[len(verb):].replace(".", "/")
        # RFC 3501 section 9: SP is one space; more of them are not what these dialogues are about
        text = re.sub(r"^(\S+ STORE \S+)  +", r"\1 ", text)
        if re.match(r"\S+ (UID )?SEARCH ", text):
            text = text.replace("( ", "(").replace(" )", ")")
        if match := re.fullmatch(r"(\S+ LOGIN )imapuser (.*)", text):
            return f"{match.group(1)}{self.account.address} {match.group(2)}"
        if match := re.fullmatch(r"(\S+ AUTHENTICATE PLAIN )(\S+)", text):
            plain = base64.b64decode(match.group(2)).replace(USER.encode(), self.account.address.encode())
            return match.group(1) + base64.b64encode(plain).decode()
        return text

    def listen(self, connection, hears):
        """Reads as much as the dialogue waits for."""
        got = []
        tags = {one.pattern.split(" ")[0] for one in hears if re.match(r"[\w.]+ (OK|NO|BAD)\b", one.pattern)}
        try:
            while tags or not got:
                got.append(connection.read().decode("latin-1"))
                tags.discard(got[-1].split(" ")[0])
        except wire.Closed:
            got.append("closed")
        return got

    def prepare(self):
        """An account as James's: INBOX alone, and what the dialogue expects."""
        with self.connections.server.imap(self.account) as client:
            for name in set(client.list()) - {b"INBOX"}:
                client.ok("DELETE ", wire.quoted(name))
            for name in set(client.list(command="LSUB")) - {b"INBOX"}:
                client.ok("UNSUBSCRIBE ", wire.quoted(name))
            for name in MAILBOXES.get(self.name, ()):
                client.ok("CREATE ", wire.quoted(name))

    def turn(self, turn):
        is_new = turn.connection not in self.connections.open
        connection = self.connections.get(turn.connection, self.begin)
        for say in turn.says:
            connection.send(self.translate(say.text).encode() + b"\r\n")
        is_greeting = is_new and self.name in ANONYMOUS and not turn.says
        got = [connection.greeting.decode()] if is_greeting else self.listen(connection, turn.hears)
        self.compare(turn, got)

    def compare(self, turn, got):
        command = turn.says[0].text if turn.says else ""
        line = turn.says[0].line if turn.says else turn.hears[0].line
        for hear in turn.hears:
            status = re.match(r"[\w.]+ (OK|NO|BAD)\b|\\\+", hear.pattern)
            if status is None:
                continue
            wanted = status.group(0).replace("\\", "").strip()
            if not any(one.startswith(wanted) for one in got):
                # what was refused has no data to compare
                last = next((one for one in reversed(got) if not one.startswith("*")), "nothing")
                self.differ(line, f"{wanted} wanted, came {dialogue.short(last)}")
                return
        untagged = [one for one in got if one.startswith("* ")]
        wants = [one for one in turn.hears if one.pattern.startswith(r"\*")]
        is_select = re.match(r"\S+ (SELECT|EXAMINE)\b", command, re.IGNORECASE) is not None
        for place, text in james_compare.untagged(wants, untagged, is_select):
            self.differ(place or line, text)

    def differ(self, line, text):
        self.differences.append(dialogue.Difference(line, text))

    def go(self):
        self.prepare()
        with self.connections:
            if self.name in SELECTED:
                for turn in script.read(FOLDER / "SelectedStateSetup.test"):
                    self.turn(turn)
                assert not self.differences
            for turn in script.read(FOLDER / f"{self.name}.test"):
                self.turn(turn)
        return self.differences


@pytest.fixture(scope="module")
def capabilities(server):
    with server.imap(server.add_account()) as client:
        return {one.decode().upper() for one in client.ok("CAPABILITY").one(b"CAPABILITY").split()}


@pytest.mark.parametrize("name", NAMES)
def test_dialogue(server, capabilities, name):
    for pattern, need in NEEDS.items():
        if fnmatch.fnmatchcase(name, pattern) and (need.removeprefix("-") in capabilities) == need.startswith("-"):
            pytest.skip(f"{name} needs {need.removeprefix('-')}{' not to be offered' if need[0] == '-' else ''}")
    run = Run(server, server.add_account(password=PASSWORD), name)
    dialogue.judge("james-mpt-imap", name, run.go())
