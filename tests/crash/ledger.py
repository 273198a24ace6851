"""What was asked of the server, what it answered, and what therefore must be there. The rules stand in driver.py.

One lock guards everything; no method talks to the server. Each line of the file is written before the request leaves
(intent) or when its answer is here, so that the file tells the story of a message when something is amiss.
"""

import collections
import enum
import hashlib
import json
import random
import re
import threading
import time

TOKEN_LINE = re.compile(rb"X-Crash-Token: (\S+)\r\n")
TRACE = re.compile(rb"(?:(?:Return-Path|Received|Delivered-To):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)+", re.IGNORECASE)


class State(enum.Enum):
    MAYBE = "asked for, not answered"
    THERE = "acknowledged, or seen by a client"
    LEAVING = "its removal was asked for, not answered"
    GONE = "its removal was acknowledged"
    NEVER = "asked for, not answered, and not found"


class Message:
    """Bytes and their name. With is_delivery, trace headers stand before them in the mailbox."""

    def __init__(self, token, size, is_delivery):
        self.token = token
        self.is_delivery = is_delivery
        noise = random.Random(token)
        lines = [b"X-Crash-Token: " + token, b"From: sender@example.net", b"To: undisclosed:;",
                 b"Subject: " + token, b"Message-ID: <" + token + b"@example.net>", b"", b".a line with a dot", b"."]
        body = noise.randbytes(max(size // 2, 1)).hex().encode()
        lines += [body[start:start + 72] for start in range(0, len(body), 72)]
        self.data = b"\r\n".join(lines) + b"\r\n"
        self.digest = hashlib.sha256(self.data).digest()

    def fits(self, data):
        """Whether these bytes of a mailbox are this message, whole and unchanged."""
        if self.is_delivery:
            trace = TRACE.match(data)
            data = data[trace.end():] if trace else b""
        return hashlib.sha256(data).digest() == self.digest

    def forget_data(self):
        """The digest is enough once no sender can need the bytes again."""
        self.data = None


class Copy:
    """A message in a mailbox. choices: the sets of flags it may have; more than one while a STORE is unanswered."""

    def __init__(self, message, box, flags, origin=None):
        self.message = message
        self.box = box
        self.choices = {frozenset(flags)}
        self.origin = origin  # what a MOVE takes away: exactly one of the two is there
        self.state = State.MAYBE
        self.uid = None
        self.uidl = None
        self.holder = self    # who may touch it: what is not None is under way, or was never answered
        self.is_read = False  # its bytes were compared

    def __repr__(self):
        return (f"{self.message.token.decode()} in {self.box} uid={self.uid} flags="
                f"{[sorted(flags) for flags in self.choices]}: {self.state.value}")


class Box:
    """A mailbox: at most one living copy of a message; a uid and a UIDL never mean anything else, for ever."""

    def __init__(self, account, name, parent=None):
        self.account = account
        self.name = name
        self.first_name = name
        self.parent = parent       # the Box whose name this one's begins with
        self.other_name = None     # that a RENAME which is not answered may have given it
        self.state = State.THERE
        self.is_closing = False    # under EXPUNGE or CLOSE: nothing else may become \Deleted in it
        self.living = {}  # token: Copy, neither GONE nor NEVER
        self.uids = {}    # uid: token, expunged ones too
        self.uidls = {}   # UIDL: token
        self.uidvalidity = None
        self.uidnext = 1
        self.highestmodseq = 0

    def __repr__(self):
        return f"{self.account.address}/{self.name}"

    def end(self, copy, state):
        copy.state = state
        if self.living.get(copy.message.token) is copy:
            del self.living[copy.message.token]

    def settle_uid(self, copy, uid):
        copy.uid = uid
        self.uids[uid] = copy.message.token


# ---------------------------------------------------------------------- operations: what an answer would mean

class Operation:
    """A request and its copies. `effects` are counted when it is acknowledged. keeps: copies stay taken after it."""

    def __init__(self, copies, keeps=False):
        self.copies = copies
        self.keeps = keeps
        self.number = None

    @property
    def effects(self):
        return len(self.copies)

    def facts(self):
        return {"copies": [repr(copy) for copy in self.copies]}

    def intend(self):
        """The request is about to leave."""

    def done(self, answer):
        """`answer`: what the acknowledgement says beside yes; a kind's own."""

    def refused(self):
        """The server said no: nothing happened."""

    def must_wait(self):
        """Whether another operation is in its way."""
        return False


class Delivery(Operation):
    """A message to some recipients, until each has an answer: who got none tries the same again."""

    def __init__(self, message, boxes, is_lmtp):
        super().__init__([])
        self.message = message
        self.boxes = list(boxes)  # those without an acknowledgement
        self.is_lmtp = is_lmtp
        self.tries = 0

    effects = 1  # each recipient is acknowledged by itself

    def facts(self):
        return {"message": self.message.token.decode(), "recipients": [repr(box) for box in self.boxes],
                "tries": self.tries, "lmtp": self.is_lmtp}

    def intend(self):
        self.tries += 1
        known = {copy.box: copy for copy in self.copies}
        self.was_there = sum(known[box].state in (State.THERE, State.GONE) for box in self.boxes if box in known)
        for box in self.boxes:
            if box not in known or known[box].state is State.NEVER:
                if box in known:
                    self.copies.remove(known[box])
                copy = Copy(self.message, box, ())
                copy.holder = self
                box.living[self.message.token] = copy
                self.copies.append(copy)

    def done(self, box):
        self.boxes.remove(box)
        for copy in self.copies:
            if copy.box is box:
                if copy.state is State.MAYBE:
                    copy.state = State.THERE
                if copy.holder is self:
                    copy.holder = None
        if not self.boxes:
            self.message.forget_data()


class Append(Operation):
    """One message, or several at once (RFC 3502): all or none."""

    def __init__(self, messages, box, flags):
        super().__init__([Copy(message, box, flags) for message in messages])
        self.box = box

    def must_wait(self):
        return self.box.is_closing

    def intend(self):
        for copy in self.copies:
            self.box.living[copy.message.token] = copy

    def done(self, uids):
        assert len(uids) == len(self.copies), f"{len(self.copies)} messages, uids {uids}"
        for copy, uid in zip(self.copies, uids):
            _arrived(copy, uid)

    def refused(self):
        for copy in self.copies:
            self.box.end(copy, State.NEVER)


class Store(Operation):
    def __init__(self, copies, mode, flags, keeps=False):
        super().__init__(copies, keeps)
        self.mode = mode  # "+", "-" or ""
        self.flags = frozenset(flags)

    def facts(self):
        return {**super().facts(), "mode": self.mode, "flags": sorted(self.flags)}

    def must_wait(self):
        return any(copy.box.is_closing for copy in self.copies)

    def _changed(self, flags):
        return {"+": flags | self.flags, "-": flags - self.flags, "": self.flags}[self.mode]

    def intend(self):
        self.before = [copy.choices for copy in self.copies]
        for copy in self.copies:
            copy.choices = copy.choices | {self._changed(flags) for flags in copy.choices}

    def done(self, _):
        for copy, before in zip(self.copies, self.before):
            copy.choices = {self._changed(flags) for flags in before}

    def refused(self):
        for copy, before in zip(self.copies, self.before):
            copy.choices = before


class Remove(Operation):
    """UID EXPUNGE, or DELE and QUIT."""

    def intend(self):
        for copy in self.copies:
            copy.state = State.LEAVING

    def done(self, _):
        for copy in self.copies:
            copy.box.end(copy, State.GONE)

    def refused(self):
        for copy in self.copies:
            copy.state = State.THERE


class Close(Remove):
    """EXPUNGE, and CLOSE: all of a mailbox that is \\Deleted."""

    def __init__(self, box, copies):
        super().__init__(copies)
        self.box = box

    def intend(self):
        super().intend()
        self.box.is_closing = True

    def done(self, answer):
        super().done(answer)
        self.box.is_closing = False

    def refused(self):
        super().refused()
        self.box.is_closing = False


class Delete(Remove):
    """DELETE of a mailbox with all that is in it."""

    effects = 1

    def __init__(self, box):
        super().__init__(list(box.living.values()))
        self.box = box

    def intend(self):
        super().intend()
        self.box.state = State.LEAVING

    def done(self, answer):
        super().done(answer)
        self.box.state = State.GONE

    def refused(self):
        super().refused()
        self.box.state = State.THERE


class Rename(Operation):
    """RENAME of a mailbox and of those below it, all at once."""

    effects = 1

    def __init__(self, names):
        super().__init__([])
        self.names = names  # {Box: new name}

    def facts(self):
        return {"names": {repr(box): name for box, name in self.names.items()}}

    def intend(self):
        for box, name in self.names.items():
            box.other_name = name

    def done(self, _):
        for box, name in self.names.items():
            box.name, box.other_name = name, None

    def refused(self):
        for box in self.names:
            box.other_name = None


class Transfer(Operation):
    """COPY and MOVE."""

    def __init__(self, copies, target, is_move):
        super().__init__(copies)
        self.target = target
        self.is_move = is_move
        self.made = []

    def facts(self):
        return {**super().facts(), "to": repr(self.target), "move": self.is_move}

    def intend(self):
        late = [copy for copy in self.copies if self.target.is_closing or copy.message.token in self.target.living]
        self.copies = [copy for copy in self.copies if copy not in late]  # of two who bring the same one stands back
        for copy in late:
            copy.holder = None
        for copy in self.copies:
            made = Copy(copy.message, self.target, (), origin=copy if self.is_move else None)
            made.choices = set(copy.choices)
            self.target.living[copy.message.token] = made
            self.made.append(made)
            if self.is_move:
                copy.state = State.LEAVING

    def done(self, uids):
        """uids: {uid here: uid there}"""
        for copy, made in zip(self.copies, self.made):
            _arrived(made, uids[copy.uid])
            if self.is_move:
                copy.box.end(copy, State.GONE)

    def refused(self):
        for copy, made in zip(self.copies, self.made):
            self.target.end(made, State.NEVER)
            copy.state = State.THERE


class RenameInbox(Transfer):
    """RENAME of INBOX: all its mail goes to a mailbox that is made for it. RFC 3501 section 6.3.5"""

    def __init__(self, inbox, target):
        super().__init__(list(inbox.living.values()), target, is_move=True)

    @property
    def effects(self):
        return len(self.copies) + 1

    def intend(self):
        super().intend()
        self.target.state = State.MAYBE

    def done(self, _):
        """The uids there are learned when they are seen."""
        self.target.state = State.THERE
        for copy, made in zip(self.copies, self.made):
            copy.box.end(copy, State.GONE)
            made.state, made.holder = State.THERE, None

    def refused(self):
        super().refused()
        self.target.state = State.NEVER


def _arrived(copy, uid):
    assert copy.uid in (None, uid), f"{copy} is said to have uid {uid}"
    assert copy.box.uids.get(uid, copy.message.token) == copy.message.token, f"uid {uid} of {copy} is used again"
    copy.box.settle_uid(copy, uid)
    copy.state = State.THERE
    copy.holder = None


# ---------------------------------------------------------------------- the book itself

class Ledger:
    def __init__(self, path, accounts, mailboxes, recluse=None):
        """recluse: an account of which the INBOX is renamed."""
        self.lock = threading.RLock()
        self.recluse = threading.Lock()  # held by who works on the account whose INBOX is renamed
        self.file = open(path, "w", buffering=1)
        self.boxes = {account.address: self._boxes(account, mailboxes) for account in accounts}
        if recluse:
            self.boxes[recluse.address] = self._boxes(recluse, ["INBOX"])
        self.has_quota = False  # the server counts
        self.others = {}   # mailboxes of an account that nobody uses
        self.uidvalidities = collections.defaultdict(set)
        self.open = {}     # operations without an answer, by number
        self.retries = []  # deliveries whose sender still waits
        self.messages = {}
        self.acknowledged = 0
        self.counts = collections.Counter()    # acknowledged effects, by kind of operation
        self.settled = collections.Counter()   # what a crash left open, and which way it had gone
        self.refusals = collections.Counter()
        self.mistakes = []  # what a worker saw that must never be
        self.numbers = 0

    @staticmethod
    def _boxes(account, names):
        """{first name: Box}; a parent stands before what is below it."""
        boxes = {}
        for name in names:
            boxes[name] = Box(account, name, boxes.get(name.rpartition("/")[0]))
        return boxes

    def close(self):
        self.file.close()

    def note(self, event, **facts):
        with self.lock:
            self.file.write(json.dumps({"time": round(time.time(), 4), "event": event, **facts}) + "\n")

    def mistake(self, text):
        """An answer that no crash excuses."""
        with self.lock:
            self.mistakes.append(text)
            self.note("mistake", text=text)

    def new_message(self, size, is_delivery):
        with self.lock:
            self.numbers += 1
            token = b"m%07d" % self.numbers
        message = Message(token, size, is_delivery)
        with self.lock:
            self.messages[token] = message
        return message

    def box(self, account, name):
        return self.boxes[account.address][name]

    # ------------------------------------------------------------------ operations

    def begin(self, operation):
        """False where it cannot begin now."""
        with self.lock:
            if operation.must_wait():
                return False
            self.numbers += 1
            operation.number = self.numbers
            operation.intend()
            self.open[operation.number] = operation
            if isinstance(operation, Delivery):
                self.settled["recipients tried again who had it"] += operation.was_there
            self.note("intent", number=operation.number, what=type(operation).__name__, **operation.facts())
            return True

    def begin_close(self, box):
        """The removal of all that is \\Deleted in a mailbox; None while it is not known for sure what is."""
        with self.lock:
            doomed = [copy for copy in box.living.values() if any("\\Deleted" in flags for flags in copy.choices)]
            if box.is_closing or any(copy.holder is not None or copy.state is not State.THERE or len(copy.choices) > 1
                                     for copy in doomed):
                return None
            for copy in doomed:
                copy.holder = self
            operation = Close(box, doomed)
            self.begin(operation)
            return operation

    def begin_rename(self, account, luck):
        """The new name of a mailbox; its old name and the operation, or None. One at a time in an account."""
        with self.lock:
            boxes = [box for box in self.boxes[account.address].values() if box.first_name != "INBOX"]
            if any(box.other_name is not None for box in boxes):
                return None
            box = luck.choice(boxes)
            new = f"{box.first_name} {self.numbers}"
            if box.parent:
                new = f"{box.parent.name}/{box.first_name.rpartition('/')[2]} {self.numbers}"
            names = {box: new, **{below: new + below.name[len(box.name):] for below in boxes if below.parent is box}}
            operation = Rename(names)
            self.begin(operation)
            return box.name, new, operation

    def begin_rename_inbox(self, account):
        """The mail of an INBOX goes to a new mailbox; None while anything there is open. Gives the operation."""
        with self.lock:
            boxes = self.boxes[account.address]
            inbox = boxes["INBOX"]
            if any(copy.holder is not None or copy.state is not State.THERE for copy in inbox.living.values()):
                return None
            target = Box(account, f"Old mail {self.numbers}")
            boxes[target.name] = target
            operation = RenameInbox(inbox, target)
            for copy in operation.copies:
                copy.holder = self
            self.begin(operation)
            return operation

    def begin_delete(self, box):
        with self.lock:
            if box.state is not State.THERE or any(copy.holder is not None or copy.state is not State.THERE
                                                   for copy in box.living.values()):
                return None
            operation = Delete(box)
            for copy in operation.copies:
                copy.holder = self
            self.begin(operation)
            return operation

    def drop(self, box):
        """A mailbox that is no more, or never was."""
        with self.lock:
            for copy in list(box.living.values()):
                box.end(copy, State.GONE)
            del self.boxes[box.account.address][box.first_name]

    def done(self, operation, answer=None):
        """An acknowledgement is here (of a delivery: one recipient's)."""
        with self.lock:
            self.acknowledged += operation.effects
            self.counts[type(operation).__name__] += operation.effects
            self.note("acknowledged", number=operation.number, what=type(operation).__name__, answer=str(answer))
            operation.done(answer)
            if not isinstance(operation, Delivery):
                self._end(operation)
            elif not operation.boxes:
                del self.open[operation.number]

    def refused(self, operation, answer, is_excused=False):
        with self.lock:
            self.note("refused", number=operation.number, answer=str(answer))
            self.refusals[f"{type(operation).__name__}: {answer}"] += not is_excused
            operation.refused()
            operation.keeps = False
            self._end(operation)

    def _end(self, operation):
        del self.open[operation.number]
        if not operation.keeps:
            self.give_back(operation.copies)

    def try_again(self, delivery, answer):
        """No answer, or one that asks to come back."""
        with self.lock:
            self.settled["deliveries tried again"] += 1
            self.note("try-again", number=delivery.number, answer=str(answer))
            self.refusals[f"Delivery: {answer}"] += 1
            self.open.pop(delivery.number, None)
            self.retries.append(delivery)

    def leave_open(self):
        """A comparison has settled everything; who sends a delivery must still have his answer."""
        for operation in self.open.values():
            if isinstance(operation, Delivery):
                self.retries.append(operation)
        self.open.clear()
        for boxes in self.boxes.values():
            for box in boxes.values():
                box.is_closing = False
                self.give_back(box.living.values())

    def next_retry(self, is_lmtp):
        """A delivery to try again, by the protocol of its first try."""
        with self.lock:
            delivery = next((one for one in self.retries if one.is_lmtp == is_lmtp), None)
            if delivery is not None:
                self.retries.remove(delivery)
            return delivery

    # ------------------------------------------------------------------ copies

    def take(self, box, count, luck, not_in=None):
        """Up to `count` copies of a box for an operation; not_in: only messages which that other box does not hold."""
        with self.lock:
            if box.is_closing:
                return []
            free = [copy for copy in box.living.values()
                    if copy.state is State.THERE and copy.holder is None and copy.uid is not None
                    and (not_in is None or copy.message.token not in not_in.living)]
            taken = luck.sample(free, min(count, len(free)))
            for copy in taken:
                copy.holder = self
            return taken

    def give_back(self, copies):
        with self.lock:
            for copy in copies:
                copy.holder = None

    def unknown_uids(self, box):
        """Where to look for the uids of copies that have none yet: from what was UIDNEXT at the last comparison on."""
        with self.lock:
            return box.uidnext if any(copy.uid is None for copy in box.living.values()) else None

    def seen(self, box, uid, token):
        """A client saw this message: from now on it must stay, whoever waits for the answer that it is there."""
        with self.lock:
            copy = box.living.get(token)
            if copy is None or copy.uid is not None or uid in box.uids or copy.state is State.LEAVING:
                return
            box.settle_uid(copy, uid)
            if copy.state is State.MAYBE:
                self.note("seen", copy=repr(copy))
                self.settled["seen before its answer"] += 1
                copy.state = State.THERE
                if copy.origin is not None:
                    copy.origin.box.end(copy.origin, State.GONE)
