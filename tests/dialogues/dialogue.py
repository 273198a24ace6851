"""What both kinds of dialogues share: where they lie, a connection that sends what a script says, and the judgement.

A dialogue is run to its end whatever happens, and every difference between what its author expected and what came is
noted with the line of the script. The differences must be exactly those that disagreements.py explains: one more is
our fault, one less means that the list is out of date.
"""

import re
import typing

import pytest

import disagreements
from harness import wire
from harness.material import CORPORA

# An answer that does not come fails the dialogue; long enough for a busy machine.
TIMEOUT = 20


class Difference(typing.NamedTuple):
    line: int  # of the script
    text: str  # what was wanted, what came

    def __str__(self):
        return f"line {self.line}: {self.text}"


def folder(*names):
    """The folder of a corpus; the tests of the file are skipped where there is none."""
    path = CORPORA.joinpath(*names)
    if not path.is_dir():
        pytest.skip(f"no {names[0]} in the test corpora (MANSIO_CORPORA)", allow_module_level=True)
    return path


def judge(corpus, name, differences):
    """Compares the differences with those that are known."""
    known = disagreements.KNOWN.get(f"{corpus}/{name}", ())
    new = [str(one) for one in differences if not any(_is(one, entry) for entry in known)]
    gone = [f"line {line}: {entry.difference}" for entry in known for line in entry.lines
            if not any(one.line == line and _is(one, entry) for one in differences)]
    assert not new, "unexplained differences:\n" + "\n".join(new)
    assert not gone, "no longer seen, take them out of disagreements.py:\n" + "\n".join(gone)


def _is(difference, entry):
    return (difference.line in entry.lines
            and re.fullmatch(entry.difference, difference.text, re.DOTALL) is not None)


def short(value, limit=160):
    """For messages: one line, not too long."""
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    text = text.replace("\r", "\\r").replace("\n", "\\n")
    return text if len(text) <= limit else text[:limit] + "..."


class Connection:
    """An IMAP connection for scripts, which bring their own tags and may have several commands under way."""

    def __init__(self, line):
        line.sock.settimeout(TIMEOUT)
        self.client = wire.Imap(line)
        self.greeting = self.client.greeting

    def send(self, data):
        self.client.line.send(data)

    def read(self):
        return self.client.read_response()

    def login(self, account):
        return self.client.login(account)

    def close(self):
        self.client.close()


class Connections:
    """The connections of one dialogue, opened when first used and closed together."""

    def __init__(self, server):
        self.server = server
        self.open = {}

    def get(self, number, begin=lambda connection: None):
        if number not in self.open:
            self.open[number] = Connection(self.server.connect("imap"))
            begin(self.open[number])
        return self.open[number]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.open.values():
            connection.close()
