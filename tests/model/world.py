"""What an account holds, and what each session has been told of it: the model that the server's answers must match.

Nothing here talks to the server. World knows mailboxes and messages as they are; a View knows one session's selected
mailbox as its client was told of it. Sequence numbers are places in View.uids: they stay what they are until the server
says otherwise (RFC 3501 sections 5.2, 7.3.1, 7.4.1). View.hear takes one untagged response and fails where it is not
the truth, or not due.
"""

import re

from harness import wire

SEPARATOR = "/"
# The server remembers so many changes of a mailbox; a session that is further behind may hear more than it must.
REMEMBERED_CHANGES = 60


class Message:
    def __init__(self, token, flags=()):
        self.token = token
        self.flags = set(flags)


class Mailbox:
    def __init__(self, name):
        self.name = name
        self.messages = {}        # uid: Message, ascending
        self.uidnext = 1
        self.uidvalidity = None   # until it is told
        self.first_recent = 1     # no session has been told of this uid and those behind it as \Recent
        self.changes = 0

    def add(self, message):
        uid, self.uidnext = self.uidnext, self.uidnext + 1
        self.messages[uid] = message
        return uid

    def facts(self):
        """What STATUS says."""
        return {b"MESSAGES": len(self.messages), b"UIDNEXT": self.uidnext,
                b"UNSEEN": sum("\\Seen" not in message.flags for message in self.messages.values()),
                b"RECENT": sum(uid >= self.first_recent for uid in self.messages)}


class World:
    def __init__(self, names):
        self.mailboxes = {name: Mailbox(name) for name in names}
        self.uidvalidities = {}  # number: Mailbox, for ever
        self.views = []
        self.idlers = []  # clients

    def tell_idlers(self):
        """After each command: those who idle must hear of it."""
        for client in self.idlers:
            client.catch_up()

    def validity(self, mailbox, number):
        """UIDVALIDITY is one mailbox's alone, and stays. RFC 3501 section 2.3.1.1"""
        assert self.uidvalidities.setdefault(number, mailbox) is mailbox, f"UIDVALIDITY {number} was another mailbox's"
        assert mailbox.uidvalidity in (None, number), f"{mailbox.name}: {mailbox.uidvalidity} became {number}"
        mailbox.uidvalidity = number

    def views_of(self, mailbox):
        return [view for view in self.views if view.mailbox is mailbox]

    def below(self, name):
        return [other for other in self.mailboxes if other.startswith(name + SEPARATOR)]

    # ------------------------------------------------------------------ changes

    def set_flags(self, mailbox, changes, actor=None):
        """changes: {uid: flags}. actor: the view whose session does it and hears of it in another way."""
        changed = [uid for uid, flags in changes.items() if mailbox.messages[uid].flags != flags]
        for uid in changed:
            mailbox.messages[uid].flags = set(changes[uid])
        mailbox.changes += bool(changed)
        for view in self.views_of(mailbox):
            if view is not actor:
                view.changed.update(uid for uid in changed if uid in view.uids)

    def add(self, mailbox, messages):
        mailbox.changes += 1
        return [mailbox.add(message) for message in messages]

    def copy(self, source, uids, target):
        """{uid: its uid there}"""
        messages = [Message(source.messages[uid].token, source.messages[uid].flags) for uid in uids]
        return dict(zip(uids, self.add(target, messages)))

    def remove(self, mailbox, uids):
        mailbox.changes += 1
        for uid in uids:
            del mailbox.messages[uid]

    def create(self, name):
        parts = name.split(SEPARATOR)
        for depth in range(1, len(parts) + 1):
            one = SEPARATOR.join(parts[:depth])
            if one not in self.mailboxes:
                self.mailboxes[one] = Mailbox(one)

    def can_rename(self, old, new):
        if new in self.mailboxes:
            return b"ALREADYEXISTS"
        if old == "INBOX":
            return None
        if new.startswith(old + SEPARATOR):
            return b"CANNOT"
        moved = [name for name in (old, *self.below(old)) if name in self.mailboxes]
        if not moved:
            return b"NONEXISTENT"
        return b"ALREADYEXISTS" if any(new + name[len(old):] in self.mailboxes for name in moved) else None

    def rename(self, old, new):
        if old == "INBOX":  # RFC 3501 section 6.3.5: it stays, and its mail goes
            inbox = self.mailboxes[old]
            self.create(new)
            self.copy(inbox, list(inbox.messages), self.mailboxes[new])
            self.remove(inbox, list(inbox.messages))
            return
        for name in [name for name in (old, *self.below(old)) if name in self.mailboxes]:
            mailbox = self.mailboxes.pop(name)
            mailbox.name = new + name[len(old):]
            self.mailboxes[mailbox.name] = mailbox
        if SEPARATOR in new:
            self.create(new.rpartition(SEPARATOR)[0])

    def delete(self, name):
        """Gives the views that are left without their mailbox."""
        mailbox = self.mailboxes.pop(name)
        return self.views_of(mailbox)


class View:
    def __init__(self, world, mailbox, read_only):
        self.world = world
        self.mailbox = mailbox
        self.read_only = read_only
        self.uids = []          # by sequence number
        self.recent = set()
        self.changed = set()    # uids of flags that others changed, and that were not told since
        self.keywords = set()   # told by FLAGS
        self.next_uid = 1       # what has this uid or a larger one was not told
        self.changes = 0        # of the mailbox, when it was last told
        self.expects_recent = False  # EXISTS came, RECENT comes with it
        world.views.append(self)

    def close(self):
        self.world.views.remove(self)

    # ------------------------------------------------------------------ what is due

    def fresh(self):
        return [uid for uid in self.mailbox.messages if uid >= self.next_uid]

    def gone(self):
        return [uid for uid in self.uids if uid not in self.mailbox.messages]

    def due(self):
        """Flags to be told."""
        return {uid for uid in self.changed if uid in self.mailbox.messages}

    def is_current(self):
        return not self.fresh() and not self.gone() and not self.due() and not self.expects_recent

    def present(self, uids):
        return [uid for uid in uids if uid in self.mailbox.messages]

    def numbers(self, uids):
        return [self.uids.index(uid) + 1 for uid in uids]

    # ------------------------------------------------------------------ what is told

    def selected(self, answer, total):
        """After SELECT or EXAMINE."""
        self._learn()
        codes = answer.codes()
        self.world.validity(self.mailbox, int(codes[b"UIDVALIDITY"]))
        assert int(codes[b"UIDNEXT"]) == self.mailbox.uidnext
        assert answer.numbered(b"EXISTS") == [len(self.uids)] == [total]
        assert answer.numbered(b"RECENT") == [len(self.recent)]
        assert (b"READ-ONLY" if self.read_only else b"READ-WRITE") == answer.code
        unseen = [number for number, uid in enumerate(self.uids, 1) if "\\Seen" not in self.mailbox.messages[uid].flags]
        assert (int(codes[b"UNSEEN"]) if b"UNSEEN" in codes else None) == (unseen[0] if unseen else None)
        self._hear_keywords(answer.one(b"FLAGS"))

    def _learn(self):
        """The client is told of all that is new. Who may change the mailbox takes what is \\Recent with it."""
        fresh = self.fresh()
        if fresh:
            self.recent.update(uid for uid in fresh if uid >= self.mailbox.first_recent)
            if not self.read_only:
                self.mailbox.first_recent = self.mailbox.uidnext
        self.uids += fresh
        self.next_uid = self.mailbox.uidnext

    def hear(self, line, may_expunge):
        """One untagged response; of a FETCH, gives (uid, items)."""
        if line.startswith(b"* FLAGS "):
            self._hear_keywords(line[len(b"* FLAGS "):])
        match = re.match(rb"\* (\d+) (EXISTS|RECENT|EXPUNGE|FETCH) ?", line)
        if not match:
            return None
        number, what = int(match.group(1)), match.group(2)
        if what == b"EXISTS":
            fresh = self.fresh()
            assert number == len(self.uids) + len(fresh), f"{line!r}: {len(self.uids)} known, new are {fresh}"
            self._learn()
            self.expects_recent = True
        elif what == b"RECENT":
            self.expects_recent = False
            assert number == len(self.recent), f"{line!r}: {self.recent} are recent"
        elif what == b"EXPUNGE":
            self._hear_expunge(number, line, may_expunge)
        else:
            return self._hear_fetch(number, line[match.end():])
        return None

    def _hear_keywords(self, text):
        self.keywords = {flag.decode() for flag in wire.parse(text)[0]}

    def _hear_expunge(self, number, line, may_expunge):
        assert may_expunge, f"{line!r} is not allowed now"
        assert 1 <= number <= len(self.uids), f"{line!r}: {len(self.uids)} known"
        uid = self.uids.pop(number - 1)
        assert uid not in self.mailbox.messages, f"{line!r}: that is uid {uid}, which is there"
        self.recent.discard(uid)
        self.changed.discard(uid)

    def _hear_fetch(self, number, text):
        assert 1 <= number <= len(self.uids), f"FETCH of {number}, {len(self.uids)} known"
        uid = self.uids[number - 1]
        pairs = wire.parse(text)[0]
        items = dict(zip((bytes(name).upper() for name in pairs[::2]), pairs[1::2]))
        assert uid in self.mailbox.messages, f"FETCH of {number}, uid {uid}, which is gone"
        assert int(items.get(b"UID", uid)) == uid, f"number {number} is uid {uid}: {text!r}"
        if b"FLAGS" in items:
            flags = {flag.decode() for flag in items[b"FLAGS"]}
            true = self.mailbox.messages[uid].flags | ({"\\Recent"} if uid in self.recent else set())
            assert flags == true, f"uid {uid}: told {sorted(flags)}, true {sorted(true)}"
            assert flags - {"\\Recent"} <= self.keywords, f"{flags} were not announced by FLAGS: {self.keywords}"
        return uid, items

    def told(self, fetched, own, with_notices, may_expunge):
        """After a command: what was due has been told, and nothing that was not. own: uids whose flags it asked for."""
        told = {uid for uid, items in fetched if b"FLAGS" in items}
        if not with_notices:
            return
        behind = self.mailbox.changes - self.changes
        assert self.due() <= told, f"flags of {self.due() - told} were not told"
        assert behind > REMEMBERED_CHANGES or told <= self.changed | set(own), \
            f"flags of {told - self.changed - set(own)} were told for no reason"
        assert not self.fresh(), f"{self.fresh()} were not told"
        assert not may_expunge or not self.gone(), f"that {self.gone()} are gone was not told"
        self.changed.clear()
        self.changes = self.mailbox.changes
