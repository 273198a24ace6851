"""The benchmarks run, at sizes that measure nothing, and say what they promise to say."""

import json
import os
import pathlib
import subprocess

import pytest

from harness.server import binary

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
