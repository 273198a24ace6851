"""Reads a trace of system calls and says which acknowledgements left too early.

A call counts from where it returned (end), an acknowledgement from where it began (begin); both are line numbers.

 exact   a message, and a change that brings a word of its own into the database, has a token. In this order: the segment
         write that holds the token; a sync of that segment; the write of the shard's write-ahead log that holds the token; a
         sync of that log; the acknowledgement. What has no body begins with the log.
 timed   other changes (EXPUNGE, COPY, QUIT) leave no word. In this order: the request is read; a write of the shard's log; a
         sync of it; the acknowledgement. That is as strict where no other client is at work, and less so in a crowd.
"""

import bisect
import collections
import re
import typing

WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2")
SENDS = ("write", "writev", "sendto", "sendmsg")
SYNCS = ("fsync", "fdatasync")
RECEIVES = ("read", "readv", "recvfrom", "recvmsg")
TRACED = sorted({*WRITES, *SENDS, *SYNCS, *RECEIVES})
TOKEN = re.compile(r"token-[a-z0-9]+-\d+-end")

_CALL = re.compile(r"(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_TARGET = re.compile(r"\d+<(.*?)>(?=[,)]| <unfinished)")
_PORTS = re.compile(r":(\d+)->[^,\]]*:(\d+)\b")
_TEXT = 4000  # kept of what goes over the network: requests and answers of the test are shorter


class Call:
    def __init__(self, target, begin, tokens=(), text=""):
        self.target = target
        self.begin = self.end = begin
        self.tokens = tokens
        self.text = text


class Trace:
    def __init__(self, lines):
        self.bodies = []                              # writes to segments
        self.logs = collections.defaultdict(list)     # {write-ahead log: its writes}
        self.syncs = collections.defaultdict(list)    # {file: its syncs}
        self.sent = collections.defaultdict(list)     # {(server's port, client's port): what was sent}
        self.received = collections.defaultdict(list)
        unfinished = {}
        for number, line in enumerate(lines):
            if match := _CALL.match(line):
                call = self._add(match.group(2), match.group(3), number)
                if call is not None and line.rstrip("\n").endswith("<unfinished ...>"):
                    unfinished[match.group(1)] = call
            elif (match := _RESUMED.match(line)) and match.group(1) in unfinished:
                call = unfinished.pop(match.group(1))
                call.end = number
                call.text += match.group(3)[:_TEXT]
        for calls in self.syncs.values():
            calls.sort(key=lambda call: call.begin)
        self.body_of = {token: call for call in reversed(self.bodies) for token in call.tokens}
        self.log_of = {token: call for calls in self.logs.values() for call in reversed(calls) for token in call.tokens}

    def _add(self, name, text, number):
        match = _TARGET.match(text)
        target = match.group(1) if match else ""
        if name in SYNCS:
            calls, call = self.syncs[target], Call(target, number)
        elif name in WRITES and target.endswith(".seg"):
            calls, call = self.bodies, Call(target, number, TOKEN.findall(text))
        elif name in WRITES and target.endswith("-wal"):
            calls, call = self.logs[target], Call(target, number, TOKEN.findall(text))
        elif ports := _PORTS.search(target):
            calls = (self.sent if name in SENDS else self.received)[tuple(map(int, ports.groups()))]
            call = Call(target, number, text=text[:_TEXT])
        else:
            return None
        calls.append(call)
        return call

    def log(self, shard):
        """The write-ahead log of a shard."""
        return next((target for target in self.logs if target.endswith(f"shards/{shard:02}/index.db-wal")), "")


class Promise(typing.NamedTuple):
    """What a client was told: the ordinal-th match of `answer` among what was sent on its connection."""
    kind: str
    ports: tuple  # the server's and the client's
    answer: str
    ordinal: int = 0
    token: str = ""   # exact; else timed, by request and shard
    has_body: bool = False
    request: str = ""
    shard: int = 0

    def __str__(self):
        return f"{self.kind} {self.token or self.request.strip()} on {self.ports}"


class Dishonest(Exception):
    """Why an acknowledgement was not due."""


class Checker:
    def __init__(self, trace):
        self.trace = trace
        self.answers = {}  # {(port, pattern): the sends that match, once for each match}

    def acknowledgement(self, promise):
        key = promise.ports, promise.answer
        if key not in self.answers:
            self.answers[key] = [call for call in self.trace.sent[promise.ports]
                                 for _ in re.findall(promise.answer, call.text)]
        if len(self.answers[key]) <= promise.ordinal:
            raise Dishonest(f"{promise}: the trace has no such answer")
        return self.answers[key][promise.ordinal]

    def _sync(self, what, target, after):
        """The first sync of a file that began after a line."""
        calls = self.trace.syncs[target]
        at = bisect.bisect_right(calls, after, key=lambda call: call.begin)
        if at == len(calls):
            raise Dishonest(f"{what}: no sync of {target} after line {after}")
        return calls[at]

    def _logged_exactly(self, promise):
        after = 0
        if promise.has_body:
            body = self.trace.body_of.get(promise.token)
            if body is None:
                raise Dishonest(f"{promise}: its bytes are in no segment")
            after = self._sync(promise, body.target, body.end).end
        log = self.trace.log_of.get(promise.token)
        if log is None:
            raise Dishonest(f"{promise}: it is not in the write-ahead log")
        if log.begin < after:
            raise Dishonest(f"{promise}: in the log at line {log.begin}, its bytes were durable at line {after}")
        return log

    def _logged_in_time(self, promise):
        request = next((call for call in self.trace.received[promise.ports] if promise.request in call.text), None)
        if request is None:
            raise Dishonest(f"{promise}: the trace has no such request")
        calls = self.trace.logs[self.trace.log(promise.shard)]
        at = bisect.bisect_right(calls, request.begin, key=lambda call: call.begin)
        if at == len(calls):
            raise Dishonest(f"{promise}: nothing was logged after line {request.begin}")
        return calls[at]

    def durable(self, promise):
        """The sync that covers a promise."""
        log = self._logged_exactly(promise) if promise.token else self._logged_in_time(promise)
        return self._sync(promise, log.target, log.end)

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
