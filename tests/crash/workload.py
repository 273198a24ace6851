"""The clients of the crash test: each a thread that opens one session after another until it is told to stop.

A session ends early wherever the server goes away; the operation then stays open in the ledger. Only refusals that a
crash excuses are let pass: 4xx, NO and -ERR that are not about a wrong password or command.
"""

import random
import re
import ssl
import threading
import time

from harness import wire

from ledger import TOKEN_LINE, Append, Delivery, Remove, State, Store, Transfer

ANSWER_SECONDS = 20    # an answer that takes longer than this is a hanging server
RETRY_SECONDS = 0.02   # between two tries to connect
BOX_COPIES = 40        # of a mailbox; more are removed again
OLD_BOXES = 6          # of the account whose INBOX is renamed; then they are deleted
LARGE = 256 * 1024     # beyond this a message takes the way through a temporary file
SLICED = 1024 * 1024   # and beyond this it is read and copied in slices
FLAGS = ["\\Seen", "\\Answered", "\\Flagged", "\\Draft", "\\Deleted", "$Forwarded", "Crash-1", "Crash-2"]
SENDER = "sender@example.net"
GONE_AWAY = (wire.Closed, ConnectionError, BrokenPipeError, ssl.SSLError, FileNotFoundError)


class Refused(Exception):
    """The server asks to come back later."""


def some_size(luck):
    """Bytes of a message: mostly small, sometimes beyond the page, now and then beyond what is kept in memory."""
    dice = luck.random()
    if dice < 0.004:
        return luck.randint(SLICED, 4 * SLICED)
    if dice < 0.02:
        return luck.randint(LARGE, 2 * LARGE + 100000)
    if dice < 0.10:
        return luck.randint(10000, 100000)
    return luck.randint(1, 5000)


class Client(threading.Thread):
    def __init__(self, server, ledger, accounts, seed, recluse=None):
        """recluse: an account that only one client at a time works on, and that takes no deliveries."""
        super().__init__(daemon=True)
        self.server = server
        self.ledger = ledger
        self.accounts = accounts
        self.luck = random.Random(seed)
        self.stop = threading.Event()
        self.recluse = recluse

    def run(self):
        sessions = [self.smtp_session, self.lmtp_session, self.imap_session, self.imap_session, self.imap_session,
                    self.pop3_session] * 3
        if self.recluse:
            sessions += [self.recluse_session, self.recluse_session]
        while not self.stop.is_set():
            self._attempt(self.luck.choice(sessions))

    def finish_deliveries(self, deadline):
        """Tries again until every sender has his answer; True where that comes before the deadline."""
        while self.ledger.retries and time.monotonic() < deadline:
            self._attempt(self.lmtp_session if self.ledger.retries[0].is_lmtp else self.smtp_session)
        return not self.ledger.retries

    def _attempt(self, session):
        try:
            session()
        except (Refused, *GONE_AWAY):
            time.sleep(RETRY_SECONDS)
        except TimeoutError:
            self.ledger.mistake(f"{session.__name__}: no answer within {ANSWER_SECONDS} s")
        except Exception as error:  # whatever else it is, the run must not call it a success
            self.ledger.mistake(f"{session.__name__}: {type(error).__name__}: {error}")
            time.sleep(RETRY_SECONDS)

    # ------------------------------------------------------------------ deliveries

    def smtp_session(self):
        with _greeted(lambda: wire.Smtp(self.server.connect("smtp", ANSWER_SECONDS))) as client:
            self._accepted(client, "EHLO client.example.net")
            if self.luck.random() < 0.1:
                self._accepted(client, "STARTTLS", 220)
                client.line.start_tls(self.server.certificate)
                self._accepted(client, "EHLO client.example.net")
            self._deliveries(client, is_lmtp=False)

    def lmtp_session(self):
        def connect():
            if self.luck.random() < 0.3:
                return wire.Smtp(wire.Line.open_unix(self.server.lmtp_socket, ANSWER_SECONDS))
            return wire.Smtp(self.server.connect("lmtp", ANSWER_SECONDS))
        with _greeted(connect) as client:
            self._accepted(client, "LHLO client.example.net")
            self._deliveries(client, is_lmtp=True)

    def _deliveries(self, client, is_lmtp):
        for _ in range(self.luck.randint(1, 4)):
            delivery = self._next_delivery(is_lmtp)
            if delivery is None:
                return
            self.ledger.begin(delivery)
            try:
                self._deliver(client, delivery)
            except Exception as error:
                self.ledger.try_again(delivery, f"{type(error).__name__} {error}")
                raise
            if self.stop.is_set():
                return

    def _next_delivery(self, is_lmtp):
        delivery = self.ledger.next_retry(is_lmtp)
        if delivery is not None:
            return delivery
        boxes = [self.ledger.box(account, "INBOX") for account in self.accounts]
        boxes = [box for box in boxes if len(box.living) < BOX_COPIES]
        if not boxes:
            return None
        count = 1 if self.luck.random() < 0.7 else self.luck.randint(1, len(boxes))
        message = self.ledger.new_message(some_size(self.luck), is_delivery=True)
        return Delivery(message, self.luck.sample(boxes, count), is_lmtp)

    def _deliver(self, client, delivery):
        """One transaction; notes what was acknowledged, raises Refused where something was not."""
        self._accepted(client, f"MAIL FROM:<{SENDER}>")
        recipients = list(delivery.boxes)
        for box in recipients:
            self._accepted(client, f"RCPT TO:<{box.account.address}>")
        self._accepted(client, "DATA", 354)
        client.line.send(wire.dot_stuffed(delivery.message.data))
        refusals = []
        for box in recipients if delivery.is_lmtp else [None]:
            answer = client.read()
            if answer[0] == 250:
                for served in [box] if delivery.is_lmtp else recipients:
                    self.ledger.done(delivery, served)
            else:
                refusals.append(answer)
        if refusals:
            self._judge(delivery.message.token, refusals[0])

    def _accepted(self, client, line, code=250):
        answer = client.command(line)
        if answer[0] != code:
            self._judge(line, answer)

    def _judge(self, what, answer):
        if not 400 <= answer[0] <= 499:
            self.ledger.mistake(f"{what}: {answer}")
        raise Refused(answer)

    # ------------------------------------------------------------------ IMAP

    def _imap(self, account):
        service = "imaps" if self.luck.random() < 0.2 else "imap"
        imap = _greeted(lambda: wire.Imap(self.server.connect(service, ANSWER_SECONDS)))
        try:
            answer = self._imap_ok(imap, b"LOGIN ", wire.quoted(account.address), b" ", wire.quoted(account.password))
            imap.appends_many = b"MULTIAPPEND" in answer.code.split(b" ")
        except BaseException:
            imap.close()
            raise
        return imap

    def imap_session(self):
        account = self.luck.choice(self.accounts)
        with self._imap(account) as imap:
            box = self._select(imap, account)
            for _ in range(self.luck.randint(1, 12)):
                if self.stop.is_set():
                    break
                if self.luck.random() < 0.15:
                    box = self._select(imap, account)
                self._learn_uids(imap, box)
                is_full = len(box.living) > BOX_COPIES / 2
                step = self.luck.choices([self._append, self._store, self._copy, self._move, self._expunge, self._close,
                                          self._read, self._rename],
                                         [5, 5, 2, 3, 6 if is_full else 1, 4 if is_full else 1, 1, 0.7])[0]
                is_selected = step(imap, box)
                if is_selected is False:
                    box = self._select(imap, account)
            if self.luck.random() < 0.5:
                imap.send("LOGOUT")

    def _select(self, imap, account):
        boxes = self.ledger.boxes[account.address]
        while True:
            box = self.luck.choice([boxes["INBOX"], *boxes.values()])
            name = box.name
            answer = imap.command(b"SELECT ", wire.quoted(name))
            if answer.status == b"OK":
                return box
            self._judge_imap(("SELECT", name), answer, box, name)
            if self.stop.is_set():
                raise Refused(answer)

    def _imap_ok(self, imap, *parts):
        answer = imap.command(*parts)
        if answer.status != b"OK":
            self._judge_imap(parts, answer)
            raise Refused(answer)
        return answer

    def _judge_imap(self, parts, answer, box=None, name=None):
        """What is not excused: BAD, and a refusal that blames the client. True: `name` of `box` went by a RENAME."""
        if box is not None and answer.code in (b"NONEXISTENT", b"TRYCREATE"):
            with self.ledger.lock:
                if box.other_name is not None or box.name != name:
                    return True
        if answer.status == b"BAD" or answer.code in (b"AUTHENTICATIONFAILED", b"NONEXISTENT", b"TRYCREATE", b"CANNOT",
                                                      b"ALREADYEXISTS"):
            self.ledger.mistake(f"{parts!r}: {answer}"[:1000])
        return False

    def _perform(self, imap, operation, answer_of, *parts, target=None, name=None):
        """A command whose OK the ledger counts; answer_of makes of the answer what the operation wants to know."""
        if not self.ledger.begin(operation):
            self.ledger.give_back(operation.copies)
            return False
        return self._conclude(imap, operation, answer_of, *parts, target=target, name=name)

    def _conclude(self, imap, operation, answer_of, *parts, target=None, name=None):
        answer = imap.command(*parts)
        effect = warned(answer)
        if effect.status == b"OK":
            self.ledger.done(operation, answer_of(answer))
        else:
            is_excused = self._judge_imap(parts, effect, target, name)
            self.ledger.refused(operation, effect, is_excused)
        return answer.status == b"OK"

    def _learn_uids(self, imap, box):
        start = self.ledger.unknown_uids(box)
        if start is None:
            return
        answer = self._imap_ok(imap, f"UID FETCH {start}:* (UID BODY.PEEK[HEADER.FIELDS (X-CRASH-TOKEN)])")
        for uid, token in tokens_of(answer):
            self.ledger.seen(box, uid, token)

    def _take(self, imap, box, count, not_in=None):
        """Copies that this session knows: what others brought since its last command, NOOP tells it."""
        copies = self.ledger.take(box, count, self.luck, not_in)
        if copies:
            self._imap_ok(imap, "NOOP")
        return copies

    def _append(self, imap, box):
        self._append_to(imap, self.luck.choice(list(self.ledger.boxes[box.account.address].values())))

    def _append_to(self, imap, target):
        name = target.name
        if len(target.living) > BOX_COPIES:
            return
        count = self.luck.randint(2, 5) if imap.appends_many and self.luck.random() < 0.3 else 1
        messages = [self.ledger.new_message(some_size(self.luck), is_delivery=False) for _ in range(count)]
        flags = self.luck.sample(FLAGS, self.luck.randint(0, 3))
        parts = [part for message in messages for part in (f" ({' '.join(flags)}) ", wire.Literal(message.data))]
        self._perform(imap, Append(messages, target, flags), lambda answer: _set(_code(answer, b"APPENDUID")[1]),
                      b"APPEND ", wire.quoted(name), *parts, target=target, name=name)
        for message in messages:
            message.forget_data()

    def _store(self, imap, box):
        copies = self._take(imap, box, self.luck.randint(1, 8))
        if copies:
            mode = self.luck.choice(["+", "-", ""])
            flags = self.luck.sample(FLAGS, self.luck.randint(1, 3))
            silent = self.luck.choice(["", ".SILENT"])
            self._perform(imap, Store(copies, mode, flags), lambda answer: None,
                          f"UID STORE {_uids(copies)} {mode}FLAGS{silent} ({' '.join(flags)})")

    def _copy(self, imap, box, is_move=False):
        target = self.luck.choice([other for other in self.ledger.boxes[box.account.address].values()
                                   if other is not box])
        name = target.name
        if not is_move and len(target.living) > BOX_COPIES:
            return
        copies = self._take(imap, box, self.luck.randint(1, 8), not_in=target)
        if copies:
            operation = Transfer(copies, target, is_move)
            self.ledger.begin(operation)
            if operation.copies:
                self._conclude(imap, operation, _copied, f"UID {'MOVE' if is_move else 'COPY'} "
                               f"{_uids(operation.copies)} ", wire.quoted(name), target=target, name=name)
            else:
                self.ledger.done(operation, {})

    def _move(self, imap, box):
        self._copy(imap, box, is_move=True)

    def _expunge(self, imap, box):
        copies = self._take(imap, box, self.luck.randint(1, 12))
        if copies:
            marked = self._perform(imap, Store(copies, "+", ["\\Deleted"], keeps=True), lambda answer: None,
                                   f"UID STORE {_uids(copies)} +FLAGS.SILENT (\\Deleted)")
            if marked:
                self._perform(imap, Remove(copies), lambda answer: None, f"UID EXPUNGE {_uids(copies)}")

    def _close(self, imap, box):
        """False when the mailbox is no more selected."""
        copies = self._take(imap, box, self.luck.randint(1, 12))
        if copies:
            self._perform(imap, Store(copies, "+", ["\\Deleted"]), lambda answer: None,
                          f"UID STORE {_uids(copies)} +FLAGS.SILENT (\\Deleted)")
        operation = self.ledger.begin_close(box)
        if operation is None:
            return None
        command = self.luck.choice(["EXPUNGE", "CLOSE"])
        is_done = self._conclude(imap, operation, lambda answer: None, command)
        return not (is_done and command == "CLOSE")

    def _rename(self, imap, box):
        begun = self.ledger.begin_rename(box.account, self.luck)
        if begun is not None:
            old, new, operation = begun
            self._conclude(imap, operation, lambda answer: None, b"RENAME ", wire.quoted(old), b" ", wire.quoted(new))

    def recluse_session(self):
        """INBOX is filled, renamed, and what comes of it deleted in the end."""
        if not self.ledger.recluse.acquire(blocking=False):
            return
        try:
            with self._imap(self.recluse) as imap:
                for _ in range(self.luck.randint(1, 4)):
                    if not self.stop.is_set():
                        self._fill_and_rename_inbox(imap)
        finally:
            self.ledger.recluse.release()

    def _fill_and_rename_inbox(self, imap):
        boxes = self.ledger.boxes[self.recluse.address]
        for _ in range(self.luck.randint(0, 3)):
            self._append_to(imap, boxes["INBOX"])
        old = [box for box in boxes.values() if box.first_name != "INBOX" and box.state is State.THERE]
        if len(old) >= OLD_BOXES:
            operation = self.ledger.begin_delete(old[0])
            if operation and self._conclude(imap, operation, lambda answer: None, b"DELETE ", wire.quoted(old[0].name)):
                self.ledger.drop(old[0])
        operation = self.ledger.begin_rename_inbox(self.recluse)
        if operation is not None:
            is_done = self._conclude(imap, operation, lambda answer: None, b"RENAME INBOX ",
                                     wire.quoted(operation.target.name))
            if not is_done:
                self.ledger.drop(operation.target)

    def _read(self, imap, box):
        copies = self._take(imap, box, 1)
        try:
            for copy in copies:
                answer = self._imap_ok(imap, f"UID FETCH {copy.uid} (UID BODY.PEEK[])")
                found = [one[b"BODY[]"] for one in fetches(answer) if one[b"UID"] == b"%d" % copy.uid
                         and b"BODY[]" in one]
                if not any(copy.message.fits(data) for data in found):
                    self.ledger.mistake(f"read during the load: {copy} is not what was sent: {answer}"[:1000])
        finally:
            self.ledger.give_back(copies)

    # ------------------------------------------------------------------ POP3

    def pop3_session(self):
        box = self.ledger.box(self.luck.choice(self.accounts), "INBOX")
        # taken before the maildrop is read: what it shows of these messages are these copies and no earlier ones
        copies = self.ledger.take(box, self.luck.randint(0, 8), self.luck)
        try:
            self._delete_by_pop3(box, copies)
        finally:
            self.ledger.give_back(copies)

    def _delete_by_pop3(self, box, copies):
        service = "pop3s" if self.luck.random() < 0.3 else "pop3"
        with _greeted(lambda: wire.Pop3(self.server.connect(service, ANSWER_SECONDS))) as pop3:
            self._pop3_ok(pop3, f"USER {box.account.address}")
            self._pop3_ok(pop3, f"PASS {box.account.password}")
            numbers = pop3_tokens(pop3, box, self.ledger)
            for copy in copies:
                if copy.message.token not in numbers:
                    self.ledger.mistake(f"POP3 does not show {copy}")
                    raise Refused
            if not copies:
                self._pop3_ok(pop3, "QUIT")
                return
            operation = Remove(copies)
            self.ledger.begin(operation)
            for copy in copies:
                self._pop3_ok(pop3, f"DELE {numbers[copy.message.token]}")
            answer = pop3.command("QUIT")
            if answer.startswith(b"+OK"):
                self.ledger.done(operation)
            else:  # some may be gone (RFC 1939 section 6): the operation stays open
                self._judge_pop3("QUIT", answer)

    def _pop3_ok(self, pop3, line):
        answer = pop3.command(line)
        if not answer.startswith(b"+OK"):
            self._judge_pop3(line, answer)
            raise Refused(answer)

    def _judge_pop3(self, line, answer):
        if not answer.startswith((b"-ERR [SYS/TEMP]", b"-ERR [IN-USE]", b"-ERR [LOGIN-DELAY]")):
            self.ledger.mistake(f"{line}: {answer!r}")


# ---------------------------------------------------------------------- shared with the comparison

def _greeted(connect):
    """A client whose greeting was friendly."""
    try:
        return connect()
    except AssertionError as error:  # 421, BYE, -ERR: the harness wants a greeting, we can wait for one
        raise Refused(str(error)) from None


def fetches(answer):
    """Each untagged FETCH by itself: when others expunge meanwhile, one number may stand for two messages."""
    for line in answer.untagged:
        match = re.match(rb"\* \d+ FETCH ", line)
        if match:
            pairs = wire.parse(line[match.end():])[0]
            yield {name.upper(): value for name, value in zip(pairs[::2], pairs[1::2])}


def warned(answer):
    """CLOSE has no tagged NO (RFC 3501 section 6.4.2): what it could not remove is told by an untagged one ahead of its OK."""
    reasons = answer.all(b"NO") if answer.status == b"OK" else []
    return wire.Answer(b"NO", reasons[-1], answer.untagged) if reasons else answer


def tokens_of(answer):
    """[(uid, token)] of a UID FETCH of (UID BODY.PEEK[HEADER.FIELDS (X-CRASH-TOKEN)])"""
    found = []
    for one in fetches(answer):
        header = next((value for name, value in one.items() if name.startswith(b"BODY[HEADER")), None)
        if header is not None:
            match = TOKEN_LINE.search(header)
            found.append((int(one[b"UID"]), match.group(1) if match else header))
    return found


def pop3_tokens(pop3, box, ledger):
    """{token: number} of a maildrop; TOP is asked only for UIDLs that the ledger has not seen."""
    numbers = {}
    for number, uidl in pop3.uidl().items():
        with ledger.lock:
            token = box.uidls.get(uidl)
        if token is None:
            answer = pop3.command(f"TOP {number} 0")
            if answer.startswith(b"-ERR [SYS/TEMP]"):
                raise Refused(answer)  # memory was short: nothing is said of the message
            if not answer.startswith(b"+OK"):
                continue  # expunged by another session
            match = TOKEN_LINE.search(pop3.read_multiline())
            token = match.group(1) if match else uidl
            with ledger.lock:
                if box.uidls.setdefault(uidl, token) != token:
                    ledger.mistake(f"UIDL {uidl!r} of {box} stands for {token!r} and {box.uidls[uidl]!r}")
        if token in numbers:
            ledger.mistake(f"{token!r} is twice in {box}, says POP3")
        numbers[token] = number
    return numbers


def _uids(copies):
    return ",".join(str(copy.uid) for copy in copies)


def _code(answer, name):
    """The words of a response code: [b"APPENDUID", b"1", b"5"] gives [b"1", b"5"]."""
    words = answer.codes().get(name)
    assert words is not None, f"no {name.decode()} in {answer}"
    return words.split(b" ")


def _set(text):
    """The numbers of a uid set, in its order. RFC 4315: what COPYUID says has one order on both sides"""
    numbers = []
    for part in text.split(b","):
        first, _, last = part.partition(b":")
        low, high = sorted((int(first), int(last or first)))
        numbers += range(low, high + 1)
    return numbers


def _copied(answer):
    """{uid here: uid there}; MOVE tells it in an untagged OK. RFC 4315 section 3, RFC 6851 section 4.3"""
    _, here, there = _code(answer, b"COPYUID")
    here, there = _set(here), _set(there)
    assert len(here) == len(there), answer
    return dict(zip(here, there))
