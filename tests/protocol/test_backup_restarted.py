"""Backups while a shard is killed or does not answer: between the command line and the server stands one who reads along,
and does harm, or changes what a shard says, at one moment of the backup exactly."""

import contextlib
import json
import socket
import struct
import subprocess
import threading

import pytest

from harness.clock import library
from harness.material import message
from harness.server import Server, binary, is_sanitized, toml
from harness.wire import TIMEOUT

HEAD = struct.Struct("<IHBB")  # ipc/channel.h: length, type, descriptors, zero
SHARDS = 2


class Between:
    """A control socket before the server's. `said` has what was asked of the shards ("begin", "wait", "keep", "end");
    on_answer(what, parts), where it is set, may change the list that comes back, each time."""

    def __init__(self, server):
        self.server, self.said, self.on_answer, self.error = server, [], None, None
        self.path = server.root / "between.sock"
        self.config = server.root / "between.toml"
        settings = {section: dict(values) for section, values in server.settings.items()}
        self.real = server.settings["server"].get("control_socket", server.directory / "run/control.sock")
        settings["server"]["control_socket"] = self.path
        self.config.write_text(toml(settings))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def _serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(ConnectionError):
                client.settimeout(TIMEOUT)
                self._pass_on(client)

    def _pass_on(self, client):
        request = frame(client)
        with socket.socket(socket.AF_UNIX) as server:
            server.settimeout(TIMEOUT)
            server.connect(str(self.real))
            server.sendall(request)
            answer = frame(server)
        body = request[HEAD.size:]
        what = next((word for word in ("begin", "wait", "keep", "end") if word.encode() in body[:10]), None)
        if what and body[1] == 2:  # arguments: of the shards, not of the directory
            self.said.append(what)
            if self.on_answer:
                try:
                    answer = self._changed(what, answer)
                except Exception as error:  # told by the test's own thread
                    self.error = error
        client.sendall(answer)

    def _changed(self, what, answer):
        """The answer: result, message, JSON."""
        kind, body = HEAD.unpack(answer[:HEAD.size])[1], answer[HEAD.size:]
        n, = struct.unpack_from("<I", body, 4)
        text = body[12 + n:]
        parts = json.loads(text) if text else []
        self.on_answer(what, parts)
        text = json.dumps(parts).encode() if text else b""
        body = body[:8 + n] + struct.pack("<I", len(text)) + text
        return HEAD.pack(len(body), kind, 0, 0) + body

    def backup(self, environment=None):
        """Exit status, and what was said."""
        done = subprocess.run([binary(), "backup", self.server.root / "backup", "--json", "-c", self.config], text=True,
                              capture_output=True, timeout=60, check=False,
                              env={**self.server.environment, **(environment or {})})
        if self.error:
            raise self.error
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def frame(line):
    def take(n):
        got = b""
        while len(got) < n:
            some = line.recv(n - len(got))
            if not some:
                raise ConnectionError("closed")
            got += some
        return got
    head = take(HEAD.size)
    return head + take(HEAD.unpack(head)[0])


@pytest.fixture(scope="module")
def served():
    with Server({"server": {"shards": SHARDS, "restart_delay_min": "1ms", "restart_delay_max": "2ms"}}) as server:
        server.add_domain()
        for _ in range(SHARDS):
            account = server.add_account()
            for n in range(10):
                server.deliver(account, message(f"number {n}", "a line\r\n" * 400))
        yield server


@pytest.fixture
def between(served):
    one = Between(served)
    yield one
    one.close()
    subprocess.run(["rm", "-rf", served.root / "backup"], check=True)
    one.path.unlink()


def absent(shard):
    return {"shard": shard, "done": True, "absent": True}


def assert_whole(server, status, made):
    assert status == 0 and made["damaged_pieces"] == 0 and made["new_messages"] == 10 * SHARDS, made
    assert server.cli_json("backup", "verify", server.root / "backup")["messages"] == 10 * SHARDS
    assert not list(server.directory.rglob("snapshot.db*"))


@pytest.mark.parametrize("waits", [True, False])
def test_a_shard_that_is_killed_makes_its_copy_anew(served, between, waits):
    def kill(what, parts):
        if between.said == ["begin"]:
            served.kill_role("shard", 0)
            if waits:
                parts[1]["done"] = False
    between.on_answer = kill
    assert_whole(served, *between.backup())
    assert between.said.count("begin") == 2


def test_so_it_is_when_it_is_killed_after_its_copy_was_fetched(served, between):
    def kill(what, parts):
        if between.said.count("keep") == 1 and what == "keep":
            served.kill_role("shard", 0)
            parts[0] = {"shard": 0, "done": True, "anew": True}
    between.on_answer = kill
    assert_whole(served, *between.backup())
    assert between.said.count("begin") == 2


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer wants to be loaded first")
@pytest.mark.parametrize("killed", [False, True])
def test_a_backup_that_takes_long_gives_signs_of_life(served, between, killed):
    def kill(what, parts):
        nonlocal killed
        if killed and what == "keep" and list((served.root / "backup/segments").glob("*/*.seg")):
            killed = False
            served.kill_role("shard", 0)
    between.on_answer = kill
    assert_whole(served, *between.backup({"LD_PRELOAD": str(library()), "MANSIO_CLOCK_LEAP": "11"}))
    assert between.said.count("begin") == 1 and not killed and between.said[-2:] == ["keep", "end"]


def test_a_shard_that_comes_back_is_not_taken_as_it_lies(served, between):
    def hide(what, parts):
        if "keep" not in between.said:
            parts[0] = absent(0)
    between.on_answer = hide
    assert_whole(served, *between.backup())


def test_a_shard_that_comes_back_after_it_was_taken_as_it_lies_fails_nothing(served, between):
    segment, = served.directory.glob("shards/00/body/*.seg")

    def hide(what, parts):
        parts[0] = absent(0)
        if what == "keep":  # all that is to come are the segments
            if between.said.count("keep") == 1:
                segment.rename(segment.with_suffix(".away"))
            else:
                parts[0] = {"shard": 0, "done": True, "anew": True}
    between.on_answer = hide
    status, made = between.backup()
    segment.with_suffix(".away").rename(segment)
    assert status == 1 and {one["file"] for one in made["damage"] if "message" not in one} == {
        "shards/00/index.db", str(segment.relative_to(served.directory))}, made
    assert between.said.count("keep") >= 2
    # and the next backup has all of it
    between.on_answer = None
    status, made = between.backup()
    assert status == 0 and served.cli_json("backup", "verify", served.root / "backup")["messages"] == 10 * SHARDS


@pytest.mark.parametrize("removed", [False, True])
def test_a_shard_that_is_killed_while_its_segments_are_copied(served, between, removed):
    segment, = served.directory.glob("shards/00/body/*.seg")

    def kill(what, parts):
        if between.said.count("keep") == 1 and what == "keep":
            served.kill_role("shard", 0)
            if removed:  # as it may, for nobody has told it to keep them
                segment.rename(segment.with_suffix(".away"))
    between.on_answer = kill
    status, made = between.backup()
    if not removed:
        assert_whole(served, status, made)
        return
    segment.with_suffix(".away").rename(segment)
    assert status == 5 and "shard 0 was stopped" in str(made), made
    assert served.cli_json("backup", "list", served.root / "backup") == []
    between.on_answer = None
    assert_whole(served, *between.backup())
