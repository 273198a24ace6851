"""Reads a trace of system calls and says which acknowledgements left too early.

A call counts from where it returned (end), an acknowledgement from where it began (begin); both are line numbers.

What a promise stands for is known by marks that no other client leaves: words of its own (tokens) in rows of the
database, or in a row no more; a row of the change log, or of what POP3 remembers, of an account that only this client
uses, and which came after the request. In this order: all writes of the message's bytes to a segment; a sync of that
segment; the last write of the transaction that has the mark (logged.py); a sync of that log; the acknowledgement. What
has no body begins with the log. Where a promise has several marks, each must be durable.
"""

import bisect
import collections
import functools
import re
import typing

from logged import TOKEN, Log

WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2")
SENDS = ("write", "writev", "sendto", "sendmsg")
SYNCS = ("fsync", "fdatasync")
RECEIVES = ("read", "readv", "recvfrom", "recvmsg")
# what would bring bytes to a file and is not looked at here: a trace that has it is refused
UNKNOWN = ("copy_file_range", "splice", "sync_file_range", "sync", "syncfs")
TRACED = sorted({*WRITES, *SENDS, *SYNCS, *RECEIVES, *UNKNOWN, "accept4"})

_CALL = re.compile(r"(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_TARGET = re.compile(r"\d+<(.*?)>(?=[,)]| <unfinished)")
_PORTS = re.compile(r":(\d+)->[^,\]]*:(\d+)\b")
_RESULT = re.compile(r"\) += (-?\d+)")
_LOGGED = re.compile(r'"((?:[^"\\]|\\.)*)", (\d+), (\d+)(?:\)| <unfinished)')
_REQUEST = re.compile(r'"(t\d+) ')
_ANSWER = re.compile(r'(?:"|\\n)(t\d+) OK')
_TEXT = 4000  # kept of what goes over the network: requests and answers of the test are shorter
_TOKEN = re.compile(TOKEN.pattern.decode())


class Call:
    def __init__(self, target, begin, tokens=(), text=""):
        self.target = target
        self.begin = self.end = begin
        self.result = 0
        self.tokens = tokens
        self.text = text


class Conversation:
    """A connection, from the server's side."""

    def __init__(self):
        self.calls = []  # (was it sent, call)

    def all(self, is_sent):
        return [call for is_so, call in self.calls if is_so == is_sent]

    @functools.cached_property
    def tagged(self):
        """{(was it sent, IMAP's tag): the call with that answer, or request}"""
        return {(is_sent, tag): call for is_sent, call in reversed(self.calls)
                for tag in (_ANSWER if is_sent else _REQUEST).findall(call.text)}

    def turns(self):
        """The first call of each answer, where the client waits for each answer before it goes on."""
        done = [(is_sent, call) for is_sent, call in self.calls if call.result > 0]
        before = [False, *(is_sent for is_sent, _ in done)]
        return [call for was_sent, (is_sent, call) in zip(before, done) if is_sent and not was_sent]


class Trace:
    def __init__(self, lines):
        self.bodies = collections.defaultdict(list)   # {token: writes to segments that have it}
        self.logs = collections.defaultdict(Log)      # {write-ahead log: what it says}
        self.syncs = collections.defaultdict(list)    # {file: its syncs}
        # {(server's port, client's port), or the name of a connection to the control socket}
        self.conversations = collections.defaultdict(Conversation)
        unfinished, logged = {}, []
        for number, line in enumerate(lines):
            if match := _CALL.match(line):
                call = self._add(match.group(2), match.group(3), number, logged)
                if call is not None and line.rstrip("\n").endswith("<unfinished ...>"):
                    unfinished[match.group(1)] = call
                elif call is not None:
                    self._done(call, number, line)
            elif (match := _RESUMED.match(line)) and match.group(1) in unfinished:
                call = unfinished.pop(match.group(1))
                call.text += match.group(3)[:_TEXT]
                self._done(call, number, line)
        for calls in self.syncs.values():
            calls.sort(key=lambda call: call.begin)
        for call, at, text in logged:
            self.logs[call.target].write(call, at, text.encode().decode("unicode_escape").encode("latin-1"))

    @staticmethod
    def _done(call, number, line):
        call.end = number
        match = _RESULT.search(line, max(0, len(line) - 100))
        call.result = int(match.group(1)) if match else 0

    def _add(self, name, text, number, logged):
        assert name not in UNKNOWN, f"a call that this test does not understand: {name}({text[:200]}"
        match = _TARGET.match(text)
        target = match.group(1) if match else ""
        call = Call(target, number)
        if name in SYNCS:
            self.syncs[target].append(call)
        elif name in WRITES and target.endswith(".seg"):
            for token in set(_TOKEN.findall(text)):
                self.bodies[token].append(call)
        elif name in WRITES and target.endswith("-wal"):
            match = _LOGGED.search(text)
            assert name == "pwrite64" and match, f"a log is written otherwise: {name}({text[:200]}"
            logged.append((call, int(match.group(3)), match.group(1)))
        elif name == "accept4" and (ports := _PORTS.search(text)):
            # those that had these ports before are none of ours (load.py sees to it)
            self.conversations.pop(tuple(map(int, ports.groups())), None)
            return None
        elif (ports := _PORTS.search(target)) or "control.sock" in target:
            call.text = text[:_TEXT]
            where = tuple(map(int, ports.groups())) if ports else target
            self.conversations[where].calls.append((name in SENDS, call))
        else:
            return None
        return call

    def log(self, where):
        """The write-ahead log of a shard (its number), or of auth."""
        end = "auth/directory.db-wal" if where == AUTH else f"shards/{where:02}/index.db-wal"
        return next((log for target, log in self.logs.items() if target.endswith(end)), Log())


AUTH = "auth"


class Promise(typing.NamedTuple):
    """What a client was told, and by what marks it is known."""
    kind: str
    # the answer: IMAP's by its tag, another one is the ordinal-th match of `answer` on the connection, or its turn
    ports: tuple = ()   # the server's and the client's; (): the control socket, on which the request came
    tag: str = ""
    answer: str = ""
    ordinal: int = 0
    turn: int = 0       # of the server's answers on an encrypted connection, from the end: -1 is the last one
    request: str = ""   # part of what was asked
    # the marks
    address: str = ""   # of the account
    came: tuple = ()    # tokens
    gone: tuple = ()
    news: tuple = ()    # "new", "flags", "expunge": of the account; "hidden", "due": of its INBOX
    body: str = ""      # the token of the message's bytes
    is_of_auth: bool = False  # the marks are in auth's database, and not in the shard's

    def __str__(self):
        marks = " ".join(self.came + self.gone + self.news)
        return f"{self.kind} {marks} {self.tag or self.request} of {self.address} on {self.ports}"


class Place(typing.NamedTuple):
    """Where the server keeps an account."""
    shard: int
    account: int  # numbers in the shard's database
    inbox: int


class Dishonest(Exception):
    """Why an acknowledgement was not due."""


class Checker:
    def __init__(self, trace, places):
        """places: {address: Place}"""
        self.trace = trace
        self.places = places
        self.answers = {}  # {(connection, answer): the sends that match, once for each match}

    # ------------------------------------------------------------------ what was said

    def _request(self, promise):
        """(connection, the call that read the request)"""
        if promise.tag:
            return promise.ports, self._tagged(promise, is_sent=False)
        somewhere = [promise.ports] if promise.ports else [where for where in self.trace.conversations
                                                           if isinstance(where, str)]
        for where in somewhere:
            for call in self.trace.conversations[where].all(is_sent=False):
                if promise.request in call.text:
                    return where, call
        raise Dishonest(f"{promise}: the trace has no such request")

    def _tagged(self, promise, is_sent):
        call = self.trace.conversations[promise.ports].tagged.get((is_sent, promise.tag))
        if call is None:
            raise Dishonest(f"{promise}: the trace has no such {'answer' if is_sent else 'request'}")
        return call

    def acknowledgement(self, promise):
        if promise.tag:
            return self._tagged(promise, is_sent=True)
        if promise.turn:
            turns = self.trace.conversations[promise.ports].turns()
            if len(turns) < -promise.turn:
                raise Dishonest(f"{promise}: the trace has {len(turns)} answers only")
            return turns[promise.turn]
        if not promise.ports:
            where, request = self._request(promise)
            after = [call for call in self.trace.conversations[where].all(is_sent=True) if call.begin > request.end]
            if not after:
                raise Dishonest(f"{promise}: the trace has no answer")
            return after[0]
        key = promise.ports, promise.answer
        if key not in self.answers:
            self.answers[key] = [call for call in self.trace.conversations[promise.ports].all(is_sent=True)
                                 for _ in re.findall(promise.answer, call.text)]
        if len(self.answers[key]) <= promise.ordinal:
            raise Dishonest(f"{promise}: the trace has no such answer")
        return self.answers[key][promise.ordinal]

    # ------------------------------------------------------------------ what was done

    def _sync(self, what, target, after):
        """The first sync of a file that began after a line."""
        calls = self.trace.syncs[target]
        at = bisect.bisect_right(calls, after, key=lambda call: call.begin)
        if at == len(calls):
            raise Dishonest(f"{what}: no sync of {target} after line {after}")
        return calls[at]

    def _news(self, promise, log, table, after):
        place = self.places[promise.address]
        about = place.inbox if table in ("hidden", "due") else place.account
        call = next((call for call in log.news.get((table, about), ()) if call.begin > after), None)
        if call is None:
            raise Dishonest(f"{promise}: no row '{table}' was logged after line {after}")
        return call

    def logged(self, promise):
        """The writes that ended the transactions with the promise's marks."""
        log = self.trace.log(AUTH if promise.is_of_auth else self.places[promise.address].shard)
        marks = [log.came.get(token) for token in promise.came] + [log.gone.get(token) for token in promise.gone]
        if None in marks:
            raise Dishonest(f"{promise}: it is not in the write-ahead log")
        if promise.news:
            # a delivery's request is its body: its row comes after that
            has_request = promise.tag or promise.request
            after = self._request(promise)[1].end if has_request else self.body(promise)[0].begin
            marks += [self._news(promise, log, table, after) for table in promise.news]
        return marks

    def body(self, promise):
        """The writes of the message's bytes."""
        calls = self.trace.bodies.get(promise.body)
        if not calls:
            raise Dishonest(f"{promise}: its bytes are in no segment")
        return calls

    def durable(self, promise):
        """The last of the syncs that cover a promise."""
        marks = self.logged(promise)
        assert marks, f"a promise of nothing: {promise}"
        if promise.body:
            calls = self.body(promise)
            after = self._sync(promise, calls[0].target, max(call.end for call in calls)).end
            if marks[0].begin < after:
                raise Dishonest(f"{promise}: in the log at line {marks[0].begin}, "
                                f"its bytes were durable at line {after}")
        return max((self._sync(promise, log.target, log.end) for log in marks), key=lambda sync: sync.end)

    def check(self, promise):
        durable, left = self.durable(promise), self.acknowledgement(promise)
        if durable.end >= left.begin:
            raise Dishonest(f"{promise}: durable at line {durable.end}, acknowledged at line {left.begin}")

    def complaints(self, promises):
        found = []
        for promise in promises:
            try:
                self.check(promise)
            except Dishonest as complaint:
                found.append(str(complaint))
        return found
