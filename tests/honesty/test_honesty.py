"""The honesty check: a trace of system calls shows that no acknowledgement leaves before the syncs that cover it.

32 clients at once, and then one alone, deliver by SMTP and LMTP, APPEND, STORE, COPY, EXPUNGE, CREATE, and QUIT by POP3 in each mode.
2,000 acknowledgements, or as many as MANSIO_ACKNOWLEDGEMENTS says (`make honesty`: 10,000). How a promise is held against
the trace stands in checker.py; the last tests doctor the trace, and the checker must see it.
"""

import concurrent.futures
import copy
import os
import shutil
import subprocess
import types

import pytest

from harness import wire
from harness.material import message

from checker import TRACED, Checker, Promise, Trace

pytestmark = pytest.mark.plain

ACKNOWLEDGEMENTS = int(os.environ.get("MANSIO_ACKNOWLEDGEMENTS", "2000"))
WAYS = {"smtp": 9, "lmtp": 7, "imap": 11, "pop3": 5}  # clients at a time: 32
CLIENTS = sum(WAYS.values())
# what one step of each way acknowledges is about four times; POP3's step is a session
STEPS = max(1, -(-ACKNOWLEDGEMENTS // (WAYS["smtp"] * 4 + WAYS["lmtp"] * 4 + WAYS["imap"] * 7 + WAYS["pop3"])))
DELIVERED = r'250 2\.[06]\.0 '
SECONDS = 900
POP3_MODES = ["client", "delete", "keep", "days"]


class Worker:
    """One client, with an account of its own."""

    def __init__(self, server, number):
        self.server = server
        self.number = number
        self.count = 0
        self.promises = []
        self.account = server.add_account()
        self.shard = server.cli_json("account", "show", self.account.address)["shard"]

    def token(self, kind):
        self.count += 1
        return f"token-{kind}{self.number}x-{self.count}-end"

    def message(self, token):
        return message(subject=token, body=token + "\r\n")

    def work(self, way, steps):
        getattr(self, way)(steps)
        return self.promises

    def smtp(self, steps):
        with self.server.smtp() as client:
            self._deliver(client, "smtp", steps)

    def lmtp(self, steps):
        with self.server.lmtp() as client:
            self._deliver(client, "lmtp", steps)

    def _deliver(self, client, kind, steps):
        for ordinal in range(4 * steps):
            token = self.token(kind)
            client.send_message("sender@example.net", [self.account.address], self.message(token))
            self.promises.append(Promise(kind, ports_of(client), DELIVERED, ordinal, token, has_body=True))

    def imap(self, steps):
        with self.server.imap(self.account) as client:
            client.select()
            for step in range(steps):
                # few enough names in one mailbox: keywords are kept for ever
                folder = self.token("create")
                self._tagged(client, "create", f"CREATE {folder}", token=folder)
                token = self.token("append")
                self._tagged(client, "append", "APPEND INBOX ", wire.Literal(self.message(token)), token=token, has_body=True)
                self._tagged(client, "copy", f"COPY 1 {folder}")
                if step % 2:
                    client.select(folder)
                    token = self.token("store")
                    self._tagged(client, "store", f"STORE 1 +FLAGS ({token})", token=token)
                    client.select()
                self._tagged(client, "store", "STORE 1 +FLAGS (\\Flagged)")
                self._tagged(client, "store", "STORE 1 -FLAGS (\\Flagged)")
                self._tagged(client, "store", "STORE 1 +FLAGS (\\Deleted)")
                self._tagged(client, "expunge", "EXPUNGE")

    def _tagged(self, client, kind, *parts, **facts):
        tag = client.send(*parts)
        answer = client.wait(tag)
        assert answer.status == b"OK", f"{parts!r}: {answer}"
        tag = tag.decode()
        request = f"{tag} {parts[0]}".replace("\\", "\\\\")
        self.promises.append(Promise(kind, ports_of(client), rf'(?:"|\\n){tag} OK', request=request, shard=self.shard, **facts))

    def pop3(self, steps):
        """QUIT removes, or hides, or sets a date, as the mode says."""
        mode = POP3_MODES[self.number % len(POP3_MODES)]
        self.server.cli("account", "pop3", self.account.address, "--mode", mode)
        for _ in range(steps):
            self.server.deliver(self.account, self.message(self.token("pop")))
            with self.server.pop3(self.account) as client:
                if mode == "delete":
                    client.multiline("RETR 1")
                else:
                    client.ok("DELE 1")
                client.ok("QUIT")
                # the greeting and the answers to USER, PASS and DELE or RETR come first
                self.promises.append(Promise("quit", ports_of(client), r"\+OK", 4, request="QUIT", shard=self.shard))


def ports_of(client):
    sock = client.line.sock
    return sock.getpeername()[1], sock.getsockname()[1]


def run_load(server):
    """({crowd, alone}: promises); the second where only one client is at work."""
    workers = [Worker(server, number) for number in range(CLIENTS)]
    ways = [way for way, count in WAYS.items() for _ in range(count)]
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        done = [pool.submit(worker.work, way, STEPS) for worker, way in zip(workers, ways)]
        crowd = [promise for one in done for promise in one.result(SECONDS)]
    last = Worker(server, CLIENTS)
    alone = [promise for way in WAYS for promise in last.work(way, 3)]
    return {"crowd": crowd, "alone": alone}


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """The promises of a load, and the trace of the server that made them."""
    from harness.server import Server
    if not shutil.which("strace"):
        pytest.skip("no strace")
    path = tmp_path_factory.mktemp("trace") / "trace"
    probe = subprocess.run(["strace", "-o", path, "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("strace is not allowed here")
    server = Server(wrapper=["strace", "-f", "-yy", "-v", "-s", "131072", "-o", path, "-e", "trace=" + ",".join(TRACED)])
    try:
        server.start()
        server.add_domain()
        promises = run_load(server)
    finally:
        server.close()
    with open(path, errors="replace") as lines:
        trace = Trace(lines)
    path.unlink()
    return types.SimpleNamespace(trace=trace, checker=Checker(trace), promises=promises)


@pytest.mark.parametrize("company", ["crowd", "alone"])
def test_nothing_is_acknowledged_before_it_is_on_disk(traced, company):
    complaints = traced.checker.complaints(traced.promises[company])
    assert not complaints, f"{len(complaints)} complaints:\n" + "\n".join(complaints[:20])


def test_enough_acknowledgements_of_every_kind_were_checked(traced):
    crowd = traced.promises["crowd"]
    assert len(crowd) >= ACKNOWLEDGEMENTS, len(crowd)
    assert sum(bool(promise.token) for promise in crowd) > len(crowd) / 2
    for promises in traced.promises.values():
        assert {promise.kind for promise in promises} == {"smtp", "lmtp", "create", "append", "copy", "store", "expunge", "quit"}


# ---------------------------------------------------------------------- it would see it: doctored traces

def doctored(traced):
    """A copy of the trace's skeleton that may be changed, and its checker."""
    trace = copy.copy(traced.trace)
    trace.syncs = {target: list(calls) for target, calls in trace.syncs.items()}
    return trace, Checker(trace)


def samples(traced):
    """A few promises of each kind, those without a token only where one client was alone: in a crowd a change of
    another may stand for them."""
    for kind in sorted({promise.kind for promise in traced.promises["crowd"]}):
        exact = [promise for promise in traced.promises["crowd"] if promise.kind == kind and promise.token]
        alone = [promise for promise in traced.promises["alone"] if promise.kind == kind]
        yield from [*exact[::max(1, len(exact) // 10)], *alone]


def test_an_acknowledgement_that_leaves_before_the_sync_of_the_log_is_seen(traced):
    for promise in samples(traced):
        checker = Checker(traced.trace)
        left = checker.acknowledgement(promise)
        early = copy.copy(left)
        early.begin = checker.durable(promise).begin  # the sync has not returned
        key = promise.ports, promise.answer
        checker.answers[key] = [early if call is left else call for call in checker.answers[key]]
        assert checker.complaints([promise]), f"not seen: {promise}"


def test_a_log_that_is_not_synced_is_seen(traced):
    for promise in samples(traced):
        trace, checker = doctored(traced)
        durable = checker.durable(promise)
        left = checker.acknowledgement(promise)
        trace.syncs[durable.target] = [call for call in trace.syncs[durable.target]
                                       if not durable.begin <= call.begin <= left.begin]
        assert checker.complaints([promise]), f"not seen: {promise}"


def test_a_segment_that_is_synced_too_late_is_seen(traced):
    checked = 0
    for promise in samples(traced):
        if not promise.has_body:
            continue
        trace, checker = doctored(traced)
        body, log = trace.body_of[promise.token], trace.log_of[promise.token]
        trace.syncs[body.target] = [call for call in trace.syncs[body.target] if not body.end < call.begin <= log.begin]
        assert checker.complaints([promise]), f"not seen: {promise}"
        checked += 1
    assert checked > 10
