"""A start without enough memory: the process ends and is started again, and never serves with less than it should."""

import os
import signal

import pytest

from harness.server import Server

from orders import Orders, library

pytestmark = [pytest.mark.plain,
              pytest.mark.skipif(not library().exists(), reason="the server is not from a build folder")]
SITES = 16


def test_no_allocation_that_fails_leaves_a_service_without_tls(tmp_path):
    tmp_path.chmod(0o711)
    orders = Orders(tmp_path)
    orders.path.chmod(0o666)
    server = Server({"server": {"restart_delay_min": "10ms", "restart_delay_max": "10ms"}},
                    environment=orders.environment())
    try:
        server.start()
        calls = {role: orders.calls(role, 0, "malloc") for role in ("smtp", "access")}
        for site in range(SITES):
            for role, last in calls.items():
                pid = server.processes(role)[0]
                os.kill(pid, signal.SIGSTOP)  # the order is for its successor
                orders.give(role, 0, "malloc", "ENOMEM", 1 + last * site // SITES)
                os.kill(pid, signal.SIGKILL)
                server.wait_for(lambda: orders.hits(role, 0, "malloc"), "an allocation that fails")
                server.wait_ready()
                with server.smtp(hello=False) as smtp:
                    assert "STARTTLS" in smtp.expect(250, "EHLO client.example.net"), f"{role}, site {site}"
                with server.imap() as imap:
                    assert b"STARTTLS" in imap.ok("CAPABILITY").one(b"CAPABILITY"), f"{role}, site {site}"
    finally:
        server.close()
