"""Bad input gets a clear answer and costs nothing: too long, broken, in the wrong place, too often, too slow, cut off.

Each test ends by showing that the server still serves a good client.
"""

import contextlib
import os
import select
import socket
import subprocess

import pytest

from harness import wire
from harness.material import message
from harness.server import Server

SETTINGS = {
    "login": {"max_bad_commands": 5, "max_failures": 3, "max_line": "8KB"},
    "imap": {"max_bad_commands": 20, "max_message_size": "1MB", "max_line": "64KB"},
    "smtp": {"max_bad_commands": 10, "max_message_size": "1MB", "max_recipients": 100, "max_transactions": 5},
}
IMPATIENT = {"login": {"timeout": "2s"}, "smtp": {"command_timeout": "2s", "data_timeout": "2s"}}


@pytest.fixture(autouse=True)
def still_serving(server, account):
    yield
    server.deliver(account, message(subject="after the storm"))
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] >= 1


@pytest.fixture(scope="module")
def impatient():
    """Another server, for those who are too slow: a good client may be as slow as that on a busy machine."""
    with Server(IMPATIENT) as one:
        one.add_domain()
        one.add_account("reader")
        yield one


def codes_until_closed(client):
    """The codes of the answers that still come, to the end."""
    codes = []
    try:
        while True:
            codes.append(client.read()[0])
    except wire.Closed:
        return codes


# ---------------------------------------------------------------------- too long

def test_smtp_line_over_the_limit_is_500(server):
    with server.smtp() as client:
        assert client.command("NOOP " + "x" * 5000)[0] == 500
        client.expect(250, "NOOP")


def test_smtp_line_without_end_is_not_kept(server):
    with server.smtp() as client:
        try:
            for _ in range(200):
                client.line.send(b"x" * 65536)
            client.line.send(b"\r\n")
            assert client.read()[0] in (421, 500)
        except (wire.Closed, OSError):
            pass


def test_smtp_message_over_the_limit_is_552_and_not_stored(server, account):
    with server.smtp() as client:
        client.begin("sender@example.net", [account.address])
        client.line.send(b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 80_000 + b".\r\n")
        answer = client.read()
        assert answer[0] == 552 and answer[1][0].startswith("5.3.4"), answer
        client.expect(250, "NOOP")
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 0


def test_smtp_recipients_over_the_limit_are_452(server, account):
    local, _, domain = account.address.partition("@")
    with server.smtp() as client:
        client.expect(250, "MAIL FROM:<sender@example.net>")
        for number in range(100):
            client.expect(250, f"RCPT TO:<{local}+{number}@{domain}>")
        client.expect_status(452, "4.5.3", f"RCPT TO:<{local}+100@{domain}>")


def test_pop3_line_over_the_limit_is_an_error(server, account):
    with server.pop3(account) as pop3:
        pop3.error("NOOP " + "x" * 2000)
        pop3.ok("NOOP")


def test_imap_line_before_login_is_bounded(server):
    with server.imap() as imap:
        try:
            imap.bad("NOOP " + "x" * 100_000)
        except (wire.Closed, OSError):
            pass


def test_imap_line_after_login_is_bounded(server, account):
    with server.imap(account) as imap:
        try:
            assert imap.command("SEARCH SUBJECT " + "x" * 100_000).status in (b"BAD", b"NO")
            imap.ok("NOOP")
        except (wire.Closed, OSError):
            pass


def test_imap_literal_before_login_is_bounded(server):
    """Somebody without a login cannot make the server keep megabytes."""
    with server.imap() as imap:
        assert imap.command("LOGIN {1000000000}").status in (b"BAD", b"NO")


def test_imap_literal_over_the_limit_is_refused_before_it_is_sent(server, account):
    with server.imap(account) as imap:
        assert imap.command("APPEND INBOX {1048577}").code in (b"TOOBIG", b"LIMIT")
        assert imap.command("SELECT {1000000}").status in (b"BAD", b"NO")
        assert imap.command("APPEND INBOX {99999999999999999999}").status in (b"BAD", b"NO")
        imap.ok("NOOP")


def test_imap_non_synchronizing_literal_over_the_limit_is_thrown_away(server, account):
    with server.imap(account) as imap:
        try:
            assert imap.command(b"APPEND INBOX {2000000+}\r\n" + b"x" * 2_000_000).status == b"NO"
            imap.ok("NOOP")
        except (wire.Closed, OSError):
            pass
    with server.imap(account) as imap:
        assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 0}


# ---------------------------------------------------------------------- broken

@pytest.mark.parametrize("line", [b"", b" ", b"a", b"a ", b" a NOOP", b"a  NOOP", b"a FROB", b"* NOOP", b"+ NOOP",
                                  b"a NOOP x",
                                  b"a\tNOOP", b"(a NOOP", b"a \xff\xfe", b"a SELECT", b"a SELECT a b", b'a SELECT "a',
                                  b"a LIST", b'a LIST "" "', b"a FETCH 1 (", b"a UID", b"a UID FROB 1", b"a \0"])
def test_imap_broken_commands_are_bad(server, account, line):
    with server.imap(account) as imap:
        imap.line.send(line + b"\r\n")
        answer = imap.read_response()
        assert answer.split(b" ")[1] == b"BAD", answer
        imap.ok("NOOP")


@pytest.mark.parametrize("raw", [b"\xff\xfe\xfd", b"\0", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                                 b"GET / HTTP/1.0",
                                 b"\x80" * 100])
@pytest.mark.parametrize("service", ["imap", "pop3", "smtp"])
def test_bytes_of_another_protocol(server, service, raw):
    with server.connect(service) as line:
        line.read_line()
        line.send(raw + b"\r\n\r\n")
        try:
            line.read_line()
        except wire.Closed:
            pass


@pytest.mark.parametrize("service", ["imaps", "pop3s"])
def test_plaintext_to_a_tls_port(server, service):
    with wire.Line.open("127.0.0.1", server.ports[service]) as line:
        line.send(b"a NOOP\r\n\r\n" * 100)
        assert line.closed()


def test_bare_line_feeds_do_not_end_smtp_commands(server):
    with server.smtp() as client:
        client.line.send(b"NOOP\nQUIT\r\n")
        assert client.read()[0] in (500, 501)


def test_bad_utf8_in_commands(server, account):
    with server.imap(account) as imap:
        assert imap.command(b'CREATE "\xc3\x28"').status in (b"BAD", b"NO")
        assert imap.command(b"SEARCH CHARSET UTF-8 SUBJECT ", wire.Literal(b"\xc3\x28")).status in (b"BAD", b"NO",
                                                                                                    b"OK")
        imap.ok("NOOP")
    with server.smtp() as client:
        assert client.command(b"MAIL FROM:<\xc3\x28@example.net>")[0] // 100 == 5


# ---------------------------------------------------------------------- too often

def test_imap_closes_after_too_many_bad_commands(server, account):
    with server.imap() as imap:
        imap.line.send(b"a FROB\r\n" * 6)
        assert imap.line.closed()
    with server.imap(account) as imap:
        for _ in range(19):
            imap.bad("FROB")
        imap.ok("NOOP")
        imap.line.send(b"a FROB\r\n" * 21)
        assert imap.line.closed()


def test_pop3_closes_after_too_many_bad_commands(server):
    with server.pop3() as pop3:
        pop3.line.send(b"FROB\r\n" * 6)
        assert pop3.line.closed()


def test_smtp_closes_after_too_many_bad_commands(server):
    with server.smtp() as client:
        client.line.send(b"FROB\r\n" * 11)
        assert codes_until_closed(client)[-1] == 421


def test_login_closes_after_too_many_failures(server, account):
    with server.imap() as imap:
        for _ in range(2):
            imap.no("LOGIN ", wire.quoted(account.address), " wrong")
        imap.line.send(b"a LOGIN " + wire.quoted(account.address) + b" wrong\r\n")
        assert imap.line.closed()


def test_smtp_transactions_of_one_connection_are_bounded(server, account):
    with server.smtp() as client:
        for _ in range(5):
            client.send_message("sender@example.net", [account.address], message())
        assert client.command("MAIL FROM:<sender@example.net>")[0] in (421, 452)


def test_connections_of_one_address_are_bounded(fresh_server):
    server = fresh_server({"login": {"max_connections_per_address": 5}, "smtp": {"max_connections_per_address": 5}})
    for service in ("imap", "smtp"):
        kept = [server.connect(service) for _ in range(5)]
        for line in kept:
            line.read_line()
        with server.connect(service) as line:
            try:
                assert line.read_line().startswith((b"* BYE", b"421"))
            except wire.Closed:
                pass
        for line in kept:
            line.close()

        def serves_again(service=service):
            with server.connect(service) as line:
                try:
                    return line.read_line().startswith((b"* OK", b"220"))
                except wire.Closed:
                    return False

        server.wait_for(serves_again, f"{service} after the others left")


# ---------------------------------------------------------------------- too slow, cut off

def test_silence_before_login_ends_the_connection(impatient):
    for service in ("imap", "pop3"):
        with impatient.connect(service) as line:
            line.read_line()
            assert line.closed()


def test_trickling_before_login_does_not_stay_for_ever(impatient):
    with impatient.connect("imap") as line:
        line.read_line()

        def is_closed():
            line.send(b"x")
            return select.select([line.sock], [], [], 0.2)[0] and line.sock.recv(100) == b""

        with contextlib.suppress(ConnectionError):
            impatient.wait_for(is_closed, "its end")


@pytest.mark.parametrize("beginning, codes", [
    (b"", []), (b"EHLO x\r\nMAIL FROM:<a@example.net>\r\n", [250, 250]),
    (b"EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<reader@example.test>\r\nDATA\r\nhalf", [250, 250, 250, 354])],
    ids=["greeting", "command", "data"])
def test_smtp_silence_is_421(impatient, beginning, codes):
    with impatient.smtp(hello=False) as client:
        client.line.send(beginning)
        assert codes_until_closed(client) == [*codes, 421]


def test_a_tls_handshake_that_never_comes(fresh_server):
    server = fresh_server({"tls": {"handshake_timeout": "1s"}})
    with wire.Line.open("127.0.0.1", server.ports["imaps"]) as line:
        assert line.closed()

    def is_served():
        """Unless the machine is too busy for its handshake."""
        with contextlib.suppress(OSError, wire.Closed), server.imap(service="imaps") as imap:
            return imap.ok("NOOP")

    server.wait_for(is_served, "a handshake that comes")


def test_clients_that_vanish_at_any_byte(server, account):
    imap = (b"a LOGIN " + wire.quoted(account.address) + b" " + wire.quoted(account.password) +
            b"\r\nb SELECT INBOX\r\nc APPEND INBOX {5+}\r\nhello\r\nd FETCH 1:* (BODY[])\r\ne IDLE\r\nDONE\r\n")
    smtp = (b"EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<" + account.address.encode() +
            b">\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n")
    for service, script in (("imap", imap), ("smtp", smtp)):
        for length in range(0, len(script), 3):
            with server.connect(service) as line:
                line.send(script[:length])
                if length % 2:
                    line.abort()


def test_clients_that_vanish_within_tls(server, account):
    script = b"a LOGIN " + wire.quoted(account.address) + b" " + wire.quoted(account.password) + b"\r\n"
    for length in range(1, len(script) + 4, 4):
        line = server.connect("imaps")
        line.send(script[:length])
        line.close()


def test_a_client_that_never_reads_costs_bounded_memory(fresh_server):
    server = fresh_server({"server": {"shards": 1}, "imap": {"write_timeout": "2s"}})
    account = server.add_account()
    with server.imap(account) as imap:
        for _ in range(4):
            imap.append("INBOX", message(body=("x" * 76 + "\r\n") * 20_000))
    shard = server.processes("shard")[0]
    before = resident_kilobytes(shard)
    with server.imap(account) as imap:
        imap.select()
        imap.line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for number in range(200):
            imap.line.send(b"x%d FETCH 1:* (BODY.PEEK[])\r\n" % number)
        with server.imap(account) as other:
            other.select()
        sizes = []

        def is_given_up():
            sizes.append(resident_kilobytes(shard))
            return sessions(server) == 0

        server.wait_for(is_given_up, "the server to give that client up")
        assert max(sizes) - before < 40_000


@pytest.mark.parametrize("service", ["imap", "imaps"])
def test_imap_silence_is_an_autologout(fresh_server, service):
    """RFC 3501 section 5.4; in IDLE too."""
    server = fresh_server({"imap": {"idle_timeout": "1s"}})
    account = server.add_account()

    def is_logged_out(begin, wanted):
        """On a busy machine the time may be over before it has begun."""
        with contextlib.suppress(wire.Closed), server.imap(account, service=service) as imap:
            imap.select()
            imap.line.send(begin)
            said = list(iter(imap.line.read_line, b"* BYE Autologout; idle for too long"))
            assert imap.line.closed()
            return said == wanted

    server.wait_for(lambda: is_logged_out(b"", []), "an autologout")
    server.wait_for(lambda: is_logged_out(b"i IDLE\r\n", [b"+ idling"]), "an autologout in IDLE")


def test_pop3_silence_is_an_end_without_a_word(fresh_server):
    """RFC 1939 section 3; and nothing is deleted."""
    server = fresh_server({"pop3": {"timeout": "2s"}})
    account = server.add_account()
    server.deliver(account, message())

    def is_ended():
        """On a busy machine the time may be over before DELE comes."""
        with contextlib.suppress(wire.Closed), server.pop3(account) as pop3:
            pop3.ok("DELE 1")
            with pytest.raises(wire.Closed, match="^b''$"):
                pop3.line.read_line()
            return True

    server.wait_for(is_ended, "DELE, and silence")
    with server.imap(account) as imap:
        assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 1}


def test_an_smtp_client_that_never_reads_is_given_up(fresh_server):
    server = fresh_server({"smtp": {"write_timeout": "1s", "max_bad_commands": 1000}})
    with server.smtp() as client:
        client.line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.line.sock.settimeout(0.2)

        def say():
            with contextlib.suppress(TimeoutError):
                client.line.sock.send(b"NOOP\r\n" * 1000)

        with pytest.raises(ConnectionError):
            server.wait_for(say, "its end")


def resident_kilobytes(pid):
    return int(subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout)


def sessions(server):
    """IMAP and POP3 sessions that the shards hold."""
    return server.sum_of("sessions", "shard")


# ---------------------------------------------------------------------- a full disk

@pytest.mark.skipif(os.geteuid() != 0, reason="a full disk needs root, to mount a small one")
def test_a_full_disk_refuses_mail_for_the_time_being_and_loses_nothing(server):
    """452 4.3.1 by SMTP and LMTP, NO [UNAVAILABLE] by IMAP; reading goes on."""
    full = Server({"server": {"shards": 1}, "store": {"reserve_free_space": "4MB"}})
    full.directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", full.directory],
                             capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        full.close()
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    try:
        full.start()
        full.add_domain()
        account = full.add_account()
        acknowledged = 0
        refused = None
        big = message(body=("x" * 76 + "\r\n") * 6000)
        with full.smtp() as client:
            while refused is None and acknowledged < 100:
                client.begin("sender@example.net", [account.address])
                client.line.send(wire.dot_stuffed(big + b"%d\r\n" % acknowledged))
                answer = client.read()
                if answer[0] == 250:
                    acknowledged += 1
                else:
                    refused = answer
        assert refused and refused[0] == 452 and refused[1][0].startswith("4.3.1"), refused
        with full.lmtp() as client:
            client.begin("sender@example.net", [account.address])
            client.line.send(wire.dot_stuffed(big))
            answer = client.read()
            assert answer[0] == 452 and answer[1][0].startswith("4.3.1")
        with full.imap(account) as imap:
            # there may be room for another one: an SMTP transaction needs some for itself
            while (answer := imap.command("APPEND INBOX ", wire.Literal(big))).status == b"OK" and acknowledged < 100:
                acknowledged += 1
            assert answer.status == b"NO" and answer.code == b"UNAVAILABLE", answer
            imap.select()
            assert len(imap.fetch("1:*", "(BODY.PEEK[])")) == acknowledged
        full.kill_everything()
        full.start()
        with full.imap(account) as imap:
            imap.select()
            whole = imap.fetch("1:*", "(BODY.PEEK[])")
            assert len(whole) == acknowledged and all(big in one[b"BODY[]"] for one in whole.values())
    finally:
        try:
            full.stop(expect=None)
        finally:
            full.kill_everything()
            subprocess.run(["umount", full.directory], check=True)
            full.close()
