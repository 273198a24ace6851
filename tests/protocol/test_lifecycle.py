"""Start, stop, reload, and a process that dies: the rest goes on, and what was acknowledged is there."""

import contextlib
import fcntl
import os
import re
import signal
import socket
import ssl

import pytest

from harness import wire
from harness.material import message
from harness.server import STOP_SECONDS, Server, make_certificate


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
    server.assert_nothing_left()
    server.start()
    with server.imap(account) as imap:
        assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 1}


@pytest.mark.smoke
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_with_clients_connected(fresh_server, number):
    server = fresh_server({"server": {"stop_timeout": "1m"}})  # longer than anybody waits here: none is killed for it
    account = server.add_account()
    idler = server.imap(account)
    idler.send("IDLE")
    assert idler.read_response().startswith(b"+")
    smtp = server.smtp()
    server.process.send_signal(number)
    server.wait_for(lambda: server.process.poll() is not None, "its end", STOP_SECONDS)
    server.stop()  # which finds exit status 0, and nothing left
    assert idler.line.closed() and smtp.line.closed()


def test_clients_that_do_not_hang_up_hold_up_no_stop(fresh_server):
    """Any that waits for them needs longer than this. So does one on a machine that stands still, but hardly each time."""
    def stops_in_time():
        server = fresh_server({"server": {"stop_timeout": "4900ms"}})
        account = server.add_account()
        with server.imap(account), server.pop3(account):
            server.stop()
        return "event=stop-timeout" not in server.log_text()

    assert any(stops_in_time() for _ in range(3))


# A wrapper is the server's parent, so the shell or Python stays.
LOG_TO_PIPE = ["sh", "-c", '"$@" 2>"$0"; exit $?']
LOG_TO_SOCKET = ["/usr/bin/python3", "-c", """
import socket, subprocess, sys
log = socket.socket(socket.AF_UNIX)
log.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
log.connect(sys.argv[1])
sys.exit(subprocess.run(sys.argv[2:], stderr=log).returncode)
"""]


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_log_that_nobody_reads_holds_nobody_up(fresh_server, tmp_path, kind):
    """What finds no room is counted, and told when it is read again. To systemd's journal it is a socket."""
    path = str(tmp_path / "log")
    with contextlib.ExitStack() as stack:
        if kind == "pipe":
            os.mkfifo(path)
            log = stack.enter_context(open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0))
            fcntl.fcntl(log, fcntl.F_SETPIPE_SZ, 4096)
        else:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(path)
            listener.listen()
        server = fresh_server(wrapper=[*(LOG_TO_PIPE if kind == "pipe" else LOG_TO_SOCKET), path])
        if kind == "socket":
            accepted = stack.enter_context(listener.accept()[0])
            accepted.setblocking(False)
            log = stack.enter_context(accepted.makefile("rb", buffering=0))
        account = server.add_account()
        read = bytearray()
        with server.smtp() as client:
            for number in range(50):
                client.send_message("sender@example.net", [account.address], message(str(number)))

            def is_told():
                read.extend(log.read(1 << 20) or b"")
                client.expect(250, "NOOP")
                return re.search(rb"level=warning role=smtp[.0-9]* event=log-lines-lost lines=[1-9]", read)

            server.wait_for(is_told, "word of the lines that were lost")


def test_two_servers_on_one_store_are_refused(server):
    import subprocess
    from harness.server import binary
    done = subprocess.run([binary(), "serve", "-c", server.config], capture_output=True, text=True, timeout=30,
                          check=False)
    assert done.returncode != 0 and done.stderr.strip()
    with server.smtp() as client:
        client.expect(250, "NOOP")


# setting, where it is in a server, and what works as long as it is there
def lmtp_answers(server):
    with server.lmtp(over_socket=True) as client:
        client.expect(250, "NOOP")


def control_answers(server):
    assert server.status()["directory"] == str(server.directory)


SOCKETS = [("listen", "lmtp_socket", lambda server: server.lmtp_socket, lmtp_answers),
           ("server", "control_socket", lambda server: server.directory / "run/control.sock", control_answers)]
each_socket = pytest.mark.parametrize("section, name, path_in, answers", SOCKETS, ids=["lmtp", "control"])


def gives_up(server):
    process = server.start(wait=False).process
    server.wait_for(lambda: process.poll() is not None, "it to give up")
    server.stop(expect=1)


@each_socket
def test_a_second_server_leaves_a_socket_to_the_first(fresh_server, section, name, path_in, answers):
    """Each has a store of its own, so that no lock keeps them apart."""
    first = fresh_server()
    second = Server({section: {name: path_in(first)}})
    try:
        gives_up(second)
        told = second.log_text()
        assert f"address={path_in(first)}" in told and "in use" in told and f"setting={section}.{name}" in told
        answers(first)
    finally:
        second.close()


@each_socket
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["stream", "datagram"])
def test_where_a_socket_shall_be_only_what_nobody_holds_is_replaced(fresh_server, kind, section, name, path_in, answers):
    """What a killed server left is; a socket that was put in the place of ours meanwhile stays when we stop."""
    server = fresh_server()
    path = path_in(server)
    server.kill_everything()
    assert path.is_socket()
    server.start()
    answers(server)
    path.unlink()
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        server.stop()
        assert path.is_socket()
        if kind == socket.SOCK_STREAM:
            other.listen()
        gives_up(server)
        assert path.is_socket()


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
    whole = server.certificate.with_name("whole.pem")
    whole.write_bytes(server.certificate.read_bytes())
    server.certificate.write_text("not a certificate\n")
    server.reload()
    server.wait_for(lambda: "event=reload-refused" in server.log_text(), "the refusal")
    line = wire.Line.open("127.0.0.1", server.ports["imaps"])
    line.start_tls(whole)
    with wire.Imap(line) as imap:
        imap.login(account)


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
