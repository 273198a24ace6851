"""The clients of the model test: each sends one command, and compares every line that comes back with the world."""

import re

from hypothesis import note

from harness import wire

from world import Message, View

TOKEN = re.compile(rb"X-Model: (\S+)\r\n")
TOKEN_FIELD = "BODY.PEEK[HEADER.FIELDS (X-Model)]"
NO_NOTICES = ("SELECT", "EXAMINE", "CLOSE", "UNSELECT", "LOGOUT")
BUT_EXPUNGE = ("FETCH", "STORE", "SEARCH")  # RFC 3501 section 7.4.1; with UID before them it is allowed


def message_with(token):
    return b"X-Model: " + token + b"\r\nSubject: " + token + b"\r\n\r\nThe body of " + token + b".\r\n"


def uid_set(uids):
    return ",".join(map(str, uids))


def uids_of(text):
    """RFC 4315 section 3: the uids of a set in its order."""
    numbers = []
    for part in text.split(b","):
        first, _, last = part.partition(b":")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


class ImapClient:
    def __init__(self, name, server, account, world):
        self.name = name
        self.world = world
        self.imap = server.imap(account)
        self.view = None
        self.idle_tag = None

    def close(self):
        self.imap.close()
        if self.idle_tag:
            self.world.idlers.remove(self)
        self.idle_tag = None
        if self.view:
            self.view.close()
        self.view = None

    # ------------------------------------------------------------------ one command

    def command(self, line, *parts, effect=None, own=()):
        """Sends it; `effect` is called with the answer before its untagged lines are compared, and makes the world what
        it then must be. own: uids whose flags the command asks for. Gives the answer and [(uid, items)]."""
        answer = self.imap.command(line, *parts)
        note(f"{self.name}: {line} -> {[bytes(one[:200]) for one in answer.untagged]} {answer.status} "
             f"[{answer.code[:80]}]")
        if effect:
            effect(answer)
        words = line.split(" ")
        verb = words[1] if words[0] == "UID" else words[0]
        may_expunge = verb not in NO_NOTICES and (verb not in BUT_EXPUNGE or words[0] == "UID")
        fetched = []
        if self.view:
            for one in answer.untagged:
                heard = self.view.hear(one, may_expunge)
                if heard:
                    fetched.append(heard)
            self.view.told(fetched, own, verb not in NO_NOTICES, may_expunge)
        self.world.tell_idlers()
        return answer, fetched

    def ok(self, line, *parts, **options):
        answer, fetched = self.command(line, *parts, **options)
        assert answer.status == b"OK", f"{line}: {answer}"
        return answer, fetched

    def no(self, code, line, *parts, **options):
        answer, _ = self.command(line, *parts, **options)
        assert answer.status == b"NO" and answer.code.split(b" ")[0] == code, f"{line}: {answer}, expected {code}"

    def judge_gone(self, line, answer, wanted, found):
        """RFC 2180 section 4: numbers of messages that others expunged."""
        is_uid = line.startswith("UID ")
        expected = b"NO" if wanted and not found and not is_uid else b"OK"
        assert answer.status == expected, f"{line}: {answer}, {found} of {wanted} are there"

    # ------------------------------------------------------------------ mailboxes

    def select(self, name, read_only):
        self.stop_idling()
        if self.view:
            self.view.close()
            self.view = None
        line = "EXAMINE" if read_only else "SELECT"
        mailbox = self.world.mailboxes.get(name)
        if mailbox is None:
            self.no(b"NONEXISTENT", f"{line} ", wire.quoted(name))
            return
        answer, _ = self.ok(f"{line} ", wire.quoted(name))
        self.view = View(self.world, mailbox, read_only)
        self.view.selected(answer, len(mailbox.messages))

    def check_list(self):
        answer, _ = self.ok('LIST "" "*"')
        names = set()
        for line in answer.all(b"LIST"):
            attributes, _, name = wire.parse(line)
            if b"\\Noselect" not in attributes:
                names.add(name.decode())
        assert names == set(self.world.mailboxes), f"{names ^ set(self.world.mailboxes)}"

    def check_status(self, name):
        mailbox = self.world.mailboxes.get(name)
        # STATUS comes before what is new is told, which may be the selected mailbox's
        facts = mailbox and mailbox.facts()
        line = ("STATUS ", wire.quoted(name), " (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)")
        if mailbox is None:
            self.no(b"NONEXISTENT", *line)
            return
        answer, _ = self.ok(*line)
        items = wire.parse(answer.one(b"STATUS"))[1]
        told = {bytes(key): int(value) for key, value in zip(items[::2], items[1::2])}
        self.world.validity(mailbox, told.pop(b"UIDVALIDITY"))
        assert told == facts, f"STATUS {name}: {told}, true {facts}"

    def check_sizes(self):
        """STATUS tells the sum of what FETCH tells (RFC 8438); gives the sizes."""
        answer, _ = self.ok("UID FETCH 1:* (RFC822.SIZE)")
        sizes = [int(one[b"RFC822.SIZE"]) for one in answer.fetched().values()]
        assert len(sizes) == len(self.view.mailbox.messages)
        told = self.imap.status(self.view.mailbox.name, "SIZE")[b"SIZE"]
        assert told == sum(sizes), f"STATUS tells {told} bytes, there are {sum(sizes)}"
        return sizes

    def check_usage(self, sizes):
        """What the account's quota counts: RFC 9208"""
        usage = self.imap.usage()
        assert usage[b"MESSAGE"] == len(sizes), f"{len(sizes)} messages, counted are {usage[b'MESSAGE']}"
        assert usage[b"STORAGE"] * 1024 - 1024 < sum(sizes) <= usage[b"STORAGE"] * 1024, f"{sum(sizes)} bytes, {usage}"

    # ------------------------------------------------------------------ idle

    def start_idling(self):
        tag = self.imap.send("IDLE")
        while not (line := self.imap.read_response()).startswith(b"+"):
            self._hear_idle(line)
        self.idle_tag = tag
        self.world.idlers.append(self)
        self.catch_up()

    def _hear_idle(self, line):
        note(f"{self.name} idles: {line}")
        heard = self.view.hear(line, True) if self.view else None
        if heard and b"FLAGS" in heard[1]:
            self.view.changed.discard(heard[0])

    def catch_up(self):
        """In IDLE: what is new comes by itself."""
        if self.view is None or self.view.mailbox.name not in self.world.mailboxes:
            return
        while not self.view.is_current():
            self._hear_idle(self.imap.read_response())
        self.view.changed.clear()
        self.view.changes = self.view.mailbox.changes

    def stop_idling(self):
        if self.idle_tag is None:
            return
        tag, self.idle_tag = self.idle_tag, None
        self.world.idlers.remove(self)
        self.imap.line.send(b"DONE\r\n")
        while not (line := self.imap.read_response()).startswith(tag):
            self._hear_idle(line)
        assert line.startswith(tag + b" OK"), line

    def hear_bye(self):
        """Its mailbox was deleted: the session ends with BYE."""
        if not self.idle_tag:
            self.imap.send("NOOP")
        line = self.imap.read_response()
        assert line.startswith(b"* BYE "), line
        assert self.imap.line.closed()

    # ------------------------------------------------------------------ messages

    def fetch(self, line_uid, uids, items):
        """items: FLAGS, BODY[] or the token; with "UID " as line_uid by uids, else by numbers."""
        view = self.view
        present = view.present(uids)
        sets_seen = items == "BODY[]" and not view.read_only
        unseen = [uid for uid in present if "\\Seen" not in view.mailbox.messages[uid].flags] if sets_seen else []
        names = uids if line_uid else view.numbers(uids)
        line = f"{line_uid}FETCH {uid_set(names)} ({items})"
        own = present if items == "FLAGS" else unseen

        def effect(_):
            messages = view.mailbox.messages
            self.world.set_flags(view.mailbox, {uid: messages[uid].flags | {"\\Seen"} for uid in unseen}, view)
        answer, fetched = self.command(line, effect=effect, own=own)
        self.judge_gone(line, answer, len(uids), len(present))
        key = {"FLAGS": b"FLAGS", "BODY[]": b"BODY[]", TOKEN_FIELD: b"BODY[HEADER.FIELDS (X-MODEL)]"}[items]
        told = {uid: found for uid, found in fetched if key in found}
        assert set(told) >= set(present) and (key == b"FLAGS" or set(told) == set(present)), f"{line}: {set(told)}"
        assert all(b"FLAGS" in told[uid] for uid in unseen), f"{line} does not tell that it set \\Seen"
        for uid, found in told.items():
            token = view.mailbox.messages[uid].token
            if key == b"BODY[]":
                assert found[key].endswith(message_with(token)), f"uid {uid}: {found[key]!r}"
            elif key != b"FLAGS":
                assert TOKEN.search(found[key]).group(1) == token, f"uid {uid}: {found[key]!r}, true {token!r}"

    def store(self, line_uid, uids, mode, flags, is_silent):
        view = self.view
        present = view.present(uids)
        names = uids if line_uid else view.numbers(uids)
        line = f"{line_uid}STORE {uid_set(names)} {mode}FLAGS{'.SILENT' * is_silent} ({' '.join(sorted(flags))})"
        if view.read_only:
            self.no(b"READ-ONLY", line)
            return

        def effect(_):
            changed = {}
            for uid in present:
                old = view.mailbox.messages[uid].flags
                changed[uid] = {"+": old | flags, "-": old - flags, "": set(flags)}[mode]
            self.world.set_flags(view.mailbox, changed, view)
        answer, fetched = self.command(line, effect=effect, own=() if is_silent else present)
        self.judge_gone(line, answer, len(uids), len(present))
        told = {uid for uid, items in fetched if b"FLAGS" in items}
        assert is_silent or told >= set(present), f"{line}: {told}"

    def copy(self, line_uid, uids, name, is_move):
        view = self.view
        present = view.present(uids)
        names = uids if line_uid else view.numbers(uids)
        line = f"{line_uid}{'MOVE' if is_move else 'COPY'} {uid_set(names)} "
        if is_move and view.read_only:
            self.no(b"READ-ONLY", line, wire.quoted(name))
            return
        target = self.world.mailboxes.get(name)
        if target is None:
            self.no(b"TRYCREATE", line, wire.quoted(name))
            return

        def effect(answer):
            if not present:
                return
            pairs = self.world.copy(view.mailbox, present, target)
            code = answer.codes()[b"COPYUID"].split(b" ")
            self.world.validity(target, int(code[0]))
            told = dict(zip(uids_of(code[1]), uids_of(code[2])))
            assert told == pairs, f"COPYUID tells {told}, true {pairs}"
            if is_move:
                self.world.remove(view.mailbox, present)
        answer, _ = self.command(line, wire.quoted(name), effect=effect)
        self.judge_gone(line, answer, len(uids), len(present))

    def append(self, name, messages):
        """[(token, flags)]: more than one only where the server can (RFC 3502)."""
        mailbox = self.world.mailboxes.get(name)
        parts = [part for token, flags in messages
                 for part in (f" ({' '.join(sorted(flags))}) ", wire.Literal(message_with(token)))]
        if mailbox is None:
            self.no(b"TRYCREATE", "APPEND ", wire.quoted(name), *parts)
            return

        def effect(answer):
            assert answer.status == b"OK", answer
            uids = self.world.add(mailbox, [Message(token, flags) for token, flags in messages])
            code = answer.code.split(b" ")
            self.world.validity(mailbox, int(code[1]))
            assert uids_of(code[2]) == uids, f"{answer.code}, true {uids}"
        self.ok("APPEND ", wire.quoted(name), *parts, effect=effect)

    def expunge(self, only=None):
        """EXPUNGE, or UID EXPUNGE of some."""
        view = self.view
        line = "EXPUNGE" if only is None else f"UID EXPUNGE {uid_set(only)}"
        if view.read_only:
            self.no(b"READ-ONLY", line)
            return
        doomed = [uid for uid, message in view.mailbox.messages.items()
                  if "\\Deleted" in message.flags and (only is None or uid in only)]
        self.ok(line, effect=lambda _: self.world.remove(view.mailbox, doomed))

    def leave(self, line):
        """CLOSE, which expunges, or UNSELECT."""
        view, self.view = self.view, None
        view.close()
        answer, _ = self.ok(line)
        assert answer.untagged == [], answer
        if line == "CLOSE" and not view.read_only:
            self.world.remove(view.mailbox, [uid for uid, message in view.mailbox.messages.items()
                                             if "\\Deleted" in message.flags])
            self.world.tell_idlers()

    def search(self, line_uid, criteria, matches):
        """matches(number, uid, message, is_recent)"""
        view = self.view
        messages = view.mailbox.messages
        expected = [uid if line_uid else number for number, uid in enumerate(view.uids, 1)
                    if uid in messages and matches(number, uid, messages[uid], uid in view.recent)]
        answer, _ = self.ok(f"{line_uid}SEARCH {criteria}")
        found = [int(number) for number in answer.one(b"SEARCH").split()]
        assert found == expected, f"SEARCH {criteria}: {found}, true {expected}"


class Pop3Client:
    """A maildrop as it was at the login, also what has left it since; what is marked goes at QUIT. RFC 1939"""

    def __init__(self, name, server, account, world):
        self.name = name
        self.world = world
        self.inbox = world.mailboxes["INBOX"]
        self.uids = list(self.inbox.messages)
        self.tokens = [message.token for message in self.inbox.messages.values()]
        self.marked = set()
        self.pop3 = server.pop3(account)
        self.ids = self.pop3.uidl()
        assert list(self.ids) == list(range(1, len(self.uids) + 1))

    def close(self):
        self.pop3.close()

    def retrieve(self, number):
        is_there = self.uids[number - 1] not in self.marked
        answer = self.pop3.command(f"TOP {number} 0")
        note(f"{self.name}: TOP {number} -> {answer}")
        assert answer.startswith(b"+OK" if is_there else b"-ERR"), f"TOP {number}: {answer}"
        if is_there:
            assert TOKEN.search(self.pop3.read_multiline()).group(1) == self.tokens[number - 1]
        left = {one: uid for one, uid in self.ids.items() if self.uids[one - 1] not in self.marked}
        assert self.pop3.uidl() == left and self.pop3.stat()[0] == len(left)

    def mark(self, number):
        answer = self.pop3.command(f"DELE {number}")
        note(f"{self.name}: DELE {number} -> {answer}")
        assert answer.startswith(b"-ERR" if self.uids[number - 1] in self.marked else b"+OK"), answer
        self.marked.add(self.uids[number - 1])

    def quit(self):
        answer = self.pop3.ok("QUIT")
        note(f"{self.name}: QUIT -> {answer}")
        self.world.remove(self.inbox, [uid for uid in self.marked if uid in self.inbox.messages])
        self.world.tell_idlers()
