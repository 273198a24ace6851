"""Random IMAP, POP3 and LMTP by eight clients of one account, one command after the other, against a model in memory.

Each client has a view of its own; every untagged line is compared (world.py, sessions.py). Hypothesis draws the
commands and, where the server and the model differ, looks for a short sequence that still shows it. In `make test` the
sequences are the same each time; `make model ROUNDS=1000` draws new ones.
"""

import os

import pytest
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from harness.server import is_sanitized

from sessions import TOKEN_FIELD, ImapClient, Pop3Client, message_with
from world import Message, World

CLIENTS = 8
POP3_CLIENTS = 2  # of them, when they take to POP3
NAMES = ["INBOX", "one", "two", "one/below", "one/below/deep", "Trash"]
FLAGS = ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft", "first", "$Second"]
STEPS = 60
ROUNDS = int(os.environ.get("MANSIO_MODEL_ROUNDS", 0))
SHORT_ROUNDS = 15 if is_sanitized() else 50

# So far away that the server says what it counts, and refuses nothing.
SETTINGS = {"quota": {"messages": 1000000, "bytes": "1TB"}}

pytestmark = pytest.mark.smoke
which = strategies.integers(0, CLIENTS - 1)
mailbox_name = strategies.sampled_from(NAMES)
used_name = strategies.sampled_from(["INBOX", "INBOX", "INBOX", "one", "one", *NAMES])
place = strategies.integers(0, 30)
by_uid = strategies.sampled_from(["UID ", ""])
some_flags = strategies.frozensets(strategies.sampled_from(FLAGS), max_size=3)

# SEARCH keys and what they mean (RFC 3501 section 6.4.4).
SEARCHES = {
    "ALL": lambda number, uid, message, recent: True,
    "RECENT": lambda number, uid, message, recent: recent,
    "OLD": lambda number, uid, message, recent: not recent,
    "NEW": lambda number, uid, message, recent: recent and "\\Seen" not in message.flags,
    **{key: lambda number, uid, message, recent, flag=flag: flag in message.flags
       for key, flag in {"SEEN": "\\Seen", "ANSWERED": "\\Answered", "FLAGGED": "\\Flagged", "DELETED": "\\Deleted",
                         "DRAFT": "\\Draft", "KEYWORD first": "first", "KEYWORD $Second": "$Second"}.items()},
    **{key: lambda number, uid, message, recent, flag=flag: flag not in message.flags
       for key, flag in {"UNSEEN": "\\Seen", "UNDELETED": "\\Deleted", "UNKEYWORD first": "first",
                         "NOT DRAFT": "\\Draft"}.items()},
    "1:*": lambda number, uid, message, recent: True,
    "UID 2:4": lambda number, uid, message, recent: 2 <= uid <= 4,
}


class Machine(RuleBasedStateMachine):
    server = None  # of the test

    def __init__(self):
        super().__init__()
        self.account = self.server.add_account()
        with self.server.imap(self.account) as imap:
            self.world = World(name.decode() for name in imap.list())
            self.appends_many = b"MULTIAPPEND" in imap.ok("CAPABILITY").one(b"CAPABILITY").split()
        self.clients = [None] * CLIENTS
        self.pop3 = {}
        self.tokens = 0
        client = self.client(0)
        client.ok("CREATE one", effect=lambda _: self.world.create("one"))
        for name in ["INBOX"] * 6 + ["one"] * 3:
            client.append(name, [(self.token(), FLAGS[:self.tokens % 4])])

    def teardown(self):
        try:
            for client in self.clients:
                if client is not None:
                    client.stop_idling()
                    client.ok("NOOP")
            self.check_everything()
        finally:
            for client in [*self.clients, *self.pop3.values()]:
                if client is not None:
                    client.close()

    def check_everything(self):
        """Eyes that see it for the first time."""
        client = ImapClient("witness", self.server, self.account, self.world)
        try:
            client.check_list()
            sizes = []
            for name in self.world.mailboxes:
                client.select(name, read_only=True)
                if client.view.uids:
                    client.fetch("UID ", client.view.uids, "FLAGS")
                    client.fetch("UID ", client.view.uids, TOKEN_FIELD)
                sizes += client.check_sizes()
            client.check_usage(sizes)
        finally:
            client.close()

    # ------------------------------------------------------------------ which client, which messages

    def client(self, number):
        """One that is ready for a command."""
        if self.clients[number] is None:
            self.clients[number] = ImapClient(f"client {number}", self.server, self.account, self.world)
        self.clients[number].stop_idling()
        return self.clients[number]

    def selected(self, number):
        client = self.client(number)
        if client.view is None:
            client.select("INBOX", read_only=False)
        return client

    @staticmethod
    def some(client, first, count):
        """Uids that follow one another in its view; they may be gone."""
        uids = client.view.uids
        first = first % len(uids) if uids else 0
        return uids[first:first + count]

    def token(self):
        self.tokens += 1
        return b"m%d" % self.tokens

    # ------------------------------------------------------------------ mail comes

    @rule(number=which, name=used_name, flags=some_flags, count=strategies.integers(1, 3))
    def append(self, number, name, flags, count):
        count = count if self.appends_many else 1
        self.client(number).append(name, [(self.token(), flags) for _ in range(count)])

    @rule(count=strategies.integers(1, 3))
    def deliver(self, count):
        for _ in range(count):
            token = self.token()
            self.server.deliver(self.account, message_with(token))
            self.world.add(self.world.mailboxes["INBOX"], [Message(token)])
            self.world.tell_idlers()

    # ------------------------------------------------------------------ the selected mailbox

    @rule(number=which, name=used_name, read_only=strategies.sampled_from([False, False, True]))
    def select(self, number, name, read_only):
        self.client(number).select(name, read_only)

    @rule(number=which, prefix=by_uid, first=place, count=strategies.integers(1, 6), flags=some_flags,
          mode=strategies.sampled_from(["+", "-", ""]), is_silent=strategies.booleans())
    def store(self, number, prefix, first, count, flags, mode, is_silent):
        client = self.selected(number)
        uids = self.some(client, first, count)
        if uids:
            client.store(prefix, uids, mode, flags, is_silent)

    @rule(number=which, prefix=by_uid, first=place, count=strategies.integers(1, 9),
          items=strategies.sampled_from(["FLAGS", "BODY[]", TOKEN_FIELD]))
    def fetch(self, number, prefix, first, count, items):
        client = self.selected(number)
        uids = self.some(client, first, count)
        if uids:
            client.fetch(prefix, uids, items)

    @rule(number=which, prefix=by_uid, first=place, count=strategies.integers(1, 6), name=used_name,
          is_move=strategies.booleans())
    def copy(self, number, prefix, first, count, name, is_move):
        client = self.selected(number)
        uids = self.some(client, first, count)
        if uids:
            client.copy(prefix, uids, name, is_move)

    @rule(number=which, first=place, count=strategies.integers(1, 6), by_name=strategies.booleans())
    def expunge(self, number, first, count, by_name):
        client = self.selected(number)
        uids = self.some(client, first, count)
        if uids:
            client.store("UID ", uids, "+", {"\\Deleted"}, True)
            client.expunge(uids if by_name else None)

    @rule(number=which, line=strategies.sampled_from(["CLOSE", "UNSELECT", "LOGOUT"]))
    def leave(self, number, line):
        client = self.selected(number)
        if line == "LOGOUT":
            client.command(line)
            client.close()
            self.clients[number] = None
        else:
            client.leave(line)

    @rule(number=which, prefix=by_uid, criteria=strategies.sampled_from(sorted(SEARCHES)))
    def search(self, number, prefix, criteria):
        self.selected(number).search(prefix, criteria, SEARCHES[criteria])

    @rule(number=which, line=strategies.sampled_from(["NOOP", "CHECK"]))
    def look(self, number, line):
        self.selected(number).ok(line)

    # Of several that idle, which one hears first, and has \Recent, is the server's affair: one at a time.
    @rule(number=which)
    def idle(self, number):
        for client in self.clients:
            if client is not None:
                client.stop_idling()
        self.selected(number).start_idling()

    # ------------------------------------------------------------------ mailboxes

    @rule(number=which, name=mailbox_name, is_removal=strategies.booleans())
    def create_or_delete(self, number, name, is_removal):
        client = self.client(number)
        if is_removal:
            self.delete(client, name)
        elif name in self.world.mailboxes:
            client.no(b"ALREADYEXISTS", f'CREATE "{name}"')
        else:
            client.ok(f'CREATE "{name}"', effect=lambda _: self.world.create(name))

    def delete(self, client, name):
        line = f'DELETE "{name}"'
        if name == "INBOX":
            client.no(b"CANNOT", line)
        elif name not in self.world.mailboxes:
            client.no(b"NONEXISTENT", line)
        else:
            if client.view and client.view.mailbox is self.world.mailboxes[name]:
                client.view.close()
                client.view = None
            client.ok(line)
            bereft = self.world.delete(name)
            for place_of, other in enumerate(self.clients):
                if other is not None and other.view in bereft:
                    other.hear_bye()
                    other.close()
                    self.clients[place_of] = None

    @rule(number=which, old=mailbox_name, new=mailbox_name)
    def rename(self, number, old, new):
        client = self.client(number)
        line = f'RENAME "{old}" "{new}"'
        code = self.world.can_rename(old, new)
        if code:
            client.no(code, line)
        else:
            client.ok(line, effect=lambda _: self.world.rename(old, new))

    @rule(number=which, name=mailbox_name)
    def look_at_mailboxes(self, number, name):
        self.client(number).check_list()
        self.client(number).check_status(name)

    # ------------------------------------------------------------------ POP3

    @rule(number=strategies.integers(0, POP3_CLIENTS - 1))
    def open_maildrop(self, number):
        if number not in self.pop3:
            self.pop3[number] = Pop3Client(f"POP3 client {number}", self.server, self.account, self.world)

    @precondition(lambda self: self.pop3)
    @rule(number=place, first=place, is_removal=strategies.booleans())
    def use_maildrop(self, number, first, is_removal):
        client = list(self.pop3.values())[number % len(self.pop3)]
        if client.uids:
            (client.mark if is_removal else client.retrieve)(first % len(client.uids) + 1)

    @precondition(lambda self: self.pop3)
    @rule(number=place, is_orderly=strategies.booleans())
    def leave_maildrop(self, number, is_orderly):
        client = self.pop3.pop(list(self.pop3)[number % len(self.pop3)])
        if is_orderly:
            client.quit()
        client.close()


def test_eight_clients_and_the_model_never_differ(server):
    class OfThisServer(Machine):
        pass

    OfThisServer.server = server
    run_state_machine_as_test(OfThisServer, settings=settings(
        max_examples=ROUNDS or SHORT_ROUNDS, stateful_step_count=STEPS, deadline=None, derandomize=not ROUNDS,
        database=None, print_blob=True, suppress_health_check=list(HealthCheck)))
