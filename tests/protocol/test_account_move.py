"""`mansio account move`: an account goes to another shard while the server runs; all of it, once, whatever ends."""

import concurrent.futures
import contextlib
import random
import re
import signal
import subprocess
import threading
import time

import pytest

from harness import wire
from harness.server import binary


def message(n, size=0):
    return f"From: w{n}@example.net\r\nSubject: number {n}\r\n\r\n".encode() + b"some text here\r\n" * (1 + size // 16)


def shard_of(server, account):
    return server.cli_json("account", "show", account.address)["shard"]


def move(server, account, check=True):
    """To the other shard; its number."""
    to = 1 - shard_of(server, account)
    done = server.cli("account", "move", account.address, "--shard", to, "--json", check=check, timeout=120)
    return to if done.returncode == 0 else None


def filled(server, n=300, size=200):
    """An account with mail in several mailboxes, flags, keywords, and expunged mail."""
    account = server.add_account()
    with server.imap(account) as imap:
        for i in range(n):
            imap.append("INBOX", message(i, size), flags="\\Seen $work" if i % 3 else None)
        imap.ok("CREATE Lists/one")
        imap.ok("SUBSCRIBE Lists/one")
        imap.select()
        imap.ok(f"COPY 1:{n // 10} Lists/one")
        imap.ok(f"MOVE {n // 10}:{n // 5} Archive")
        imap.ok("STORE 1:9 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("STORE 1:10 +FLAGS (\\Flagged $later)")
    return account


def look(server, account):
    """Everything that clients can see of an account."""
    seen = {}
    with server.imap(account) as imap:
        seen["names"] = imap.list()
        seen["subscribed"] = imap.list(command="LSUB")
        for mailbox in ("INBOX", "Lists/one", "Archive"):
            seen[mailbox] = {key: value for key, value in
                             imap.status(mailbox, "MESSAGES UIDNEXT UIDVALIDITY UNSEEN").items()}
            imap.select(mailbox, "EXAMINE")
            answer = imap.ok("UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
            seen[mailbox, "messages"] = sorted(map(repr, answer.fetched().items()))
    with server.pop3(account) as pop:
        seen["uidl"] = pop.uidl()
    seen["expunged"] = sorted(one["id"] for one in server.cli_json("undelete", "list", account.address))
    return seen


def test_everything_travels_along(server):
    account = filled(server)
    before = look(server, account)
    assert before["expunged"]
    to = move(server, account)
    assert shard_of(server, account) == to
    assert look(server, account) == before
    server.cli("undelete", "restore", account.address)
    with server.imap(account) as imap:
        assert imap.status("INBOX", "MESSAGES")[b"MESSAGES"] == before["INBOX"][b"MESSAGES"] + 9
    move(server, account)
    assert shard_of(server, account) == 1 - to
    server.cli("store", "check")


def test_a_session_ends_and_may_come_again(server):
    account = filled(server, 60)
    with server.imap(account) as imap:
        imap.select()
        imap.line.send(b"x IDLE\r\n")
        assert imap.line.read_line().startswith(b"+")
        move(server, account)
        line = imap.line.read_line()
        while not line.startswith(b"* BYE"):
            line = imap.line.read_line()
        assert b"moved" in line
    with server.imap(account) as imap:
        assert imap.status("INBOX", "MESSAGES")[b"MESSAGES"] > 0


# ---------------------------------------------------------------------- sessions that the move ends
# Each begins something, and gives what is to be looked at behind the move: its client has seen an end in order.

SMALL = 40
LARGE = b"x" * 78 + b"\r\n"


def end_of(imap):
    """Reads on until the server closes; the responses, of which the last is BYE. A response that is cut fails."""
    responses = []
    while not responses or not responses[-1].startswith(b"* BYE"):
        responses.append(imap.read_response())
    assert b"moved" in responses[-1] and not imap.line.unread and imap.line.closed()
    return responses


def imap_over_tls(server, account):
    imap = server.imap(account, "imaps")
    imap.select()
    imap.line.send(b"x IDLE\r\n")
    assert imap.line.read_line().startswith(b"+")
    return imap, lambda: end_of(imap)


def imap_after_starttls(server, account):
    imap = server.imap()
    imap.start_tls(server.certificate)
    imap.login(account)
    imap.select()
    return imap, lambda: end_of(imap)


def imap_with_half_a_literal(server, account):
    """What was to be appended is not there, whole or in part."""
    imap = server.imap(account)
    imap.line.send(b"x APPEND INBOX {1000}\r\n")
    assert imap.line.read_line().startswith(b"+")
    imap.line.send(b"Subject: half\r\n\r\n" + b"x" * 400)
    return imap, lambda: end_of(imap)


def imap_with_half_a_large_literal(server, account):
    """The same, of a message that is kept in a file while it comes in."""
    imap = server.imap(account)
    imap.line.send(b"x APPEND INBOX {4000000}\r\n")
    assert imap.line.read_line().startswith(b"+")
    imap.line.send(b"Subject: half\r\n\r\n" + LARGE * 30000)
    return imap, lambda: end_of(imap)


def imap_in_the_middle_of_a_line(server, account):
    imap = server.imap(account)
    imap.line.send(b"x STAT")
    return imap, lambda: end_of(imap)


def imap_in_a_long_fetch(service):
    def begin(server, account):
        """The client reads nothing until the move is over, more than every buffer holds."""
        imap = server.imap(account, service)
        imap.select()
        imap.line.send(b"x FETCH 1:* (UID FLAGS BODY.PEEK[] BODY.PEEK[TEXT])\r\n" * 30)
        assert re.match(rb"\* 1 FETCH \(UID 1 .*\)$", imap.read_response(), re.DOTALL)

        def end():
            fetched = [one for one in end_of(imap)[:-1] if b" FETCH (" in one]
            assert 0 < len(fetched) < 30 * SMALL and all(one.endswith(b")") for one in fetched)

        return imap, end
    begin.__name__ = f"{service}_in_a_long_fetch"
    return begin


def pop3_with_marks(service):
    def begin(server, account):
        """Only QUIT deletes."""
        pop3 = server.pop3(account, service)
        for number in range(1, 11):
            pop3.ok(f"DELE {number}")

        def end():
            with contextlib.suppress(OSError):
                pop3.line.send(b"QUIT\r\n")
            assert pop3.line.closed()

        return pop3, end
    begin.__name__ = f"{service}_with_marks"
    return begin


def pop3_in_a_long_retr(server, account):
    pop3 = server.pop3(account)
    for number in (1, 2):
        pop3.ok(f"DELE {number}")
    sent = pop3.multiline("RETR 3")
    pop3.line.send(b"RETR 3\r\n" * 2000)

    def end():
        """Whole answers, until the server closes; it says nothing of its own (RFC 1939 section 3)."""
        answers = 0
        with contextlib.suppress(wire.Closed):
            while pop3.line.read_line().startswith(b"+OK"):
                try:
                    assert pop3.read_multiline() == sent
                except wire.Closed:
                    raise AssertionError("an answer was cut") from None
                answers += 1
        assert not pop3.line.unread and 0 < answers < 2000

    return pop3, end


@pytest.mark.parametrize("begin", [imap_over_tls, imap_after_starttls, imap_with_half_a_literal, imap_with_half_a_large_literal,
                                   imap_in_the_middle_of_a_line, imap_in_a_long_fetch("imap"), imap_in_a_long_fetch("imaps"),
                                   pop3_with_marks("pop3"), pop3_with_marks("pop3s"), pop3_in_a_long_retr],
                         ids=lambda begin: begin.__name__)
def test_a_session_ends_in_order_whatever_it_does_and_all_is_there_at_its_next_login(server, account, begin):
    with server.imap(account) as imap:
        for n in range(SMALL):
            imap.append("INBOX", message(n, 20000))
    before = whole(server, account)
    client, end = begin(server, account)
    with client:
        move(server, account)
        assert whole(server, account) == before, "the next login comes at once, and finds everything"
        end()
    assert whole(server, account) == before
    server.deliver(account, message(SMALL))
    assert numbers(server, account) == sorted(map(str, range(SMALL + 1)))


def whole(server, account):
    """Flags and bytes by uid, and unique ids."""
    with server.imap(account) as imap, server.pop3(account) as pop3:
        return imap.contents(), pop3.uidl()


@pytest.mark.parametrize("kind", ["lmtp", "smtp"])
def test_a_message_that_is_half_sent_when_its_account_moves_is_to_be_sent_again(server, account, kind):
    """Senders do, of themselves (RFC 5321 section 4.5.4.1); then it is there once."""
    data = wire.dot_stuffed(message(1, 300000))
    with getattr(server, kind)() as client:
        client.begin("sender@example.net", [account.address])
        client.line.send(data[:150000])
        move(server, account)
        client.line.send(data[150000:])
        assert client.read()[0] == 451
        client.send_message("sender@example.net", [account.address], message(1, 300000))
    assert numbers(server, account) == ["1"]


def test_mail_that_comes_meanwhile_arrives_once(server):
    account = filled(server, 200, 20000)
    delivered, stop = [], threading.Event()

    def deliver():
        n = 10001
        while not stop.is_set():
            try:
                server.deliver(account, message(n))
                delivered.append(n)
                n += 1
            except AssertionError as error:
                assert "45" in str(error), error
                time.sleep(0.05)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = pool.submit(deliver)
        try:
            for _ in range(3):
                move(server, account)
        finally:
            stop.set()
        done.result()
    with server.imap(account) as imap:
        imap.select()
        answer = imap.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        text = [repr(one) for one in answer.fetched().values()]
    for n in delivered:
        assert sum(f"number {n}\\r" in one for one in text) == 1, n
    assert delivered


def test_wrong_wishes_are_refused_with_words(server):
    account = filled(server, 60)
    here = shard_of(server, account)
    for arguments, status in ((["--shard", here], 4), (["--shard", "77"], 2), (["--shard", "x"], 2), ([], 2)):
        done = server.cli("account", "move", account.address, *arguments, check=False)
        assert done.returncode == status, done
        assert done.stderr
    assert server.cli("account", "move", "nobody@example.test", "--shard", 1, check=False).returncode == 3
    answer = server.cli_json("account", "move", account.address, "--shard", 1 - here)
    assert answer == {"address": account.address, "shard": 1 - here}


def numbers(server, account):
    """Which of message(n) are in INBOX."""
    with server.imap(account) as imap:
        imap.select()
        answer = imap.ok("UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return sorted(repr(one).split("number ")[1].split("\\r")[0] for one in answer.fetched().values())


def log_in_again(server, account):
    deadline = time.monotonic() + 40
    while True:
        try:
            return numbers(server, account)
        except (AssertionError, OSError, wire.Closed):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("victim", ["source", "target", "auth", "cli", "all"])
def test_a_process_that_is_killed_leaves_the_account_whole_on_one_shard(fresh_server, victim):
    moments = random.Random(victim)
    server = fresh_server()
    account = server.add_account()
    with server.imap(account) as imap:
        for i in range(400):
            imap.append("INBOX", message(i, 12000))
    whole = numbers(server, account)
    assert len(whole) == 400
    moved = 0
    for turn in range(6):
        here = shard_of(server, account)
        process = subprocess.Popen([binary(), "account", "move", account.address, "--shard", str(1 - here), "-c",
                                    server.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=server.environment)
        time.sleep(moments.uniform(0.02, 0.5))
        if victim == "cli":
            process.kill()
        elif victim == "all":
            server.kill_everything()
            server.start()
        elif victim == "auth":
            server.kill_role("auth", 0, signal.SIGKILL)
        else:
            server.kill_role("shard", here if victim == "source" else 1 - here, signal.SIGKILL)
        process.wait(timeout=60)
        assert log_in_again(server, account) == whole
        moved += shard_of(server, account) != here
        server.deliver(account, message(5000 + turn))
        whole = numbers(server, account)
    server.wait_for(lambda: server.cli("account", "move", account.address, "--shard",
                                       1 - shard_of(server, account), check=False, timeout=60).returncode == 0,
                    "a move that nobody disturbs", 60)
    assert numbers(server, account) == whole
    assert server.cli("store", "check", check=False).returncode == 0
    # what is left of moves that were taken back goes, and takes nothing along
    server.cli("store", "compact", timeout=120)
    assert numbers(server, account) == whole
    assert server.cli("store", "check", check=False).returncode == 0


def test_a_client_resynchronises_across_a_move(server):
    """RFC 7162: modseqs and the change log travel, so do ids (RFC 8474)"""
    account = filled(server, 60)
    with server.imap(account) as imap:
        imap.ok("ENABLE QRESYNC")
        first = imap.select().codes()
        ids = {uid: one[b"EMAILID"] for uid, one in imap.uid_fetch("1:*", "(EMAILID)").items()}
        uids = sorted(ids)
        imap.ok(f"UID STORE {uids[0]},{uids[5]} +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok(f"UID STORE {uids[7]} +FLAGS.SILENT (\\Answered)")
    move(server, account)
    with server.imap(account) as imap:
        imap.ok("ENABLE QRESYNC")
        answer = imap.ok(f"SELECT INBOX (QRESYNC ({first[b'UIDVALIDITY'].decode()} {first[b'HIGHESTMODSEQ'].decode()}))")
        assert answer.codes()[b"MAILBOXID"] == first[b"MAILBOXID"]
        assert answer.all(b"VANISHED") == [b"(EARLIER) %d,%d" % (uids[0], uids[5])]
        assert [int(one[b"UID"]) for one in answer.fetched().values()] == [uids[7]]
        assert imap.uid_fetch("1:*", "(EMAILID)").items() >= {
            uid: {b"UID": b"%d" % uid, b"EMAILID": ids[uid]} for uid in uids if uid not in (uids[0], uids[5])}.items()
