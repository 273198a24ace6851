"""One large message is read and copied in slices: others go on meanwhile, and it comes whole or not at all. No time is looked at."""

import re
import threading

import pytest

from harness import wire
from harness.material import message

SETTINGS = {"server": {"shards": 1}}
LARGE = 50_000_000
PART = 2_000_000
LINE = "x" * 76 + "\r\n"


def large_message(size=LARGE, subject="large"):
    return message(subject=subject, body=LINE * (size // len(LINE)))


class Others:
    """Another account's session and deliveries, one after the other, until the end."""

    def __init__(self, server):
        self.server, self.account = server, server.add_account()
        self.noops = self.deliveries = 0
        self.failure = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            with self.server.imap(self.account) as imap, self.server.lmtp() as lmtp:
                imap.select()
                while not self.over.is_set():
                    imap.ok("NOOP")
                    self.noops += 1
                    lmtp.send_message("sender@example.net", [self.account.address], message(subject=f"small {self.deliveries}"))
                    self.deliveries += 1
                imap.ok("NOOP")
                assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": self.deliveries}
        except Exception as error:  # noqa: BLE001: told to the test
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join()
        if kind is None:
            assert self.failure is None, self.failure
            assert self.noops and self.deliveries


def body(imap, number=1):
    """In parts, which is quicker."""
    size = int(imap.fetch(str(number), "(RFC822.SIZE)")[number][b"RFC822.SIZE"])
    parts = [imap.fetch(str(number), f"(BODY.PEEK[]<{start}.{PART}>)")[number][f"BODY[]<{start}>".encode()] for start in range(0, size, PART)]
    data = b"".join(parts)
    assert len(data) == size
    return data


def fetched(server, account, number=1):
    with server.imap(account) as imap:
        imap.select()
        return body(imap, number)


def test_append_beside_others(server):
    account, data = server.add_account(), large_message()
    with Others(server), server.imap(account) as imap:
        imap.append("INBOX", data, "\\Seen $Kept")
        imap.append("INBOX", message(subject="next"))
        imap.select()
        assert set(imap.flags("1")[1]) - {b"\\Recent"} == {b"\\Seen", b"$Kept"}
    assert fetched(server, account) == data


def test_lmtp_to_two_beside_others(server):
    accounts, data = [server.add_account(), server.add_account()], large_message()
    with Others(server), server.lmtp() as lmtp:
        lmtp.send_message("sender@example.net", [account.address for account in accounts], data)
    for account in accounts:
        assert fetched(server, account).endswith(data)


def test_several_at_once(server):
    """Appends of two sessions of one account, and deliveries to it, all under way together: each comes once, and whole."""
    account = server.add_account()
    size = 8_000_000

    def append(number):
        with server.imap(account) as imap:
            imap.append("INBOX", large_message(size, f"mail {number}"))

    def deliver(number):
        with server.lmtp() as lmtp:
            lmtp.send_message("sender@example.net", [account.address], large_message(size, f"mail {number}"))

    threads = [threading.Thread(target=append if number % 2 else deliver, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = []
    with server.imap(account) as imap:
        imap.select()
        for number in range(1, 7):
            data = body(imap, number)
            found.append(int(re.search(rb"Subject: mail (\d)", data).group(1)))
            assert data.endswith(large_message(size, f"mail {found[-1]}"))
    assert sorted(found) == list(range(6))
    assert server.cli_json("store", "check")["damaged"] == 0


def test_large_among_several_of_one_command(server):
    """RFC 3502: all or none, whatever their sizes"""
    account = server.add_account()
    parts = [message(subject="one"), large_message(6_000_000), message(subject="three"), large_message(6_000_001)]
    with Others(server), server.imap(account) as imap:
        command = ["APPEND INBOX "]
        for part in parts:
            command += [wire.Literal(part), " "]
        imap.ok(*command[:-1])
    for number, part in enumerate(parts, 1):
        assert fetched(server, account, number) == part
    with server.imap(account) as imap:
        bad = large_message(6_000_000)[:-2] + b"\0\r\n"
        imap.no("APPEND INBOX ", wire.Literal(parts[1]), " ", wire.Literal(bad))
        assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": len(parts)}


def test_refused_at_its_last_byte(server):
    account = server.add_account()
    data = large_message(6_000_000)
    with server.imap(account) as imap:
        imap.no("APPEND INBOX ", wire.Literal(data[:-2] + b"\0\r\n"), code=b"CANNOT")
        imap.append("INBOX", data[:-2] + b"\n")
        assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 1}
    assert fetched(server, account) == data[:-2] + b"\n"


@pytest.mark.parametrize("whole", [False, True], ids=["while it is sent", "when all is sent"])
def test_client_that_goes_in_the_middle(server, whole):
    """Nothing of it stays, or all of it."""
    account, data = server.add_account(), large_message(20_000_000)
    for _ in range(3):
        with server.imap(account) as imap:
            imap.line.send(b"t APPEND INBOX {%d+}\r\n" % len(data))
            imap.line.send(data + b"\r\n" if whole else data[:len(data) // 2])
        with server.lmtp() as lmtp:
            lmtp.begin("sender@example.net", [account.address])
            lmtp.line.send(wire.dot_stuffed(data) if whole else data[:len(data) // 2])
    with server.imap(account) as imap:
        imap.append("INBOX", message(subject="after"))
        imap.select()
        sizes = [int(one[b"RFC822.SIZE"]) for one in imap.fetch("1:*", "(RFC822.SIZE)").values()]
        assert len(message(subject="after")) in sizes
        assert all(size >= len(data) for size in sizes if size != len(message(subject="after")))
        if not whole:
            assert len(sizes) == 1


def test_killed_in_the_middle(server):
    """What the shard had copied when it was killed is nobody's; a sender comes again, and there is one message."""
    account, data = server.add_account(), large_message(20_000_000)
    with server.imap(account) as imap:
        imap.append("INBOX", message(subject="before"))
        imap.line.send(b"t APPEND INBOX {%d+}\r\n" % len(data))
        imap.line.send(data + b"\r\n")
        server.kill_role("shard")
    before = len(message(subject="before"))
    with server.imap(account) as imap:
        imap.select()
        sizes = [int(one[b"RFC822.SIZE"]) for one in imap.fetch("1:*", "(RFC822.SIZE)").values()]
        assert sizes in ([before], [before, len(data)])
        imap.append("INBOX", data)
    assert fetched(server, account, len(sizes) + 1) == data
    assert server.cli_json("store", "check")["damaged"] == 0
