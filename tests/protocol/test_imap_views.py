"""Several sessions work on one mailbox at random. Each one's picture of it, made of nothing but what it was told, must
stay true: numbers (RFC 3501 sections 5.2, 7.3.1, 7.4.1) and flags (6.4.6, 7.4.2). A failure names its seed."""

import random
import re

import pytest

from harness import wire
from harness.material import message

FLAGS = [b"\\Seen", b"\\Flagged", b"\\Deleted", b"$Work", b"other"]
KEEPS_NUMBERS = ("FETCH", "STORE", "SEARCH")


class View:
    """A session and its picture: uids by number (None: not told yet), flags by uid."""

    def __init__(self, client):
        self.client = client
        self.uids, self.flags = [], {}
        self.do("SELECT shared")
        self.learn_all()

    def do(self, command):
        answer = self.client.command(command)
        for line in answer.untagged:
            self.hear(line, may_expunge=not command.startswith(KEEPS_NUMBERS))
        return answer

    def hear(self, line, may_expunge):
        match = re.match(rb"\* (\d+) (EXISTS|EXPUNGE|FETCH) ?", line)
        if not match:
            return
        number = int(match.group(1))
        if match.group(2) == b"EXISTS":
            assert number >= len(self.uids), "EXISTS never takes a message away"
            self.uids += [None] * (number - len(self.uids))
            return
        assert 1 <= number <= len(self.uids), line
        if match.group(2) == b"EXPUNGE":
            assert may_expunge, line
            self.flags.pop(self.uids.pop(number - 1), None)
            return
        items = wire.parse(line[match.end():])[0]
        items = dict(zip(items[::2], items[1::2]))
        if b"UID" in items:
            uid = int(items[b"UID"])
            assert self.uids[number - 1] in (None, uid), f"number {number} was {self.uids[number - 1]}: {line!r}"
            self.uids[number - 1] = uid
        if self.uids[number - 1] and b"FLAGS" in items:
            self.flags[self.uids[number - 1]] = set(items[b"FLAGS"]) - {b"\\Recent"}

    def learn_all(self):
        self.do("UID FETCH 1:* (FLAGS)")

    def some(self):
        """A range of numbers, and the uids that it means."""
        first, last = sorted(random.randint(1, len(self.uids)) for _ in range(2))
        return f"{first}:{last}", self.uids[first - 1:last]

    def store(self):
        """Half of them silent: the client then knows by itself what its own command did."""
        numbers, uids = self.some()
        if None not in uids and random.random() < 0.5:
            numbers = f"{uids[0]}:{uids[-1]}"
            command = "UID STORE"
        else:
            command = "STORE"
        mode, flag, silent = random.choice("+- ").strip(), random.choice(FLAGS), random.random() < 0.5
        was = {uid: self.flags.get(uid, set()) for uid in uids if uid}
        answer = self.client.command(f"{command} {numbers} {mode}FLAGS{'.SILENT' * silent} ({flag.decode()})")
        if silent and answer.status == b"OK":
            for uid, old in was.items():
                self.flags[uid] = {"": {flag}, "+": old | {flag}, "-": old - {flag}}[mode]
        for line in answer.untagged:
            self.hear(line, may_expunge=command == "UID STORE")

    def check(self, truth):
        self.do("NOOP")
        assert len(self.uids) == len(truth)
        for uid, real in zip(self.uids, sorted(truth)):
            assert uid in (None, real)
            if real in self.flags:
                assert self.flags[real] == truth[real], f"uid {real}"


def truth(client):
    client.ok("EXAMINE shared")
    return {int(one[b"UID"]): set(one[b"FLAGS"]) - {b"\\Recent"}
            for one in client.ok("UID FETCH 1:* (FLAGS)").fetched().values()}


@pytest.mark.parametrize("seed", range(3))
def test_pictures_stay_true(server, account, seed):
    random.seed(seed)
    with server.imap(account) as witness:
        witness.ok("CREATE shared")
        for number in range(12):
            witness.append("shared", message(subject=str(number)))
        views = [View(server.imap(account)) for _ in range(3)]
        for _ in range(400):
            view = random.choice(views)
            what = random.random()
            if what < 0.1 or not view.uids:
                witness.append("shared", message(), random.choice(["", "\\Seen"]))
                view.do("NOOP")
            elif what < 0.5:
                view.store()
            elif what < 0.6:
                view.do(random.choice(["EXPUNGE", "UID EXPUNGE 1:*", "CHECK", "STATUS shared (MESSAGES)"]))
            elif what < 0.7:
                view.do(f"{random.choice(['COPY', 'MOVE'])} {view.some()[0]} {random.choice(['shared', 'Trash'])}")
            elif what < 0.8:
                view.do(f"FETCH {view.some()[0]} (UID FLAGS BODY[]<0.1>)")
            elif what < 0.85:
                view.learn_all()
            elif what < 0.9:
                found = [int(number) for number in view.do("SEARCH ALL").one(b"SEARCH").split()]
                assert found == sorted(set(found)) and found[-1:] <= [len(view.uids)]
            else:
                view.check(truth(witness))
        for view in views:
            view.check(truth(witness))
            view.client.close()
