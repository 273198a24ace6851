"""What POP3 shows of a mailbox: listings, sizes, unique ids, and messages byte for byte (RFC 1939 sections 3, 5, 7,
11)."""

import hashlib
import re
import time

import pytest

from harness.material import message

SETTINGS = {"imap": {"max_message_size": "128MB"}}


def deliver(server, account, *subjects):
    for subject in subjects:
        server.deliver(account, message(subject=subject))


def append(server, account, *messages):
    """IMAP's APPEND takes what SMTP would not: messages that end without CRLF."""
    with server.imap(account) as imap:
        for one in messages:
            imap.append("INBOX", one)


def import_empty(server, account, folder):
    """APPEND takes no empty message (RFC 3502)."""
    for one in ("cur", "new", "tmp"):
        (folder / one).mkdir()
    (folder / "cur/1.1.empty:2,").touch()
    server.cli("import", account.address, folder)


def scan(pop3):
    """{number: octets}"""
    return {int(number): int(octets) for number, octets in map(bytes.split, pop3.multiline("LIST").splitlines())}


def raw_answer(pop3, line):
    """The bytes of a multi-line answer behind its first line, the stuffed dots and the end among them."""
    pop3.ok(line)
    raw = b""
    while not (raw == b".\r\n" or raw.endswith(b"\r\n.\r\n")):
        raw += pop3.line.read_exactly(1) if not pop3.line.unread else pop3.line.read_exactly(len(pop3.line.unread))
    return raw


# ---------------------------------------------------------------------- listings

@pytest.mark.smoke
def test_stat_list_and_retr_agree_on_the_octets_of_each_message(server, account):
    deliver(server, account, "one", "two")
    with server.pop3(account) as pop3:
        sizes = scan(pop3)
        assert sorted(sizes) == [1, 2] and pop3.stat() == (2, sum(sizes.values()))
        for number, subject in ((1, b"one"), (2, b"two")):
            body = pop3.multiline(f"RETR {number}")
            assert len(body) == sizes[number] and b"Subject: " + subject in body
            assert pop3.ok(f"LIST {number}").split() == [b"+OK", b"%d" % number, b"%d" % sizes[number]]


def test_an_empty_maildrop_has_empty_listings(server, account):
    with server.pop3(account) as pop3:
        assert pop3.stat() == (0, 0)
        assert pop3.multiline("LIST") == b"" and pop3.multiline("UIDL") == b""
        assert pop3.ok("QUIT")


def test_numbers_and_listings_stay_while_mail_comes(server, account):
    deliver(server, account, "one", "two", "three")
    with server.pop3(account) as pop3:
        pop3.ok("DELE 2")
        deliver(server, account, "four")
        assert sorted(scan(pop3)) == [1, 3] and sorted(pop3.uidl()) == [1, 3] and pop3.stat()[0] == 2
        assert b"Subject: three" in pop3.multiline("RETR 3")
        pop3.error("RETR 4")
        pop3.ok("RSET")
        assert sorted(scan(pop3)) == [1, 2, 3]


def test_unique_ids_stay_over_sessions_deletions_and_restarts(fresh_server):
    server = fresh_server()
    account = server.add_account()
    deliver(server, account, "one", "two", "three")
    with server.pop3(account) as pop3:
        before = pop3.uidl()
        assert len(set(before.values())) == 3
        assert all(re.fullmatch(rb"[!-~]{1,70}", uid) for uid in before.values())
        assert pop3.ok("UIDL 2").split()[1:] == [b"2", before[2]]
        pop3.ok("DELE 1")
        pop3.ok("QUIT")
    server.restart()
    deliver(server, account, "one")
    with server.pop3(account) as pop3:
        after = pop3.uidl()
    assert {number: after[number] for number in (1, 2)} == {1: before[2], 2: before[3]}
    assert after[3] not in before.values(), "an id is never used again"


def test_a_hundred_thousand_messages_are_listed_from_memory(server, account, figure):
    """Listings of a large mailbox are whole, and take no message from the disk."""
    with server.imap(account) as imap:
        for number in range(100):
            imap.append("INBOX", b"Subject: %d\r\n\r\n%s\r\n" % (number, b"x" * number))
        imap.select()
        count = 100
        while count < 100_000:
            imap.ok(f"COPY 1:{min(count, 100_000 - count)} INBOX")
            count = min(2 * count, 100_000)
    started = time.monotonic()
    with server.pop3(account) as pop3:
        times = {"login": time.monotonic() - started}
        for name, ask in (("STAT", pop3.stat), ("LIST", lambda: scan(pop3)), ("UIDL", pop3.uidl)):
            started = time.monotonic()
            times[name] = (ask(), time.monotonic() - started)
        octets = [len(b"Subject: %d\r\n\r\n\r\n" % (number % 100)) + number % 100 for number in range(100)]
        assert times["STAT"][0] == (100_000, sum(octets) * 1000)
        assert len(times["LIST"][0]) == 100_000 and times["LIST"][0][99_999] == octets[98]
        assert len(set(times["UIDL"][0].values())) == 100_000
        pop3.ok("DELE 100000")
        assert pop3.stat() == (99_999, sum(octets) * 1000 - octets[99])
    figure("messages=100000 login={:.0f}ms ".format(1000 * times.pop("login")) +
           " ".join(f"{name}={1000 * took:.0f}ms" for name, (_, took) in times.items()))


# ---------------------------------------------------------------------- bytes

HEADER = b"Subject: x\r\n\r\n"

# message as it is kept -> as it crosses the wire, the end of the answer included
WIRE = {
    "of no byte": (b"", b".\r\n"),
    "of one line end": (b"\r\n", b"\r\n.\r\n"),
    "of one byte": (b"x", b"x\r\n.\r\n"),
    "of one dot": (b".", b"..\r\n.\r\n"),
    "of a dot on a line": (b".\r\n", b"..\r\n.\r\n"),
    "with a header only": (HEADER, HEADER + b".\r\n"),
    "with a header that has no end": (b"Subject: x\r\n", b"Subject: x\r\n.\r\n"),
    "with dots at the beginning of lines": (HEADER + b".a\r\n..b\r\n.\r\n...\r\n",
                                            HEADER + b"..a\r\n...b\r\n..\r\n....\r\n.\r\n"),
    "with dots elsewhere": (HEADER + b"a.\r\n .\r\nb..c\r\n", HEADER + b"a.\r\n .\r\nb..c\r\n.\r\n"),
    "with a dot at the beginning of the header": (b".x: y\r\n\r\nz\r\n", b"..x: y\r\n\r\nz\r\n.\r\n"),
    "without a last line end": (HEADER + b"open", HEADER + b"open\r\n.\r\n"),
    "whose open last line is a dot": (HEADER + b"a\r\n.", HEADER + b"a\r\n..\r\n.\r\n"),
    "that looks like the end of an answer": (HEADER + b"\r\n.\r\n+OK\r\n", HEADER + b"\r\n..\r\n+OK\r\n.\r\n"),
    "with a line longer than any limit": (HEADER + b"x" * 300_000 + b"\r\n.y\r\n",
                                          HEADER + b"x" * 300_000 + b"\r\n..y\r\n.\r\n"),
    "of bytes over 127": (HEADER + bytes(range(128, 256)) + b"\r\n", HEADER + bytes(range(128, 256)) + b"\r\n.\r\n"),
    "with bare line ends": (HEADER + b"a\n.\r\nb\r.\r\nc\n", HEADER + b"a\n..\r\nb\r.\r\nc\n\r\n.\r\n"),
    "of dots": (HEADER + b".\r\n" * 20_000, HEADER + b"..\r\n" * 20_000 + b".\r\n"),
}


@pytest.mark.parametrize("name", WIRE)
def test_a_message(server, account, tmp_path, name):
    """RFC 1939 sections 3 and 11: dots are stuffed, the last line ends, octets count neither stuffing nor the end."""
    kept, crossing = WIRE[name]
    if kept:
        append(server, account, kept)
    else:
        import_empty(server, account, tmp_path)
    with server.pop3(account) as pop3:
        octets = len(kept) + (0 if not kept or kept.endswith(b"\r\n") else 2)
        assert pop3.stat() == (1, octets) and scan(pop3) == {1: octets}
        assert raw_answer(pop3, "RETR 1") == crossing
        assert raw_answer(pop3, "TOP 1 999999") == crossing
        pop3.ok("NOOP")


def test_top_gives_the_header_and_so_many_lines(server, account):
    append(server, account, HEADER + b"line 1\r\n.line 2\r\n\r\nline 4", b"Subject: no body\r\n", HEADER)
    with server.pop3(account) as pop3:
        lines = [b"line 1\r\n", b".line 2\r\n", b"\r\n", b"line 4\r\n"]
        for count in range(7):
            assert pop3.multiline(f"TOP 1 {count}") == HEADER + b"".join(lines[:count])
        for count in (0, 1):
            assert pop3.multiline(f"TOP 2 {count}") == b"Subject: no body\r\n"
            assert pop3.multiline(f"TOP 3 {count}") == HEADER


@pytest.mark.parametrize("service, megabytes", [("pop3", 100), ("pop3s", 20)])
def test_a_large_message_arrives_whole(server, account, service, megabytes):
    line = b"x" * 998 + b"\r\n"
    kept = HEADER + line * (megabytes * 1000)
    append(server, account, kept)
    with server.pop3(account, service) as pop3:
        assert pop3.stat() == (1, len(kept))
        pop3.ok("RETR 1")
        digest, left = hashlib.sha256(), len(kept)
        while left:
            chunk = pop3.line.read_exactly(min(left, max(1, len(pop3.line.unread))))
            digest.update(chunk)
            left -= len(chunk)
        assert pop3.line.read_line() == b"."
        assert digest.digest() == hashlib.sha256(kept).digest()
        pop3.ok("NOOP")


def test_a_message_that_cannot_be_read_is_a_lasting_error_and_the_others_are_read(fresh_server):
    """RFC 3206 section 4: [SYS/PERM]."""
    server = fresh_server({"server": {"shards": 1}, "store": {"segment_size": "1MB"}})
    account = server.add_account()
    for number in range(4):
        server.deliver(account, message(f"number {number}", ("x" * 78 + "\r\n") * 9000))
    server.stop()
    sorted(server.directory.glob("shards/00/body/*.seg"))[0].unlink()
    server.start()
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 4
        for line in ("RETR 1", "TOP 1 0"):
            pop3.error(line, code="SYS/PERM")
        assert b"Subject: number 3" in pop3.multiline("RETR 4")
        pop3.ok("DELE 1")
        pop3.ok("QUIT")
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 3
