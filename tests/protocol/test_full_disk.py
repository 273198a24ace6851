"""A disk that is truly full, under a crowd: mail is put off, nothing acknowledged is lost, and with space all works again."""

import concurrent.futures
import contextlib
import json
import os
import re
import subprocess

import pytest

from harness import wire
from harness.material import message
from harness.server import Server, binary

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a full disk needs root, to mount a small one")

LARGE = ("x" * 76 + "\r\n") * 6000  # travels as a file
SMALL = "hello\r\n"


def mount(folder, options):
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False)


@pytest.fixture
def small_disk(request):
    """A running server whose store has 24 MB; the reserve is the parameter."""
    server = Server({"server": {"shards": 1}, "store": {"reserve_free_space": request.param, "wal_checkpoint_size": "1MB"}})
    server.directory.mkdir()
    mounted = mount(server.directory, "size=24m,mode=755")
    if mounted.returncode != 0:
        server.close()
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    try:
        server.start()
        server.add_domain()
        yield server
    finally:
        try:
            server.stop(expect=None)
        finally:
            server.kill_everything()
            subprocess.run(["umount", "-l", server.directory], check=True)
            server.close()


def fill(server, account, name):
    """Delivers large and small messages until the disk is full; gives the subjects that were acknowledged, and the refusals."""
    done, refusals = [], []
    for number in range(400):
        if len(refusals) >= 20:
            break
        subject = f"{name}-{number}"
        data = message(subject=subject, body=LARGE if number % 4 == 0 else SMALL)
        with contextlib.suppress(wire.Closed, ConnectionError):
            if number % 5 == 3:
                with server.imap(account) as imap:
                    answer = imap.command("APPEND INBOX ", wire.Literal(data))
                    if answer.status == b"OK":
                        done.append(subject)
                    else:
                        refusals.append(("imap", answer.status, answer.code))
                continue
            with server.lmtp() if number % 2 else server.smtp() as client:
                answer = client.command("MAIL FROM:<sender@example.net>")
                if answer[0] == 250:
                    client.expect(250, f"RCPT TO:<{account.address}>")
                    client.expect(354, "DATA")
                    client.line.send(wire.dot_stuffed(data))
                    answer = client.read()
                if answer[0] == 250:
                    done.append(subject)
                else:
                    refusals.append(("smtp", answer[0], answer[1][-1].split()[0]))
    return done, refusals


def subjects(server, account):
    """{subject: how often it is there}, every message whole."""
    found = {}
    with server.imap(account) as imap:
        answer = imap.select()
        if answer.numbered(b"EXISTS") == [0]:
            return found
        for one in imap.fetch("1:*", "(RFC822.SIZE BODY.PEEK[])").values():
            body = one[b"BODY[]"]
            assert len(body) == int(one[b"RFC822.SIZE"])
            subject = re.search(rb"(?m)^Subject: (.*)\r$", body).group(1).decode()
            text = body.partition(b"\r\n\r\n")[2]
            assert text in (LARGE.encode(), SMALL.encode()), (subject, len(text))
            found[subject] = found.get(subject, 0) + 1
    return found


@pytest.mark.parametrize("small_disk", ["4MB", "1MB"], indirect=True, ids=["reserve 4 MB", "reserve 1 MB"])
def test_a_crowd_fills_the_disk(small_disk):
    server = small_disk
    account = server.add_account()
    # a file of somebody else takes all that the server would keep free: its own writes fail then
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        work = [pool.submit(fill, server, account, f"c{i}") for i in range(6)]
        results = [one.result() for one in work]
    acknowledged = {subject for done, _ in results for subject in done}
    refusals = {refusal for _, refused in results for refusal in refused}
    assert acknowledged
    assert refusals <= {("smtp", 452, "4.3.1"), ("imap", b"NO", b"UNAVAILABLE")}, refusals
    found = subjects(server, account)
    assert acknowledged <= set(found)
    filler = server.directory / "filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
    with contextlib.suppress(OSError), open(server.directory / "filler2", "wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    assert acknowledged <= set(subjects(server, account))
    late, refused = fill(server, account, "late")
    assert not late and set(refused) <= {("smtp", 452, "4.3.1"), ("imap", b"NO", b"UNAVAILABLE")}, refused
    with server.imap(account) as imap:
        imap.select()
        for command in ("STORE 1 +FLAGS (\\Seen)", "CREATE New", "COPY 1 INBOX"):
            answer = imap.command(command)
            assert (answer.status, answer.code) in ((b"NO", b"UNAVAILABLE"), (b"NO", b"OVERQUOTA")), (command, answer)
    server.kill_everything()
    # it may not come up without a byte of space; with some, all is there
    filler.unlink()
    server.start()
    assert acknowledged <= set(subjects(server, account))
    assert mount(server.directory, "remount,size=64m").returncode == 0
    (server.directory / "filler2").unlink(missing_ok=True)
    server.deliver(account, message(subject="afterwards", body=LARGE))
    server.deliver(account, message(subject="afterwards too", body=SMALL))
    found = subjects(server, account)
    assert acknowledged | {"afterwards", "afterwards too"} <= set(found)
    server.restart()
    assert acknowledged | {"afterwards", "afterwards too"} <= set(subjects(server, account))


@pytest.mark.parametrize("small_disk", ["4MB"], indirect=True, ids=["reserve 4 MB"])
def test_too_little_space_is_told_once_when_it_begins_and_once_when_it_ends(small_disk):
    server = small_disk
    account = server.add_account()

    def told():
        return (server.sum_of("short_of_space"), "make room" in server.wait_told("status"),
                'mansio_disk_short{process="shard.0"} 1' in server.wait_told("metrics"))

    assert told() == (0, False, False)
    with open(server.directory / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(65536)) > 0:
            pass
    done, refused = fill(server, account, "late")
    assert not done and len(refused) == 20
    assert told() == (1, True, True)
    assert "nothing is wrong" not in server.cli("status").stdout
    saved = server.cli("backup", server.root / "backup", check=False)  # on another disk
    assert saved.returncode == 1
    assert saved.stderr.startswith("mansio: the disk of the store has no space for a copy of directory.db")
    (server.directory / "filler").unlink()
    assert told() == (0, False, False)
    server.deliver(account, message(subject="afterwards", body=SMALL))
    lines = [line for line in server.log_text().splitlines() if "event=space-" in line]
    assert [("level=warning" in line, "event=space-short" in line) for line in lines] == [(True, True), (False, False)], lines
    assert int(re.search(r" free=(\d+) ", lines[0])[1]) < 4 << 20 <= int(re.search(r" free=(\d+) ", lines[1])[1]), lines
    assert "reserve=4194304" in lines[0] and "shards/00" in lines[0] and "action=" in lines[0]


@pytest.mark.parametrize("small_disk", ["1MB"], indirect=True, ids=["reserve 1 MB"])
def test_a_disk_that_somebody_else_fills_while_mail_comes(small_disk):
    """The reserve is eaten from outside between the look at the free space and the write: whole batches fail."""
    server = small_disk
    account = server.add_account()
    ended = False

    def eat():
        path = server.directory / "eater"
        while not ended:
            with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
                while not ended:
                    file.write(bytes(262144))
            path.unlink(missing_ok=True)

    with concurrent.futures.ThreadPoolExecutor(7) as pool:
        eater = pool.submit(eat)
        work = [pool.submit(fill, server, account, f"e{i}") for i in range(6)]
        results = [one.result() for one in work]
        ended = True
        eater.result()
    (server.directory / "eater").unlink(missing_ok=True)
    acknowledged = {subject for done, _ in results for subject in done}
    server.wait_ready()
    found = subjects(server, account)
    assert acknowledged <= set(found), sorted(acknowledged - set(found))
    assert mount(server.directory, "remount,size=96m").returncode == 0
    server.deliver(account, message(subject="afterwards", body=LARGE))
    server.kill_everything()
    server.start()
    assert acknowledged | {"afterwards"} <= set(subjects(server, account))


@pytest.mark.parametrize("small_disk", ["1MB"], indirect=True)
def test_a_check_without_space_for_its_copies_finds_no_damage_but_says_so(small_disk):
    """It was not looked at: that is neither damage nor all that was asked for."""
    with open(small_disk.directory / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096) > 0:
            pass
    done = small_disk.cli("store", "check", check=False)
    assert done.returncode == 1 and "no space" in done.stdout and "damaged" not in done.stdout
    done = small_disk.cli("store", "check", "--json", check=False)
    answer = json.loads(done.stdout)
    assert done.returncode == 1 and (answer["damaged"], answer["damage"]) == (0, [])
    assert "no space" in answer["not_checked"]
    (small_disk.directory / "filler").unlink()
    assert small_disk.cli_json("store", "check")["not_checked"] == ""


@pytest.mark.parametrize("small_disk", ["1MB"], indirect=True)
def test_a_file_system_that_is_read_only_is_called_so(small_disk):
    small_disk.stop()
    assert mount(small_disk.directory, "remount,ro").returncode == 0
    done = subprocess.run([binary(), "serve", "-c", small_disk.config], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "read-only" in done.stderr
    done = small_disk.cli("store", "salvage", check=False)
    assert done.returncode == 1 and "read-only" in done.stderr and "no store" not in done.stderr
