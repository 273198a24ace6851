"""Connections that break anywhere, and processes that die, leave nothing behind: no descriptor, no count against a client."""

import concurrent.futures
import contextlib
import os
import random
import socket
import ssl
import time

import pytest

from harness import wire
from harness.material import message

ROUNDS = int(os.environ.get("MANSIO_TEST_CONNECTIONS", "60"))
LIMIT = 30
ROLES = ("access", "smtp", "auth", "authwork", "shard")


def pids(server):
    return {(role, index): pid for role in ROLES for index, pid in server.processes(role).items()}


def descriptors(server):
    return {key: len(os.listdir(f"/proc/{pid}/fd")) for key, pid in pids(server).items()}


def counters(server):
    status = server.status()
    return {name: sum(one.get(name, 0) for one in status["processes"])
            for name in ("connections", "sessions", "relays", "connections_before_login")}


def wait_quiet(server):
    server.wait_for(lambda: not any(counters(server).values()), "all connections to be gone", 30)


# What clients say, to be cut anywhere.
def imap_script(account):
    return (f'a LOGIN "{account.address}" "{account.password}"\r\nb SELECT INBOX\r\nc APPEND INBOX {{300+}}\r\n' + "x" * 300 +
            "\r\nd FETCH 1:* (FLAGS BODY.PEEK[])\r\ne IDLE\r\nDONE\r\nf LOGOUT\r\n").encode()


def pop3_script(account):
    return f"USER {account.address}\r\nPASS {account.password}\r\nSTAT\r\nUIDL\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n".encode()


def smtp_script(account, hello):
    return (f"{hello} client.example.net\r\nMAIL FROM:<s@example.net>\r\nRCPT TO:<{account.address}>\r\nDATA\r\n".encode() +
            wire.dot_stuffed(message()) + b"QUIT\r\n")


def abort(server, service, script, before_tls, dice):
    """A client that goes away after some of what it wanted to say, politely or not."""
    sock = socket.create_connection(("127.0.0.1", server.ports[service]), 20)
    with contextlib.suppress(OSError, ssl.SSLError, wire.Closed):
        if before_tls is not None:
            if before_tls:
                sock.recv(1000)
                sock.sendall(before_tls)
                sock.recv(1000)
            if dice.random() < 0.3:
                sock.sendall(dice.randbytes(dice.randrange(400)))
            else:
                context = ssl.create_default_context(cafile=server.certificate)
                sock = context.wrap_socket(sock, server_hostname="localhost")
        cut = dice.randrange(len(script) + 1)
        at = dice.randrange(cut + 1)
        sock.sendall(script[:at])
        sock.settimeout(dice.choice((0.001, 0.05, 0.3)))
        with contextlib.suppress(TimeoutError):
            sock.recv(100000)
        sock.settimeout(10)
        sock.sendall(script[at:cut])
        if dice.random() < 0.5:
            sock.settimeout(dice.choice((0.001, 0.05, 0.3)))
            with contextlib.suppress(TimeoutError):
                sock.recv(100000)
    if dice.random() < 0.5:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


KINDS = {"imap": ("imap", None), "imaps": ("imaps", b""), "imap starttls": ("imap", b"z STARTTLS\r\n"),
         "pop3": ("pop3", None), "pop3s": ("pop3s", b""), "pop3 stls": ("pop3", b"STLS\r\n"),
         "smtp": ("smtp", None), "smtp starttls": ("smtp", b"EHLO c\r\nSTARTTLS\r\n"), "lmtp": ("lmtp", None)}


@pytest.mark.parametrize("kind", list(KINDS))
def test_connections_that_break_anywhere_leave_nothing_behind(server, account, kind):
    service, before_tls = KINDS[kind]
    script = {"imap": imap_script, "pop3": pop3_script}.get(service.rstrip("s"),
              lambda account: smtp_script(account, "LHLO" if service == "lmtp" else "EHLO"))(account)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    # once before counting: caches, segments and libraries open what they keep
    for number in range(5):
        abort(server, service, script, before_tls, random.Random(number))
    server.deliver(account, message())
    server.pop3(account, "pop3s").close()
    wait_quiet(server)
    before = descriptors(server)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(abort, server, service, script, before_tls, random.Random(seed + number)) for number in range(ROUNDS)]:
            done.result()
    wait_quiet(server)
    after = descriptors(server)
    assert all(after[key] <= before[key] + 1 for key in before), (seed, before, after)
    with server.imap(account, "imaps") as imap:
        imap.select()


def test_sessions_that_die_with_their_shard_do_not_count_against_their_clients(fresh_server):
    server = fresh_server({"login": {"max_connections_per_address": LIMIT}, "server": {"shards": 1}})
    account = server.add_account()
    for number in range(5):
        sessions = [server.imap(account, "imaps" if i % 2 else "imap") for i in range(LIMIT - 5)]
        server.kill_role("shard")
        for session in sessions:
            assert session.line.closed()
            session.close()
    server.wait_for(lambda: counters(server)["connections"] == 0, "all counts to be given back")
    with server.imap(account) as imap:
        imap.select()


def test_the_limit_of_an_address_holds_and_is_given_back(fresh_server):
    server = fresh_server({"login": {"max_connections_per_address": LIMIT}})
    account = server.add_account()
    for _ in range(3):
        sessions = [server.imap(account, "imaps" if i % 2 else "imap") for i in range(LIMIT)]
        for service in ("imap", "pop3", "imaps"):
            with socket.create_connection(("127.0.0.1", server.ports[service]), 10) as sock:
                answer = sock.recv(1000)
                assert b"Too many" in answer or not answer
        for session in sessions:
            session.close()
        server.wait_for(lambda: counters(server)["connections"] == 0, "all counts to be given back")


@pytest.mark.parametrize("role", ROLES)
def test_clients_of_a_process_that_dies_get_an_answer_or_an_end(fresh_server, role):
    """Logins and deliveries go on in a crowd while the process is killed, again and again; nobody waits for ever, and what was
    acknowledged is there."""
    server = fresh_server({"server": {"shards": 1, "restart_delay_min": "10ms"}})
    account = server.add_account()
    ends = time.monotonic() + 6
    acknowledged = []

    def log_in(service):
        done = 0
        while time.monotonic() < ends:
            with contextlib.suppress(wire.Closed, ConnectionError, ssl.SSLError, AssertionError):
                with server.imap(service=service) as imap:
                    imap.line.sock.settimeout(20)
                    if imap.command(b"LOGIN ", wire.quoted(account.address), b" ", wire.quoted(account.password)).status == b"OK":
                        imap.command("SELECT INBOX")
                        done += 1
        return done

    def deliver(name):
        count = 0
        while time.monotonic() < ends:
            with contextlib.suppress(wire.Closed, ConnectionError, AssertionError):
                with server.lmtp() as client:
                    client.line.sock.settimeout(20)
                    subject = f"{name}-{count}"
                    count += 1
                    client.begin("sender@example.net", [account.address])
                    client.line.send(wire.dot_stuffed(message(subject=subject, body="y" * (300000 if count % 7 == 0 else 10))))
                    if client.read()[0] == 250:
                        acknowledged.append(subject)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        work = [pool.submit(log_in, "imap"), pool.submit(log_in, "imaps"), *(pool.submit(deliver, f"d{i}") for i in range(3))]
        while time.monotonic() < ends - 0.5:
            pid = (server.status(counters_of=()) and server.processes(role).get(0)) or 0
            with contextlib.suppress(ProcessLookupError):
                if pid > 0:
                    os.kill(pid, 9)
            time.sleep(0.4)
        for one in work:
            one.result()
    server.wait_ready()
    wait_quiet(server)
    with server.imap(account) as imap:
        imap.select()
        found = {one[b"BODY[HEADER.FIELDS (SUBJECT)]"].split(b":")[1].strip().decode()
                 for one in imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])").values()} if acknowledged else set()
        assert set(acknowledged) <= found
    assert role in ("authwork",) or acknowledged
