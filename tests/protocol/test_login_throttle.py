"""Guessing at passwords, in crowds. No time is measured: with pauses of a minute, what is compared is what came free."""

import contextlib
import os
import signal
import time

import pytest

from harness import wire

FREE = 3  # failures that cost nothing (src/auth/throttle.h)
PAUSES = {"failure_delay": "1m", "failure_delay_max": "1m"}


class Crowd:
    """Connections that log in with wrong passwords and wait for no answer."""

    def __init__(self, server):
        self.server = server
        self.connections = contextlib.ExitStack()
        self.asked = 0

    def guess(self, user, source=None, count=1):
        for _ in range(count):
            line = self.connections.enter_context(self.server.connect("imap", source=source))
            line.read_line()
            line.send(f"a LOGIN {user} wrong\r\n".encode())
        self.asked += count
        return line

    def compared(self):
        """How many passwords were looked at, once each was, or was put off."""
        self.server.wait_for(lambda: self._wrong() + self.server.sum_of("logins_put_off") >= self.asked, "all guesses")
        return self._wrong()

    def _wrong(self):
        return self.server.sum_of("passwords_wrong")


@pytest.fixture
def crowd_at(fresh_server):
    with contextlib.ExitStack() as crowds:
        def make(settings):
            crowd = Crowd(fresh_server({"login": settings}))
            crowds.enter_context(crowd.connections)
            return crowd

        yield make


def test_connections_in_parallel_gain_no_guesses(crowd_at):
    crowd = crowd_at(PAUSES)
    for number in range(40):
        crowd.guess(f"account{number}@example.test")
    assert crowd.compared() <= FREE


def test_addresses_gain_one_guess_each_at_one_account(crowd_at):
    crowd = crowd_at(PAUSES)
    victim = crowd.server.add_account()
    begin = time.monotonic()
    for _ in range(4):
        for number in range(10):
            crowd.guess(victim.address, f"127.0.1.{number + 1}")
        # and the account has a turn for all of them every 5 seconds
        assert crowd.compared() <= 10 + FREE + (time.monotonic() - begin) / 5


def test_strangers_lock_nobody_out(crowd_at):
    """The lists are full of guesses at his account, and the right password from elsewhere is looked at all the same."""
    crowd = crowd_at(PAUSES | {"password_queue": 16, "password_queue_per_address": 4})
    victim = crowd.server.add_account()
    for number in range(8):
        crowd.guess(victim.address, f"127.0.1.{number + 1}", 10)
    crowd.compared()
    for source in ("127.0.2.1", "127.0.2.2"):
        with wire.Imap(crowd.server.connect("imap", source=source)) as imap:
            imap.login(victim)


def test_who_is_put_off_is_answered_as_slowly_as_who_is_denied(crowd_at):
    """Three answers, and one line of the log, however many commands a connection sends at once."""
    crowd = crowd_at({"password_queue_per_address": 1})
    server = crowd.server
    authwork = server.role_pids("authwork")
    for pid in authwork:
        os.kill(pid, signal.SIGSTOP)
    try:
        crowd.guess("nobody@example.test", count=10)
        line = crowd.guess("nobody@example.test")
        line.send(b"".join(b"b%d LOGIN nobody@example.test wrong\r\n" % number for number in range(200)))
        said = b""
        with contextlib.suppress(wire.Closed):
            while True:
                said += line.read_line() + b"\n"
        assert said.count(b" NO [UNAVAILABLE]") == 3 and b"* BYE Too many failed logins." in said
    finally:
        for pid in authwork:
            os.kill(pid, signal.SIGCONT)
    sessions = [text.split(b" session=")[1].split()[0] for text in server.log_text().encode().splitlines()
                if b"result=put-off" in text]
    assert sessions and len(sessions) == len(set(sessions))
