"""The honesty check: a trace of system calls shows that no acknowledgement leaves before the syncs that cover it.

For each acknowledged message the trace must hold, in this order: its bytes are written to a body segment; that segment
is synced; the database's write-ahead log is written; the log is synced; the acknowledgement is sent. A call counts from
where it returned, an acknowledgement from where it began.
"""

import re
import shutil
import subprocess
import threading
import types

import pytest

from harness.material import message

pytestmark = pytest.mark.plain

WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2")
SENDS = ("write", "writev", "sendto", "sendmsg", "SSL_write")
SYNCS = ("fsync", "fdatasync")
RECEIVES = ("read", "readv", "recvfrom", "recvmsg")
TRACED = sorted({*WRITES, *SENDS, *SYNCS, *RECEIVES} - {"SSL_write"})

CALL = re.compile(r"(\d+) +(\w+)\((.*)$")
RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$")
TARGET = re.compile(r"\d+<(.*?)>(?=[,)]| <unfinished)")


class Trace(list):
    """The calls of a trace, each with name, target (what its descriptor is), text, begin and end (line numbers)."""

    def __init__(self, path):
        super().__init__()
        unfinished = {}
        for number, line in enumerate(path.read_text(errors="replace").splitlines()):
            if match := CALL.match(line):
                pid, name, text = match.groups()
                target = TARGET.match(text)
                call = types.SimpleNamespace(name=name, target=target.group(1) if target else "", text=text,
                                             begin=number, end=number)
                self.append(call)
                if line.endswith("<unfinished ...>"):
                    unfinished[pid] = call
            elif (match := RESUMED.match(line)) and match.group(1) in unfinished:
                call = unfinished.pop(match.group(1))
                call.end = number
                call.text += match.group(3)

    def first(self, names, target, after, text=""):
        """The first call of these names on such a target that began after a line; there must be one."""
        for call in self:
            if call.begin > after and call.name in names and re.search(target, call.target) and text in call.text:
                return call
        raise AssertionError(f"the trace has no {'/'.join(names)} on {target} {text!r} after line {after}")

    def durable(self, after):
        """The line at which a database change that began after `after` was durable."""
        return self.first(SYNCS, r"-wal$", self.first(WRITES, r"-wal$", after).end).end


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """A server under strace; stopped, and its trace read, by calling read()."""
    from harness.server import Server
    if not shutil.which("strace"):
        pytest.skip("no strace")
    path = tmp_path_factory.mktemp("trace") / "trace"
    probe = subprocess.run(["strace", "-o", path, "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("strace is not allowed here")
    server = Server({"server": {"shards": 1}},
                    wrapper=["strace", "-f", "-yy", "-v", "-s", "65536", "-o", path, "-e", "trace=" + ",".join(TRACED)])
    tokens, errors = {}, []

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except Exception as error:  # shown by the fixture, in the main thread
            errors.append(error)

    try:
        server.start()
        server.add_domain()
        accounts = [server.add_account() for _ in range(4)]
        threads = [threading.Thread(target=guarded, args=(work, server, account, tokens))
                   for work in (deliver, append) for account in accounts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not errors:
            change_flags(server, accounts[0], tokens)
    finally:
        server.close()
    assert not errors, errors
    yield types.SimpleNamespace(trace=Trace(path), tokens=tokens)


def local_port(client):
    return client.line.sock.getsockname()[1]


def deliver(server, account, tokens):
    with server.smtp() as client:
        sent = tokens[("smtp", local_port(client))] = []
        for number in range(10):
            sent.append(f"token-smtp-{local_port(client)}-{number}-end")
            client.send_message("sender@example.net", [account.address], message(body=sent[-1] + "\r\n"))


def append(server, account, tokens):
    with server.imap(account) as client:
        sent = tokens[("imap", local_port(client))] = []
        for number in range(10):
            sent.append(f"token-imap-{local_port(client)}-{number}-end")
            client.append("INBOX", message(body=sent[-1] + "\r\n"))


def change_flags(server, account, tokens):
    with server.imap(account) as client:
        tokens[("store", local_port(client))] = []
        client.select()
        for number in range(1, 6):
            client.ok(f"STORE {number} +FLAGS (\\Flagged)")
        client.ok("STORE 1 +FLAGS (\\Deleted)")
        client.ok("EXPUNGE")
        client.ok("CREATE honest")


def acknowledgements(trace, port, text):
    """The sends to a client's port that hold a pattern, in order."""
    return [call for call in trace if call.name in SENDS and re.search(rf"->[^,\]]*:{port}\b", call.target)
            and re.search(text, call.text)]


@pytest.mark.parametrize("way,pattern", [("smtp", r'"250 2\.[06]\.0 '), ("imap", r"OK \[APPENDUID")])
def test_no_message_is_acknowledged_before_it_is_on_disk(traced, way, pattern):
    checked = 0
    for (kind, port), tokens in traced.tokens.items():
        if kind != way:
            continue
        acknowledged = acknowledgements(traced.trace, port, pattern)
        assert len(acknowledged) >= len(tokens), (port, len(acknowledged))
        for token, acknowledgement in zip(tokens, acknowledged[-len(tokens):]):
            written = traced.trace.first(WRITES, r"\.seg$", 0, token)
            synced = traced.trace.first(SYNCS, r"\.seg$", written.end)
            durable = traced.trace.durable(synced.end)
            left = acknowledgement.begin
            assert durable < left, f"{token}: durable at line {durable}, acknowledged at line {left}"
            checked += 1
    assert checked == 40


@pytest.mark.parametrize("command", ["STORE 1 ", "STORE 5 ", "EXPUNGE", "CREATE honest"])
def test_no_change_is_acknowledged_before_it_is_on_disk(traced, command):
    port = next(port for kind, port in traced.tokens if kind == "store")
    request = next(call for call in traced.trace if call.name in RECEIVES and re.search(rf"->[^,\]]*:{port}\b",
                                                                                        call.target)
                   and command in call.text)
    tag = re.search(r"(t\d+) " + command, request.text).group(1)
    answer = acknowledgements(traced.trace, port, rf"{tag} OK")[0]
    assert traced.trace.durable(request.begin) < answer.begin
