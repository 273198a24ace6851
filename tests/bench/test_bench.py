"""The benchmarks run, at sizes that measure nothing, and say what they promise to say."""

import json
import os
import pathlib
import re
import subprocess

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


def mix(server, pattern, *arguments):
    """(result, what it said of commands that failed)"""
    done = subprocess.run([binary().parents[2] / "bench" / "load", "mix", "--json", "--port", str(server.ports["imap"]), "--password", "secret",
                           "--pid", str(server.process.pid), "--pattern", f"{pattern}@{DOMAIN}", *map(str, arguments)],
                          capture_output=True, text=True, timeout=120, check=False)
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
