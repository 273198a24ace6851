"""The benchmarks run, at sizes that measure nothing, and say what they promise to say."""

import contextlib
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from harness.server import DOMAIN, binary

PROJECT = pathlib.Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.plain


def run(name, *arguments):
    done = subprocess.run([PROJECT / "bench" / name, "--json", *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          check=False, env={**os.environ, "MANSIO_BIN": str(binary())})
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_growth_tells_each_operation_at_each_size_and_draws_it(tmp_path):
    picture = tmp_path / "growth.svg"
    rows = run("growth", "--messages", "100,300", "--accounts", "100,120", "--idle", 20, "--rounds", 1, "--plot", picture)
    assert {row["axis"] for row in rows} == {"messages", "accounts"}
    for row in rows:
        assert len(row["cpu_ms"]) == 2 and all(value >= 0 for value in row["cpu_ms"].values()), row
    titles = {row["operation"] for row in rows if row["must_not_grow"]}
    assert {"one delivery", "one flag change", "FETCH 1:* (UID FLAGS), a message", "login and logout"} <= titles
    drawn = picture.read_text()
    assert drawn.startswith("<svg ") and drawn.count("<polyline") == len(rows)


def test_latency_tells_what_others_waited_and_what_the_shard_says():
    rows = run("latency", "--messages", 300)
    works = {row["work"]: row for row in rows}
    assert {"nothing", "FETCH 1:* (UID FLAGS)", "STORE 1:* +FLAGS.SILENT (\\Seen)", "COPY 1:*", "EXPUNGE of all"} <= set(works)
    for row in rows:
        assert row["probes"] > 0 and row["p50_ms"] <= row["p99_ms"] <= row["max_ms"], row
        assert row["longest_turn_cpu_ms"] <= row["longest_turn_ms"], row


def load(work, port, pid, pattern, *arguments):
    """The load generator, whatever becomes of it."""
    return subprocess.run([binary().parents[2] / "bench" / "load", work, "--json", "--port", str(port), "--password", "secret", "--pid", str(pid),
                           "--pattern", f"{pattern}@{DOMAIN}", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def mix(server, pattern, *arguments):
    """(result, what it said of commands that failed)"""
    done = load("mix", server.ports["imap"], server.process.pid, pattern, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_the_mixed_stress_is_the_same_each_time_and_fails_nowhere_alone(server):
    account = [server.add_account(name, "secret") for name in ("alone", "again", "other")][0]
    first, _ = mix(server, "alone", "--count", 600)
    again, _ = mix(server, "again", "--count", 600)
    other, _ = mix(server, "other", "--count", 600, "--first", 7)
    assert first["refused"] == again["refused"] == other["refused"] == 0
    assert first["count"] == 600 and first["cpu_ms"] > 0 and first["rate"] > 0
    assert first["megabytes"] == again["megabytes"] != other["megabytes"]
    with server.imap(account) as client:
        messages = int(re.search(rb"MESSAGES (\d+)", client.ok("STATUS INBOX (MESSAGES)").untagged[0]).group(1))
    assert 25 < messages < 40


def test_the_mixed_stress_tells_of_commands_that_fail(server):
    server.add_account("full", "secret")
    server.cli("account", "quota", f"full@{DOMAIN}", "--messages", 3)
    told, said = mix(server, "full", "--count", 200)
    assert 0 < told["refused"] < 200
    assert "APPEND: m NO [OVERQUOTA]" in said


def test_many_clients_of_the_mixed_stress_share_accounts(server):
    for number in range(4):
        server.add_account(f"many{number:04d}", "secret")
    told, _ = mix(server, "many%04u", "--count", 3000, "--connections", 10, "--users", 4)
    assert told["refused"] < 600  # two sessions of a mailbox may expunge what the other asks for


# ------------------------------------------------------------------ --check


def script(name):
    """bench/NAME as a module: its verdicts are functions of the figures."""
    path = PROJECT / "bench" / name
    loader = importlib.machinery.SourceFileLoader(f"bench_{name}", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.modules[loader.name] = module # dataclasses look their module up
    loader.exec_module(module)
    return module


def test_growth_names_the_operations_that_grow_by_more_than_noise():
    grown = script("growth").grown
    row = {"operation": "one delivery", "axis": "messages", "cpu_ms": {1000: 1.0, 100000: 2.0, 1000000: 2.4}, "ratio": 2.4, "must_not_grow": True}
    assert grown([row]) == []
    [line] = grown([{**row, "ratio": 2.6}, {**row, "ratio": 9.0, "must_not_grow": False}, {**row, "ratio": None}])
    assert line == "one delivery: 2.60 times the cost with 1000000 messages than with 1000, 2.5 at most"


def test_growth_takes_more_shards_only_where_the_limit_of_open_files_asks_for_them():
    shards_for = script("growth").shards_for
    assert shards_for(10000, 20000) == shards_for(10000, 1048576) == 2
    assert shards_for(10000, 5000) == 3
    assert shards_for(10000, 2048) == 12
    with pytest.raises(SystemExit, match="too few"):
        shards_for(10000, 1024)


def test_latency_names_turns_that_computed_too_long_and_waiting_beside_checkpoints():
    over_limits = script("latency").over_limits
    row = {"work": "COPY 1:*", "longest_turn_cpu_ms": 10.0, "longest_turn_cpu_in": "COPY", "p99_ms": 90.0, "checkpoints": False}
    assert over_limits([row]) == []
    assert over_limits([{**row, "longest_turn_cpu_ms": 12.34}]) == ["COPY 1:*: a turn computed for 12.3 ms, at most 10; COPY"]
    assert over_limits([{**row, "p99_ms": 20.0, "checkpoints": True}]) == []
    assert over_limits([{**row, "p99_ms": 20.5, "checkpoints": True}]) == ["COPY 1:*: 99 of 100 NOOPs took 20.5 ms, at most 20"]


def test_compare_names_the_goals_that_are_not_reached_and_counts_canned_answers_as_no_peer():
    compare = script("compare")
    medians = {row.work: {"mansio": row.goal, "floor": 0.0001, "rooms": 0.0002, "cyrus": 50.0} for row in compare.ROWS}
    assert compare.not_reached(medians) == []
    row = next(row for row in compare.ROWS if row.work == "IMAP session")
    judged = compare.judge(row, medians[row.work])
    assert (judged["best_peer_name"], judged["floor"], judged["rooms"], judged["reached"]) == ("cyrus", 0.0001, 0.0002, True)
    medians["IMAP session"]["mansio"] = 0.25
    medians["LMTP deliveries, 32 connections"]["mansio"] = 7000
    del medians["EXPUNGE, 20k"]["mansio"]
    assert compare.not_reached(medians) == ["LMTP deliveries, 32 connections: 7000 a second, the goal is 8000",
                                            "IMAP session: 0.2500 ms CPU, the goal is 0.1000", "EXPUNGE, 20k: - s CPU, the goal is 0.0200"]


def test_a_bound_that_does_not_hold_is_said_and_is_the_exit_status(capsys):
    complain = script("growth").bounds.complain
    assert complain([]) == 0 and capsys.readouterr().err == ""
    assert complain(["one delivery: 9 times"]) == 1
    assert capsys.readouterr().err.endswith(": does not hold: one delivery: 9 times\n")


# ------------------------------------------------------------------ the machine, its floor, and the rare word


def test_the_limits_of_the_machine_stand_beside_those_of_the_baseline():
    machine = script("compare").machine
    found = machine.limits(rounds=1)
    assert all(value > 0 for value in found.values())
    lines = machine.limits_text(found).splitlines()
    assert len(lines) == 1 + len(machine.WITH_PEER) + len(machine.ALONE)
    assert lines[1].split()[-1] == "7" and f"{found['round_trip_us_same']:.3g}" in lines[1].split()


def test_memory_is_made_ready_and_let_go_again():
    machine = script("compare").machine
    with machine.memory_held(64) as holder:
        status = pathlib.Path(f"/proc/{holder.pid}/status").read_text()
        assert holder.poll() is None and int(re.search(r"VmSize:\s+(\d+)", status)[1]) > 64 * 1024
    assert holder.poll() is not None


@contextlib.contextmanager
def canned(name):
    candidate = script("compare").candidates.make(name, None, 60)
    with contextlib.ExitStack() as stack:
        stack.callback(candidate.stop)
        candidate.start()
        yield candidate


@pytest.fixture(scope="module", params=["floor", "rooms"])
def floor(request):
    with canned(request.param) as candidate:
        yield candidate


@pytest.fixture
def rooms():
    with canned("rooms") as candidate:
        yield candidate


def rooms_of(candidate):
    """{name: pid} of its processes; shards have their number behind."""
    found = {}
    for child in sorted(candidate.pids() - {candidate.pid}):
        name = pathlib.Path(f"/proc/{child}/comm").read_text().strip()
        found[f"{name}{sum(one.startswith(name) for one in found)}" if name == "floor-shard" else name] = child
    return found


@pytest.mark.parametrize("work, port, account, count, options", [
    ("lmtp", "lmtp", "user%04u", 300, ["--connections", 16, "--users", 20]),
    ("session", "imap", "user%04u", 100, ["--connections", 8, "--users", 20]),
    ("session", "imaps", "user%04u", 20, ["--connections", 4, "--users", 20, "--tls"]),
    ("pop3", "pop3", "user%04u", 12, ["--connections", 4, "--users", 20]),
    ("append", "imap", "archive", 20, ["--size", 8000]),
    ("multiappend", "imap", "archive", 3, ["--size", 8000]),
    ("bodies", "imap", "large", 2, []),
    ("idle", "imap", "user%04u", 50, ["--users", 20]),
    ("idle", "imaps", "user%04u", 10, ["--users", 20, "--tls"]),
])
def test_the_floor_answers_the_load(floor, work, port, account, count, options):
    done = load(work, floor.ports[port], floor.pid, account, "--count", count, *options)
    assert done.returncode == 0, done.stderr + floor.log_tail()
    told = json.loads(done.stdout)
    assert told["count"] == count and told["cpu_ms"] > 0
    if work == "bodies":
        assert told["megabytes"] > 1


def kept(floor):
    """{log of bodies: messages in it}"""
    return {path.name: path.read_bytes().count(b"\r\n.\r\n") for path in floor.root.glob("bodies*")}


@pytest.mark.parametrize("options", [[], ["--size", 700000]], ids=["of any size", "too large to be told inline"])
def test_the_floor_keeps_what_it_was_given(floor, options):
    before = kept(floor)
    assert load("lmtp", floor.ports["lmtp"], floor.pid, "user%04u", "--count", 30, "--users", 20, *options).returncode == 0
    grown = {name: count - before[name] for name, count in kept(floor).items()}
    assert grown == ({"bodies": 30} if floor.name == "floor" else {"bodies.0": 15, "bodies.1": 15})


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_the_rooms_hand_sessions_on_and_keep_nothing_of_them(rooms):
    inside = rooms_of(rooms)
    assert set(inside) == {"floor-access", "floor-smtp", "floor-auth", "floor-shard0", "floor-shard1"}
    before = {name: descriptors(pid) for name, pid in inside.items()}

    def held():
        more = {name: descriptors(pid) - before[name] for name, pid in inside.items()}
        return {name: count for name, count in more.items() if count}

    for port, options, expected in [("imap", [], {"floor-shard0": 5, "floor-shard1": 5}),
                                    ("imaps", ["--tls"], {"floor-access": 20, "floor-shard0": 5, "floor-shard1": 5})]:
        command = [binary().parents[2] / "bench" / "load", "idle", "--hold", "--port", str(rooms.ports[port]), "--count", "10", "--users", "10"]
        with subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout.readline(), rooms.log_tail()
            wait_until(lambda expected=expected: held() == expected)
        wait_until(lambda: held() == {})


def times_it_waited(pid):
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])


@pytest.mark.parametrize("work, port, part", [("session", "imap", {"floor-access", "floor-auth"}), ("pop3", "pop3", {"floor-access", "floor-auth"}),
                                              ("lmtp", "lmtp", {"floor-smtp"})])
def test_every_room_that_has_a_part_in_a_work_is_woken_for_it(rooms, work, port, part):
    inside = rooms_of(rooms)
    before = {name: times_it_waited(pid) for name, pid in inside.items()}
    assert load(work, rooms.ports[port], rooms.pid, "user%04u", "--count", 20, "--users", 20).returncode == 0
    assert all(times_it_waited(inside[name]) > before[name] for name in part | {"floor-shard0", "floor-shard1"})


def test_a_house_whose_room_ends_is_over(rooms):
    inside = rooms_of(rooms)
    others = [os.pidfd_open(pid) for name, pid in inside.items() if name != "floor-auth"]
    os.kill(inside["floor-auth"], signal.SIGKILL)
    assert rooms.process.wait(30) == 1
    for other in others:
        assert select.select([other], [], [], 30)[0]
        os.close(other)
    assert "a room has ended" in rooms.log_tail()


def test_the_rare_word_is_in_as_many_messages_as_asked_for(server):
    account = server.add_account("rare", "secret")
    assert load("lmtp", server.ports["lmtp"], server.process.pid, "rare", "--count", 30, "--rare", 10).returncode == 0
    with server.imap(account) as client:
        client.ok("SELECT INBOX")
        assert client.ok("SEARCH BODY quarterly").untagged == [b"* SEARCH 6 16 26"]
    assert load("text", server.ports["imap"], server.process.pid, "rare", "--count", 2).returncode == 0


def test_a_search_that_finds_nothing_ends_the_measurement(server):
    server.add_account("plain", "secret")
    assert load("lmtp", server.ports["lmtp"], server.process.pid, "plain", "--count", 30).returncode == 0
    done = load("text", server.ports["imap"], server.process.pid, "plain", "--count", 1)
    assert done.returncode == 1 and "the rare word is in no message" in done.stderr
