"""What a POP3 session costs, by the system calls of its shard (strace): RETR hands the file to the kernel, listings of a
large mailbox read nothing from the disk."""

import collections
import re
import subprocess
import types

import pytest

from harness.material import message
from harness.programs import need
from harness.server import Server

pytestmark = pytest.mark.plain

MESSAGES = 100_000
ENTRIES_OF_A_PAGE = 120  # docs/architecture.md: so many stand in one row of index.db
LARGE = 3  # number of a message that goes from its file; the next one has lines that begin with a dot
STUFFED = 4
TRACED = ("sendfile", "read", "readv", "pread64", "preadv", "preadv2", "recvfrom")

_CALL = re.compile(r"(\d+) +(.*?)(?: <unfinished \.\.\.>)?$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)$")
_COMMAND = re.compile(r'recvfrom\(\d+<TCP:\[[^\]]*\]>, "([A-Z]+(?: \d+)?)')
_DONE = re.compile(r"(\w+)\((.*)\) += (\d+)$")


def calls_by_command(lines):
    """{command line: [(name of the call, its arguments, its result)]} from the call that reads it on until the next one"""
    found, unfinished, command = collections.defaultdict(list), {}, ""
    for line in lines:
        if match := _RESUMED.match(line):
            text = unfinished.pop(match.group(1), "") + match.group(2)
        else:
            pid, text = _CALL.match(line).groups()
            if line.endswith("<unfinished ...>\n"):
                unfinished[pid] = text
                continue
        if match := _COMMAND.match(text):
            command = match.group(1)
        if match := _DONE.match(text):
            found[command].append((match.group(1), match.group(2), int(match.group(3))))
    return found


def large_mailbox(server):
    account = server.add_account()
    with server.imap(account) as imap:
        for number in range(2):
            imap.append("INBOX", message(f"number {number}"))
        imap.append("INBOX", message("large", ("x" * 70 + "\r\n") * 3000))
        imap.append("INBOX", message("dots", ("." * 70 + "\r\n") * 3000))
        imap.select()
        count = STUFFED
        while count < MESSAGES:
            imap.ok(f"COPY 1:{min(count, MESSAGES - count)} INBOX")
            count = min(2 * count, MESSAGES)
    return account


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """calls: of one session, on a server that has just started (calls_by_command); octets: {number: of a message};
    cold_reads: as they were before the session, and after its listings."""
    need("strace")
    path = tmp_path_factory.mktemp("trace") / "trace"
    if subprocess.run(["strace", "-o", path, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("strace is not allowed here")
    seen = types.SimpleNamespace(octets={}, cold_reads=[])
    server = Server({"server": {"shards": 1}})
    try:
        server.start()
        server.add_domain()
        account = large_mailbox(server)
        server.stop()
        server.wrapper = ["strace", "-f", "-yy", "-s", "32", "-o", path, "-e", "trace=" + ",".join(TRACED)]
        server.start()
        seen.cold_reads.append(server.sum_of("cold_reads", "shard"))
        with server.pop3(account) as pop3:
            assert pop3.stat()[0] == MESSAGES
            assert pop3.multiline("LIST").count(b"\r\n") == len(pop3.uidl()) == MESSAGES
            seen.cold_reads.append(server.sum_of("cold_reads", "shard"))
            for number in (LARGE, STUFFED):
                seen.octets[number] = int(pop3.ok(f"LIST {number}").split()[2])
                assert len(pop3.multiline(f"RETR {number}")) == seen.octets[number]
            pop3.ok("QUIT")
    finally:
        server.close()
    with open(path, errors="replace") as lines:
        seen.calls = calls_by_command(lines)
    return seen


def reads(calls, file):
    """The calls that have read from files of a shard that are called so."""
    return [arguments for name, arguments, result in calls
            if name != "sendfile" and result > 0 and re.match(rf"\d+<[^>]*/shards/[^>]*{file}[^>]*>", arguments)]


def test_login_reads_a_large_mailbox_once(traced):
    """A page of entries with each read, and some rows besides; fewer where the start has read some."""
    pages = MESSAGES / ENTRIES_OF_A_PAGE
    assert pages / 2 < len(reads(traced.calls["PASS"], "index.db")) < 1.2 * pages + 50
    assert not reads(traced.calls["PASS"], r"\.seg")


@pytest.mark.parametrize("command", ["STAT", "LIST", "UIDL"])
def test_listings_of_a_large_mailbox_come_from_memory(traced, command):
    """What the shard does for itself meanwhile may read a few rows."""
    assert [name for name, _, _ in traced.calls[command]][:1] == ["recvfrom"], "the trace tells nothing of the command"
    assert len(reads(traced.calls[command], "index.db")) < 50
    assert not reads(traced.calls[command], r"\.seg")


def test_neither_login_nor_listings_wait_for_a_message(traced):
    before, after = traced.cold_reads
    assert before == after


def sent_from_files(traced, number):
    return sum(result for name, _, result in traced.calls[f"RETR {number}"] if name == "sendfile")


def test_retr_sends_a_message_from_its_file(traced):
    assert sent_from_files(traced, LARGE) == traced.octets[LARGE]


def test_a_message_whose_dots_are_stuffed_is_read(traced):
    """(which shows that the test above sees the difference)"""
    assert sent_from_files(traced, STUFFED) == 0 and reads(traced.calls[f"RETR {STUFFED}"], r"\.seg")
