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
    """Which messages are in which mailbox, by uid, and their flags, and the bytes of those that no earlier comparison
    has read. read_all: the bytes of every message, and which message each uid is."""

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
                with self._imap(account) as imap:
                    sizes = [size for box in self._names(imap, account) for size in self._box(imap, box)]
                    self._usage(imap, account, sizes)
                for copy in moves:
                    self._move(copy)
                if with_pop3:
                    self._pop3(account)
            self.ledger.leave_open()
        return self.findings

    def _imap(self, account):
        """A session; the processes that it needs may be on their way back."""
        deadline = time.monotonic() + LOGIN_SECONDS
        while True:
            try:
                return self.server.imap(account)
            except (AssertionError, OSError, wire.Closed):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _names(self, imap, account):
        """Settles which mailboxes there are, and their names; gives those that are there."""
        names = set(imap.list())
        known = list(self.ledger.boxes[account.address].values())
        for box in known:
            if box.other_name is not None:
                self._new_name(box, names)
            is_there = box.name.encode() in names
            if box.state is not State.THERE:
                self.ledger.note("settled", mailbox=repr(box), there=is_there)
                is_done = is_there is (box.state is State.MAYBE)
                self.ledger.settled[f"mailboxes {'done' if is_done else 'not done'}"] += 1
                self._settle(box, is_there)
            elif not is_there:
                self.findings.add("lost", f"mailbox {box}")
        there = [box for box in known if box.name.encode() in names]
        for name in names - {box.name.encode() for box in there} - self._others(account, names):
            self.findings.add("duplicated", f"mailbox {name.decode()} of {account.address}, which should not be there")
        return there

    def _others(self, account, names):
        """Mailboxes that each account is born with."""
        if account.address not in self.ledger.others:
            ours = {box.name.encode() for box in self.ledger.boxes[account.address].values()}
            self.ledger.others[account.address] = names - ours
        return self.ledger.others[account.address]

    def _new_name(self, box, names):
        """A RENAME that was not answered has happened or not, also to what is below."""
        is_old, is_new = box.name.encode() in names, box.other_name.encode() in names
        if is_old and is_new:
            self.findings.add("duplicated", f"mailbox {box}, by RENAME to {box.other_name}")
        self.ledger.note("settled", mailbox=repr(box), other_name=box.other_name, renamed=is_new)
        self.ledger.settled[f"renames {'done' if is_new else 'not done'}"] += 1
        box.name, box.other_name = (box.other_name if is_new else box.name), None
        if box.parent and not box.name.startswith(box.parent.name + "/"):
            self.findings.add("altered", f"{box} is not below {box.parent}, by half a RENAME")

    def _settle(self, box, is_there):
        """A mailbox that an unanswered RENAME of INBOX makes has all its mail, or is not there; DELETE takes all."""
        was_there = box.state is State.LEAVING
        box.state = State.THERE if is_there else State.GONE
        for copy in list(box.living.values()):
            if not is_there:
                box.end(copy, State.GONE if was_there else State.NEVER)
            elif not was_there:
                copy.state = State.THERE
                copy.origin.box.end(copy.origin, State.GONE)
        if not is_there:
            self.ledger.drop(box)

    def _counters(self, box, codes):
        uidvalidity, uidnext = int(codes[b"UIDVALIDITY"]), int(codes[b"UIDNEXT"])
        if box.uidvalidity not in (None, uidvalidity):
            self.findings.add("altered", f"UIDVALIDITY of {box} was {box.uidvalidity}, is {uidvalidity}")
        least = max(box.uidnext, max(box.uids, default=0) + 1)
        if uidnext < least:
            self.findings.add("altered", f"UIDNEXT of {box} is {uidnext}, must be {least} at least")
        if box.uidvalidity is None and uidvalidity in self.ledger.uidvalidities[box.account.address]:
            self.findings.add("altered", f"UIDVALIDITY {uidvalidity} of {box} is an older mailbox's")
        self.ledger.uidvalidities[box.account.address].add(uidvalidity)
        box.uidvalidity = uidvalidity
        highestmodseq = int(codes.get(b"HIGHESTMODSEQ", 0))
        if highestmodseq < box.highestmodseq:
            self.findings.add("altered", f"HIGHESTMODSEQ of {box} was {box.highestmodseq}, is {highestmodseq}")
        box.highestmodseq = highestmodseq
        return uidnext

    def _usage(self, imap, account, sizes):
        """What is counted for quotas, where there are any; mailboxes that nobody uses are empty."""
        if not self.ledger.has_quota:
            return
        usage = imap.usage()
        messages, kilobytes = usage[b"MESSAGE"], usage[b"STORAGE"]
        if messages != len(sizes):
            self.findings.add("altered", f"{account.address} has {len(sizes)} messages, counted are {messages}")
        if not kilobytes * 1024 - 1024 < sum(sizes) <= kilobytes * 1024:
            self.findings.add("altered", f"{account.address} has {sum(sizes)} bytes, counted are {kilobytes} KB")

    def _box(self, imap, box):
        """Gives the sizes of its messages."""
        codes = imap.select(box.name, "EXAMINE").codes()
        uidnext = self._counters(box, codes)
        fetched = imap.ok("UID FETCH 1:* (FLAGS RFC822.SIZE)").fetched().values()
        flags = {int(one[b"UID"]): frozenset(flag.decode() for flag in one[b"FLAGS"] if flag != b"\\Recent")
                 for one in fetched}
        tokens = self._tokens(imap, box, flags)
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
        return [int(one[b"RFC822.SIZE"]) for one in fetched]

    def _tokens(self, imap, box, uids):
        """{uid: token}; without read_all only uids that are new are asked for."""
        tokens = {} if self.read_all else {uid: box.uids[uid] for uid in uids if uid in box.uids}
        unknown = [uid for uid in uids if uid not in tokens]
        if unknown:
            tokens.update(tokens_of(imap.ok(f"UID FETCH {','.join(map(str, unknown))} "
                                            "(UID BODY.PEEK[HEADER.FIELDS (X-CRASH-TOKEN)])")))
        return tokens

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
