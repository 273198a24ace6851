"""The honesty check: a trace of system calls shows that no acknowledgement leaves before the syncs that cover it.

32 clients at once, and then one alone, do what load.py has: 2,000 acknowledgements, or as many as
MANSIO_ACKNOWLEDGEMENTS says (`make honesty`: 10,000). How a promise is held against the trace stands in checker.py.
That the test can fail is shown twice: later tests doctor the trace, and the last one has a server that only says it
syncs.
"""

import concurrent.futures
import copy
import os
import pathlib
import shutil
import subprocess
import sys
import types

import pytest

from harness.server import Server

from checker import TRACED, Checker, Trace
from load import EACH_STEP, KINDS, WAYS, Worker, places_of

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "torture"))
from orders import FOR_EVER, Orders, is_usable  # noqa: E402

pytestmark = pytest.mark.plain

ACKNOWLEDGEMENTS = int(os.environ.get("MANSIO_ACKNOWLEDGEMENTS", "2000"))
CLIENTS = sum(WAYS.values())
STEPS = max(1, -(-ACKNOWLEDGEMENTS // sum(EACH_STEP[way] * count for way, count in WAYS.items())))
SECONDS = 900


def in_a_crowd(server, seen):
    workers = [Worker(server, number, seen) for number in range(CLIENTS)]
    ways = [way for way, count in WAYS.items() for _ in range(count)]
    first = {way: ways.index(way) for way in WAYS}
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        done = [pool.submit(worker.work, way, STEPS, is_large=worker.number == first[way])
                for worker, way in zip(workers, ways)]
        return [promise for one in done for promise in one.result(SECONDS)]


def alone(server, seen):
    promises = []
    for number, way in enumerate(way for way in WAYS for _ in range(4 if way == "pop3" else 1)):  # a mode each
        promises += Worker(server, CLIENTS + number, seen).work(way, 1, is_large=True)
    return promises


def trace_of(folder, loads, orders=None):
    """The promises of loads {name: function of a server and of ports that were seen}, and the trace of the server."""
    if not shutil.which("strace"):
        pytest.skip("no strace")
    path = folder / "trace"
    probe = subprocess.run(["strace", "-o", path, "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("strace is not allowed here")
    calls = "trace=" + ",".join(TRACED)
    server = Server(wrapper=["strace", "-f", "-yy", "-v", "-s", "2000000", "-o", path, "-e", calls],
                    environment=orders.environment() if orders else None)
    try:
        server.start()
        server.add_domain()
        seen = set()
        promises = {name: load(server, seen) for name, load in loads.items()}
        server.stop()
        places = places_of(server.directory)
    finally:
        server.close()
    with open(path, errors="replace") as lines:
        trace = Trace(lines)
    path.unlink()
    return types.SimpleNamespace(trace=trace, places=places, checker=Checker(trace, places), promises=promises)


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    return trace_of(tmp_path_factory.mktemp("trace"), {"crowd": in_a_crowd, "alone": alone})


@pytest.mark.parametrize("company", ["crowd", "alone"])
def test_nothing_is_acknowledged_before_it_is_on_disk(traced, company):
    complaints = traced.checker.complaints(traced.promises[company])
    assert not complaints, f"{len(complaints)} complaints:\n" + "\n".join(complaints[:20])


def test_enough_acknowledgements_of_every_kind_were_checked(traced):
    assert len(traced.promises["crowd"]) >= ACKNOWLEDGEMENTS, len(traced.promises["crowd"])
    for promises in traced.promises.values():
        assert {promise.kind for promise in promises} == KINDS


# ---------------------------------------------------------------------- it would see it: doctored traces

def doctored(traced):
    """A copy of the trace's skeleton that may be changed, and its checker."""
    trace = copy.copy(traced.trace)
    trace.syncs = {target: list(calls) for target, calls in trace.syncs.items()}
    return trace, Checker(trace, traced.places)


def samples(traced):
    """A few promises of each kind."""
    for promises in traced.promises.values():
        for kind in sorted(KINDS):
            some = [promise for promise in promises if promise.kind == kind]
            yield from some[::max(1, len(some) // 10)]


def test_an_acknowledgement_that_leaves_before_the_sync_of_the_log_is_seen(traced):
    for promise in samples(traced):
        checker = Checker(traced.trace, traced.places)
        early = copy.copy(checker.acknowledgement(promise))
        early.begin = checker.durable(promise).begin  # the sync has not returned
        checker.acknowledgement = lambda _, early=early: early
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
    checked = set()
    for promise in samples(traced):
        if promise.body:
            trace, checker = doctored(traced)
            bodies, log = checker.body(promise), checker.logged(promise)[0]
            last = max(call.end for call in bodies)
            target = bodies[0].target
            trace.syncs[target] = [call for call in trace.syncs[target] if not last < call.begin <= log.begin]
            assert checker.complaints([promise]), f"not seen: {promise}"
            checked.add(promise.kind)
    assert checked == {promise.kind for promise in traced.promises["alone"] if promise.body}


@pytest.mark.skipif(not is_usable(), reason="no preload: the server is not from a build folder")
def test_a_server_that_only_says_that_it_syncs_is_found_out_with_every_promise(tmp_path):
    tmp_path.chmod(0o711)
    orders = Orders(tmp_path)
    orders.path.chmod(0o666)

    def lying(server, seen):
        for role, index in (("shard", 0), ("shard", 1), ("auth", 0)):
            orders.give(role, index, "fsync", "lie", times=FOR_EVER)
        return alone(server, seen)

    lied = trace_of(tmp_path, {"alone": lying}, orders)
    promises = lied.promises["alone"]
    assert {promise.kind for promise in promises} == KINDS
    for promise in promises:
        complaint = "".join(lied.checker.complaints([promise]))
        assert "no sync of " in complaint, f"not seen: {promise}: {complaint}"
