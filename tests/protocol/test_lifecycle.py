"""Start, stop, reload, and a process that dies: the rest goes on, and what was acknowledged is there."""

import signal
import socket
import ssl
import time

import pytest

from harness import wire
from harness.material import message
from harness.server import Server, make_certificate


@pytest.mark.smoke
@pytest.mark.parametrize("role", ["access", "smtp", "auth", "authwork", "shard"])
def test_a_killed_process_comes_back_and_serves(server, account, role):
    server.deliver(account, message(subject="before"))
    server.kill_role(role)
    server.deliver(account, message(subject="after"))
    with server.imap(account) as imap:
        imap.select()
        assert len(imap.fetch("1:*", "(BODY.PEEK[])")) == 2


@pytest.mark.smoke
def test_a_killed_access_process_does_not_end_plain_sessions_of_the_shard(server, account):
    with server.imap(account) as imap:
        imap.select()
        server.kill_role("access")
        imap.ok("NOOP")


@pytest.mark.smoke
def test_a_killed_supervisor_leaves_no_process(fresh_server):
    server = fresh_server()
    account = server.add_account()
    server.deliver(account, message())
    server.process.kill()
    server.process.wait()
    server.process = None
    server.assert_nothing_left(seconds=15)
    server.start()
    with server.imap(account) as imap:
        assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 1}


@pytest.mark.smoke
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_with_clients_connected(fresh_server, number):
    server = fresh_server()
    account = server.add_account()
    idler = server.imap(account)
    idler.send("IDLE")
    assert idler.read_response().startswith(b"+")
    smtp = server.smtp()
    process = server.process
    started = time.monotonic()
    process.send_signal(number)
    assert process.wait(20) == 0
    assert time.monotonic() - started < 10
    server.process = None
    server.assert_nothing_left()
    server.assert_log_is_clean()
    assert idler.line.closed() and smtp.line.closed()


def test_two_servers_on_one_store_are_refused(server):
    import subprocess
    from harness.server import binary
    done = subprocess.run([binary(), "serve", "-c", server.config], capture_output=True, text=True, timeout=30,
                          check=False)
    assert done.returncode != 0 and done.stderr.strip()
    with server.smtp() as client:
        client.expect(250, "NOOP")


def test_a_second_server_leaves_the_lmtp_socket_to_the_first(fresh_server):
    """Each has a store of its own, so that no lock keeps them apart."""
    first = fresh_server()
    second = Server({"listen": {"lmtp_socket": first.lmtp_socket}})
    try:
        process = second.start(wait=False).process
        second.wait_for(lambda: process.poll() is not None, "it to give up")
        second.stop(expect=1)
        told = second.log_text()
        assert f"address={first.lmtp_socket}" in told and "in use" in told
        with first.lmtp(over_socket=True) as client:
            client.expect(250, "NOOP")
    finally:
        second.close()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["stream", "datagram"])
def test_at_the_lmtp_socket_only_what_nobody_holds_is_replaced(fresh_server, kind):
    """What a killed server left is; a socket that was put in the place of ours meanwhile stays when we stop."""
    server = fresh_server()
    server.kill_everything()
    assert server.lmtp_socket.is_socket()
    server.start()
    with server.lmtp(over_socket=True) as client:
        client.expect(250, "NOOP")
    server.lmtp_socket.unlink()
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(server.lmtp_socket))
        server.stop()
        assert server.lmtp_socket.is_socket()
        if kind == socket.SOCK_STREAM:
            other.listen()
        process = server.start(wait=False).process
        server.wait_for(lambda: process.poll() is not None, "it to give up")
        server.stop(expect=1)
        assert server.lmtp_socket.is_socket()


def test_hangup_takes_a_new_certificate_for_new_connections(fresh_server):
    server = fresh_server()
    account = server.add_account()
    old = ssl.get_server_certificate(("127.0.0.1", server.ports["imaps"]))
    with server.imap(account, "imaps") as kept:
        make_certificate(server.root)
        server.reload()
        server.wait_for(lambda: ssl.get_server_certificate(("127.0.0.1", server.ports["imaps"])) != old,
                        "the new certificate")
        kept.ok("NOOP")
        with server.imap(account, "imaps") as imap:
            imap.ok("NOOP")
    with server.smtp() as client:
        client.start_tls(server.certificate)


def test_hangup_with_a_broken_certificate_keeps_the_old_one(fresh_server):
    server = fresh_server()
    account = server.add_account()
    whole = server.certificate.read_bytes()
    server.certificate.write_text("not a certificate\n")
    server.reload()
    time.sleep(0.5)
    server.certificate.write_bytes(whole)
    with server.imap(account, "imaps") as imap:
        imap.ok("NOOP")


def test_old_tls_is_refused(server):
    with wire.Line.open("127.0.0.1", server.ports["imaps"]) as line:
        context = ssl.create_default_context(cafile=server.certificate)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(line.sock, server_hostname="localhost")


def test_ipv6_is_served(fresh_server):
    server = fresh_server({"listen": {"smtp": ["[::1]:0"], "imap": ["127.0.0.1:0"]}})
    port = next(one["port"] for one in server.status()["listeners"] if one["service"] == "smtp")
    client = wire.Smtp(wire.Line.open("::1", port))
    client.expect(250, "EHLO client.example.net")
    client.close()
