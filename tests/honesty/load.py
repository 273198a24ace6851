"""What the clients of the honesty check do, and what each was promised (checker.Promise)."""

import contextlib
import sqlite3

from harness import wire
from harness.material import message
from harness.server import DOMAIN, Account, PASSWORD

from checker import Place, Promise

# clients at a time, and acknowledgements in a step of each
WAYS = {"smtp": 5, "lmtp": 5, "submission": 3, "submissions": 3, "imap": 10, "pop3": 5, "control": 1}
EACH_STEP = {"smtp": 4, "lmtp": 4, "submission": 4, "submissions": 4, "imap": 22, "pop3": 1, "control": 3}
KINDS = {"smtp", "lmtp", "submission", "submissions", "smtp 300 KB", "smtp 1.2 MB", "lmtp 300 KB", "lmtp 1.2 MB",
         "submission 300 KB", "submission 1.2 MB", "submissions 300 KB", "submissions 1.2 MB",
         "create", "append", "append 300 KB", "append 1.2 MB", "multiappend", "copy", "store", "expunge", "move",
         "uid expunge", "close", "rename", "delete", "subscribe", "unsubscribe",
         "quit client", "quit delete", "quit keep", "quit days",
         "account add", "app-password add", "undelete"}
DELIVERED = r"250 2\.[06]\.0 "
# a spool file from 256 KB on; from 1 MB on the segment's room is reserved and filled in several batches
LARGE = {"300 KB": 300_000, "1.2 MB": 1_200_000}
LINE = "x" * 76 + "\r\n"
POP3_MODES = ["client", "delete", "keep", "days"]
TURNS = 4  # answers to one message of a client that waits for each: MAIL, RCPT, DATA and the message itself


class Worker:
    """One client, with an account of its own, at which nobody else is at work."""

    def __init__(self, server, number, seen):
        """seen: pairs of ports that had a connection, of all workers."""
        self.server = server
        self.seen = seen
        self.number = number
        self.count = 0
        self.promises = []
        self.account = server.add_account()

    def token(self, kind):
        self.count += 1
        return f"token-{kind}{self.number}x-{self.count}-end"

    @staticmethod
    def message(token, size=0):
        """Its token stands in all of it, so that no part of its bytes is overlooked."""
        return message(subject=token, body=(token + "\r\n" + LINE * 20) * (size // 1600) + token + "\r\n")

    def work(self, way, steps, is_large):
        """is_large: large messages, too."""
        getattr(self, way)(steps, LARGE if is_large else {})
        return self.promises

    def _connected(self, connect, *arguments, **options):
        """A client on ports that had none before: the trace does not tell two connections by more."""
        while True:
            client = connect(*arguments, **options)
            ports = ports_of(client)
            if ports not in self.seen:
                self.seen.add(ports)
                return client
            client.close()

    def _promise(self, kind, **facts):
        self.promises.append(Promise(kind, **{"address": self.account.address, **facts}))

    # ------------------------------------------------------------------ deliveries

    def smtp(self, steps, large):
        with self._connected(self.server.smtp) as client:
            self._deliver(client, "smtp", steps, large)

    def lmtp(self, steps, large):
        with self._connected(self.server.lmtp) as client:
            self._deliver(client, "lmtp", steps, large)

    def submission(self, steps, large):
        with self._connected(lambda: wire.Smtp(self.server.connect("submission"))) as client:
            client.expect(250, "EHLO client.example.net")
            client.login(self.account)
            self._deliver(client, "submission", steps, large, sender=self.account.address)

    def submissions(self, steps, large):
        """Encrypted: what the server answers when is known, what it says is not."""
        with self._connected(self.server.submission, self.account) as client:
            self._deliver(client, "submissions", steps, large, sender=self.account.address, is_encrypted=True)

    def _deliver(self, client, way, steps, large, sender="sender@example.net", is_encrypted=False):
        kinds = [(way, 0)] * (4 * steps) + [(f"{way} {name}", size) for name, size in large.items()]
        for ordinal, (kind, size) in enumerate(kinds):
            token = self.token("mail")
            client.send_message(sender, [self.account.address], self.message(token, size))
            answer = ({"turn": -1 - TURNS * (len(kinds) - 1 - ordinal)} if is_encrypted else
                      {"answer": DELIVERED, "ordinal": ordinal})
            self._promise(kind, ports=ports_of(client), came=(token,), news=("new",), body=token, **answer)

    # ------------------------------------------------------------------ IMAP

    def imap(self, steps, large):
        with self._connected(self.server.imap, self.account) as client:
            client.select()
            for step in range(steps):
                folder = self.token("box")
                self._tagged(client, "create", f"CREATE {folder}", came=(folder,))
                self._messages(client, folder)
                if step % 2 == 0:  # few enough names: keywords are kept for ever
                    self._keyword(client, folder)
                self._names(client, folder)
            for name, size in large.items():
                self._append(client, f"append {name}", [self.token("append")], size)

    def _messages(self, client, folder):
        self._append(client, "append", [self.token("append")])
        self._append(client, "multiappend", [self.token("multi") for _ in range(3)])
        self._tagged(client, "copy", f"COPY 1 {folder}", news=("new",))
        for change in ("+FLAGS (\\Flagged)", "-FLAGS (\\Flagged)", "+FLAGS (\\Deleted)"):
            self._tagged(client, "store", f"STORE 1 {change}", news=("flags",))
        self._tagged(client, "expunge", "EXPUNGE", news=("expunge",))
        self._tagged(client, "move", f"MOVE 1 {folder}", news=("new", "expunge"))
        uid = min(client.uid_fetch("1:*", "(UID)"))
        self._tagged(client, "store", f"UID STORE {uid} +FLAGS.SILENT (\\Deleted)", news=("flags",))
        self._tagged(client, "uid expunge", f"UID EXPUNGE {uid}", news=("expunge",))
        self._tagged(client, "store", "STORE 1 +FLAGS (\\Deleted)", news=("flags",))
        self._tagged(client, "close", "CLOSE", news=("expunge",))
        client.select()

    def _keyword(self, client, folder):
        client.select(folder)
        token = self.token("store")
        self._tagged(client, "store", f"STORE 1 +FLAGS ({token})", came=(token,), news=("flags",))
        client.select()

    def _names(self, client, folder):
        for _ in range(2):
            token = self.token("sub")
            self._tagged(client, "subscribe", f"SUBSCRIBE {token}", came=(token,))
            self._tagged(client, "unsubscribe", f"UNSUBSCRIBE {token}", gone=(token,))
            new = self.token("new")
            self._tagged(client, "rename", f"RENAME {folder} {new}", came=(new,), gone=(folder,))
            folder = new
        self._tagged(client, "delete", f"DELETE {folder}", gone=(folder,))

    def _append(self, client, kind, tokens, size=0):
        """One promise for each message."""
        parts = [part for token in tokens for part in (" ", wire.Literal(self.message(token, size)))]
        facts = self._answered(client, "APPEND INBOX", *parts)
        for token in tokens:
            self._promise(kind, came=(token,), news=("new",), body=token, **facts)

    def _tagged(self, client, kind, command, **marks):
        self._promise(kind, **self._answered(client, command), **marks)

    @staticmethod
    def _answered(client, command, *parts):
        """Where in the trace a command and its answer are."""
        tag = client.send(command, *parts)
        answer = client.wait(tag)
        assert answer.status == b"OK", f"{command}: {answer}"
        return {"ports": ports_of(client), "tag": tag.decode()}

    # ------------------------------------------------------------------ POP3

    def pop3(self, steps, large):
        """QUIT removes, or hides, or sets a date, as the mode says."""
        del large
        mode = POP3_MODES[self.number % len(POP3_MODES)]
        self.server.cli("account", "pop3", self.account.address, "--mode", mode)
        mark = {"keep": "hidden", "days": "due"}.get(mode, "expunge")
        for _ in range(steps):
            with self._connected(self.server.lmtp) as client:
                client.send_message("sender@example.net", [self.account.address], self.message(self.token("pop")))
            with self._connected(self.server.pop3, self.account) as client:
                if mode == "delete":
                    client.multiline("RETR 1")
                else:
                    client.ok("DELE 1")
                client.ok("QUIT")
                # the greeting and the answers to USER, PASS and DELE or RETR come first
                self._promise(f"quit {mode}", ports=ports_of(client), answer=r"\+OK", ordinal=4, request='"QUIT',
                              news=(mark,))

    # ------------------------------------------------------------------ the command line

    def control(self, steps, large):
        del large
        for _ in range(steps):
            name, program, folder = self.token("user"), self.token("program"), self.token("box")
            self.account = Account(address=f"{name}@{DOMAIN}", password=PASSWORD)
            self.server.add_account(name)
            self._promise("account add", request=self.account.address, came=(name,), is_of_auth=True)
            self.server.cli("account", "app-password", "add", self.account.address, program)
            self._promise("app-password add", request=program, came=(program,), is_of_auth=True)
            with self._connected(self.server.imap, self.account) as client:
                client.ok(f"CREATE {folder}")
                client.append(folder, self.message(self.token("expunged")))
                client.select(folder)
                client.ok("STORE 1 +FLAGS (\\Deleted)")
                client.ok("CLOSE")
            self.server.cli("undelete", "restore", self.account.address, "--mailbox", folder)
            self._promise("undelete", request=folder, news=("new",))


def ports_of(client):
    sock = client.line.sock
    return sock.getpeername()[1], sock.getsockname()[1]


def places_of(store):
    """{address: Place} of a store whose server has ended."""
    places = {}
    with contextlib.closing(sqlite3.connect(store / "auth" / "directory.db")) as directory:
        ids = directory.execute("SELECT local || '@' || domain, id, shard FROM address JOIN account ON id = account"
                                ).fetchall()
    for folder in (store / "shards").iterdir():
        with contextlib.closing(sqlite3.connect(folder / "index.db")) as index:
            numbers = {one: (number, inbox) for one, number, inbox in index.execute(
                "SELECT id, account.number, mailbox.number FROM account JOIN mailbox ON account = account.number "
                "WHERE name = 'INBOX'")}
        places |= {address: Place(shard, *numbers[one]) for address, one, shard in ids
                   if shard == int(folder.name) and one in numbers}
    return places
