"""The ledger against the mailboxes, while no client is at work: what is open is settled, what must be is checked."""

import time

from harness import wire

from ledger import State
from workload import pop3_tokens, tokens_of

FETCH_AT_ONCE = 20  # bodies of one FETCH
LOGIN_SECONDS = 20  # until a maildrop that a dead session held is free


class Findings:
    """What is wrong, by kind; a line for each."""

    def __init__(self):
        self.lost = 0
        self.altered = 0
        self.duplicated = 0
        self.lines = []

    def add(self, kind, text):
        setattr(self, kind, getattr(self, kind) + 1)
        self.lines.append(f"{kind}: {text}")


class Comparison:
    """read_all: compare the bytes of every message, not only of those that no earlier comparison has read."""

    def __init__(self, server, ledger, accounts, read_all):
        self.server = server
        self.ledger = ledger
        self.accounts = accounts
        self.read_all = read_all
        self.findings = Findings()

    def run(self, with_pop3):
        with self.ledger.lock:
            self.ledger.note("compare", read_all=self.read_all)
            for account in self.accounts:
                boxes = self.ledger.boxes[account.address].values()
                moves = [copy for box in boxes for copy in box.living.values()
                         if copy.state is State.MAYBE and copy.origin is not None]
                with self.server.imap(account) as imap:
                    self._names(imap, account)
                    for box in boxes:
                        self._box(imap, box)
                for copy in moves:
                    self._move(copy)
                if with_pop3:
                    self._pop3(account)
            self.ledger.leave_open()
        return self.findings

    def _names(self, imap, account):
        names = imap.list()
        for box in self.ledger.boxes[account.address].values():
            if box.name.encode() not in names:
                self.findings.add("lost", f"mailbox {box}")

    def _counters(self, box, codes):
        uidvalidity, uidnext = int(codes[b"UIDVALIDITY"]), int(codes[b"UIDNEXT"])
        if box.uidvalidity not in (None, uidvalidity):
            self.findings.add("altered", f"UIDVALIDITY of {box} was {box.uidvalidity}, is {uidvalidity}")
        least = max(box.uidnext, max(box.uids, default=0) + 1)
        if uidnext < least:
            self.findings.add("altered", f"UIDNEXT of {box} is {uidnext}, must be {least} at least")
        box.uidvalidity = uidvalidity
        return uidnext

    def _box(self, imap, box):
        codes = imap.select(box.name, "EXAMINE").codes()
        uidnext = self._counters(box, codes)
        answer = imap.ok("UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (X-CRASH-TOKEN)])")
        tokens = dict(tokens_of(answer))
        flags = {int(one[b"UID"]): frozenset(flag.decode() for flag in one[b"FLAGS"] if flag != b"\\Recent")
                 for one in answer.fetched().values()}
        for uid in flags:
            if uid >= uidnext:
                self.findings.add("altered", f"uid {uid} in {box}, whose UIDNEXT is {uidnext}")
        found = {}  # uid: copy
        for copy in list(box.living.values()):
            uid = self._find(copy, tokens, found)
            self._presence(copy, uid)
            if uid is not None:
                found[uid] = copy
                self._flags(copy, flags.get(uid, frozenset()))
        for uid, token in tokens.items():
            if uid not in found:
                self.findings.add("duplicated", f"{token!r} in {box}, uid {uid}, which should not be there "
                                                f"(known as {box.uids.get(uid)!r})")
        self._bodies(imap, box, found)
        box.uidnext = max(box.uidnext, uidnext)

    def _find(self, copy, tokens, found):
        """The uid of a copy in its mailbox, or None."""
        if copy.uid is not None:
            if copy.uid in tokens and tokens[copy.uid] != copy.message.token:
                self.findings.add("altered", f"{copy}: its uid now has {tokens[copy.uid]!r}")
            return copy.uid if tokens.get(copy.uid) == copy.message.token else None
        for uid, token in tokens.items():
            if token == copy.message.token and uid not in found:
                if uid in copy.box.uids:
                    self.findings.add("altered", f"{copy} has uid {uid}, which an older message had")
                copy.box.settle_uid(copy, uid)
                return uid
        return None

    def _presence(self, copy, uid):
        if copy.state is not State.THERE:
            self.ledger.note("settled", copy=repr(copy), there=uid is not None)
            self.ledger.settled[f"{'arrivals' if copy.state is State.MAYBE else 'removals'} "
                                f"{'done' if (uid is None) is (copy.state is State.LEAVING) else 'not done'}"] += 1
        elif uid is None:
            self.findings.add("lost", repr(copy))
        if uid is not None:
            copy.state = State.THERE
        else:
            copy.box.end(copy, State.NEVER if copy.state is State.MAYBE else State.GONE)

    def _flags(self, copy, flags):
        if flags not in copy.choices:
            self.findings.add("altered", f"{copy} has flags {sorted(flags)}")
        copy.choices = {flags}

    def _move(self, copy):
        """A MOVE that was not answered has happened or not: one of the two is there."""
        here, there = copy.origin.state is State.THERE, copy.state is State.THERE
        if here and there:
            self.findings.add("duplicated", f"by MOVE: {copy} and {copy.origin}")
        if not here and not there:
            self.findings.add("lost", f"by MOVE: {copy} and {copy.origin}")

    def _bodies(self, imap, box, found):
        unread = [uid for uid, copy in found.items() if self.read_all or not copy.is_read]
        for start in range(0, len(unread), FETCH_AT_ONCE):
            uids = unread[start:start + FETCH_AT_ONCE]
            answer = imap.uid_fetch(",".join(map(str, uids)), "(UID RFC822.SIZE BODY.PEEK[])")
            for uid in uids:
                data = answer.get(uid, {}).get(b"BODY[]") or b""
                if not found[uid].message.fits(data):
                    self.findings.add("altered", f"{found[uid]}: {len(data)} bytes begin with {data[:300]!r}")
                elif int(answer[uid][b"RFC822.SIZE"]) != len(data):
                    self.findings.add("altered", f"{found[uid]}: RFC822.SIZE {answer[uid][b'RFC822.SIZE']!r}, "
                                                 f"{len(data)} bytes")
                found[uid].is_read = True

    # ------------------------------------------------------------------ POP3

    def _pop3(self, account):
        """The same INBOX by POP3: the same messages, each under the UIDL that it always had, and one of them whole."""
        box = self.ledger.box(account, "INBOX")
        with self._maildrop(account) as pop3:
            uidls = pop3.uidl()
            numbers = pop3_tokens(pop3, box, self.ledger)
            for token in box.living.keys() - numbers.keys():
                self.findings.add("lost", f"{box.living[token]}, says POP3")
            for token in numbers.keys() - box.living.keys():
                self.findings.add("duplicated", f"{token!r} in {box}, says POP3")
            if len(uidls) != len(numbers):
                self.findings.add("duplicated", f"{len(uidls)} messages in {box}, {len(numbers)} different, says POP3")
            for token in numbers.keys() & box.living.keys():
                copy, uidl = box.living[token], uidls[numbers[token]]
                if copy.uidl not in (None, uidl):
                    self.findings.add("altered", f"{copy}: UIDL was {copy.uidl!r}, is {uidl!r}")
                copy.uidl = uidl
            for token in list(numbers)[:1]:
                data = pop3.multiline(f"RETR {numbers[token]}")
                if token in box.living and not box.living[token].message.fits(data):
                    self.findings.add("altered", f"{box.living[token]}, says POP3: {data[:300]!r}")
            pop3.ok("QUIT")

    def _maildrop(self, account):
        deadline = time.monotonic() + LOGIN_SECONDS
        while True:
            pop3 = wire.Pop3(self.server.connect("pop3"))
            pop3.ok(f"USER {account.address}")
            answer = pop3.command(f"PASS {account.password}")
            if answer.startswith(b"+OK"):
                return pop3
            pop3.close()
            assert b"[IN-USE]" in answer and time.monotonic() < deadline, answer
            time.sleep(0.05)
