"""Restoring from a backup that cannot be written, or of which not everything can be read: what is there comes back, what is
not is named, and no mail that is in use goes for it. And what a restore that ends early leaves: nothing."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

from harness.programs import need
from harness.server import binary

KILOBYTE = 1024
SIZE = 26400  # forty fill a segment


@pytest.fixture
def served(fresh_server):
    return fresh_server({"server": {"shards": 1}, "store": {"segment_size": "1MB"}})


@pytest.fixture
def temporary(tmp_path):
    """$TMPDIR of the command alone."""
    path = tmp_path / "temporary"
    path.mkdir()
    return path


def message(n, size=SIZE):
    return f"Subject: number {n}\r\n\r\n".encode() + f"line {n:05}\r\n".encode() * (size // 12)


def folder(server):
    return server.root / "backup"


def command(server, *options):
    return ["restore", folder(server), *options, "-c", server.config]


def restore(server, *options, wrapper=(), **environment):
    """Exit status, and what was said."""
    done = subprocess.run([*map(str, wrapper), binary(), *map(str, command(server, *options, "--json"))],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
                          env={**(server.environment or os.environ), **environment})
    assert done.stdout, (done.returncode, done.stderr)
    return done.returncode, json.loads(done.stdout)


def subjects(server, account, mailbox="INBOX"):
    """Numbers of the messages that are as they came in; others are not counted."""
    with server.imap(account) as imap:
        if imap.command(f"EXAMINE {mailbox}").status != b"OK":
            return None
        found = []
        for one in imap.command("FETCH 1:* (BODY.PEEK[])").fetched().values():
            body = bytes(one.get(b"BODY[]", b""))
            n = re.search(rb"Subject: number (\d+)\r\n", body)
            if n and body.endswith(message(int(n[1]))):
                found.append(int(n[1]))
        return found


def fill(server, account, first, last, mailbox="INBOX"):
    with server.imap(account) as imap:
        if mailbox != "INBOX" and mailbox.encode() not in imap.list():
            imap.ok(f"CREATE {mailbox}")
        for n in range(first, last + 1):
            imap.append(mailbox, message(n))


def segments(server):
    return sorted((folder(server) / "segments/00").glob("*.seg"))


def two_segments(server, account):
    """Old is in the first segment alone, INBOX in both, New in the second alone; then all mail but 90 to 92 is gone."""
    fill(server, account, 1, 20, "Old")
    fill(server, account, 21, 40)
    fill(server, account, 41, 45)
    fill(server, account, 46, 50, "New")
    server.cli("backup", folder(server))
    assert len(segments(server)) == 2
    for n, mailbox in ((90, "Old"), (91, "INBOX"), (92, "New")):
        with server.imap(account) as imap:
            imap.ok(f"SELECT {mailbox}")
            imap.ok("UID STORE 1:* +FLAGS.SILENT (\\Deleted)")
            imap.ok("EXPUNGE")
        fill(server, account, n, n, mailbox)


ALL = {"Old": [*range(1, 21)], "INBOX": [*range(21, 46)], "New": [*range(46, 51)]}


def all_of(server, account):
    return {mailbox: subjects(server, account, mailbox) for mailbox in ALL}


@contextlib.contextmanager
def modes(server, files, folders):
    """Of everything in the backup; and a command that such modes bind."""
    paths = [folder(server), *folder(server).rglob("*")]
    before = {path: path.stat().st_mode for path in paths}
    for path in reversed(paths):
        path.chmod(folders if path.is_dir() else files)
    drop = "-dac_override,-dac_read_search"
    try:
        yield ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}"] if os.geteuid() == 0 else []
    finally:
        for path in paths:
            path.chmod(before[path])


# ---------------------------------------------------------------- a backup that is read only


def test_a_backup_that_cannot_be_written_gives_everything_back(served):
    need("setpriv")
    account = served.add_account()
    two_segments(served, account)
    some = {"Old": [90], "INBOX": [91, *range(41, 46)], "New": [92]}
    with modes(served, 0o400, 0o500) as wrapper:
        for what, there in ((["--mailbox", "INBOX", "--message", "21:25"], some),
                            (["--mailbox", "INBOX"], {**some, "INBOX": ALL["INBOX"]}), ([], ALL)):
            status, told = restore(served, "--account", account.address, *what, wrapper=wrapper)
            assert (status, told["missing"], told["damage"], told["left"]) == (0, 0, [], [])
            assert all_of(served, account) == there


def test_who_may_not_read_the_backup_hears_it_and_nothing_changes(served):
    need("setpriv")
    account = served.add_account()
    two_segments(served, account)
    with modes(served, 0o600, 0o700) as wrapper:
        segments(served)[0].chmod(0)
        for what in [], ["--mailbox", "INBOX"], ["--mailbox", "INBOX", "--message", "21"]:
            status, told = restore(served, "--account", account.address, *what, wrapper=wrapper)
            assert status == 1 and "Permission denied" in json.dumps(told)
    assert all_of(served, account) == {"Old": [90], "INBOX": [91], "New": [92]}


# ---------------------------------------------------------------- bytes that are not there


def test_a_mailbox_that_cannot_be_read_at_all_stays_as_it_is(served):
    """A copy of the backup that is not complete."""
    account = served.add_account()
    two_segments(served, account)
    first = segments(served)[0]
    bytes_ = first.read_bytes()
    first.unlink()
    name = f"segments/00/{first.name}"
    status, told = restore(served, "--account", account.address)
    assert status == 1 and told["left"] == ["Old"]
    assert (told["missing"], told["damaged"], told["damaged_pieces"]) == (40, 40, 0)
    assert [(one["mailbox"], one["uid"]) for one in told["damage"]] == [
        *(("INBOX", uid) for uid in range(1, 21)), *(("Old", uid) for uid in range(1, 21))]
    assert {(one["file"], one["problem"]) for one in told["damage"]} == {(name, "its segment is not in the backup")}
    assert all_of(served, account) == {"Old": [90], "INBOX": [*range(41, 46)], "New": ALL["New"]}
    # what is gone can be put back
    served.cli("undelete", "restore", account.address, "--since", "1h")
    assert 91 in subjects(served, account) and 92 in subjects(served, account, "New")
    # in words
    said = served.cli("restore", folder(served), "--account", account.address, "--mailbox", "Old", check=False)
    assert said.returncode == 1 and "restored 0 messages" in said.stdout
    assert f"Old, uid 1: its segment is not in the backup ({name}, offset " in said.stderr
    assert "Old was left as it is" in said.stderr and "20 messages could not be restored" in said.stderr
    # and when the file is there again, everything is
    first.write_bytes(bytes_)
    assert restore(served, "--account", account.address)[0] == 0
    assert all_of(served, account) == ALL
    assert served.cli_json("store", "check")["damaged"] == 0


def test_a_mailbox_that_is_gone_is_not_made_for_nothing(served):
    account = served.add_account()
    two_segments(served, account)
    with served.imap(account) as imap:
        imap.ok("DELETE Old")
    segments(served)[0].unlink()
    status, told = restore(served, "--account", account.address)
    assert status == 1 and told["left"] == ["Old"]
    assert subjects(served, account, "Old") is None


def flip(path, n):
    """A byte of a message; the offset of its segment's piece is 0."""
    data = path.read_bytes()
    at = data.index(message(n)) + SIZE // 2
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
    return at


def test_a_damaged_message_is_named_and_counted(served):
    account = served.add_account()
    two_segments(served, account)
    first, *_ = segments(served)
    at = flip(first, 39)
    whole = [n for n in ALL["INBOX"] if n != 39]
    for what, there in ((["--mailbox", "INBOX", "--message", "18:21"], [91, 38, 40, 41]), (["--mailbox", "INBOX"], whole),
                        ([], whole)):
        status, told = restore(served, "--account", account.address, *what)
        one, = told["damage"]
        assert (status, told["missing"], told["damaged"], told["left"]) == (1, 1, 1, [])
        assert (one["mailbox"], one["uid"], one["file"]) == ("INBOX", 19, f"segments/00/{first.name}")
        assert one["offset"] < at < one["offset"] + SIZE and one["problem"] == "its bytes are not those that came in"
        assert subjects(served, account) == there
        said = served.cli("restore", folder(served), "--account", account.address, *what, check=False)
        assert said.returncode == 1 and "INBOX, uid 19: its bytes are not" in said.stderr


def test_messages_are_counted_apart_from_pieces_of_files(served):
    account = served.add_account()
    two_segments(served, account)
    first, *_ = segments(served)
    flip(first, 39)
    served.stop()
    for command_ in ("backup", "verify"), ("restore",):
        if command_ == ("restore",):
            served.directory.rename(served.root / "old")
        done = served.cli(*command_, folder(served), "--json", check=False)
        told = json.loads(done.stdout)
        assert (done.returncode, told["messages"], told["damaged"], told["damaged_pieces"]) == (1, 50, 1, 1)
        assert len(told["damage"]) == 2
    first.unlink()
    said = served.cli("backup", "verify", folder(served), check=False)
    assert said.returncode == 1 and "50 messages" in said.stdout
    assert said.stdout.endswith("damaged: 40 messages, 1 piece of a file\n")


# ---------------------------------------------------------------- a whole store


def served_again(served, account):
    served.start()
    return sorted(n for mailbox in ALL for n in subjects(served, account, mailbox))


def restore_all(served, *wrapper):
    served.stop()
    served.directory.rename(served.root / "old")
    return restore(served, wrapper=wrapper, **({"ASAN_OPTIONS": "detect_leaks=0"} if wrapper else {}))


def test_a_segment_that_ends_too_early_gives_back_what_it_has(served):
    account = served.add_account()
    two_segments(served, account)
    first, *_ = segments(served)
    at = first.read_bytes().index(message(30)) + 100  # in the middle of what is read at once
    with first.open("r+b") as file:
        file.truncate(at)
    status, told = restore_all(served)
    assert (status, told["messages"], told["damaged"], told["damaged_pieces"]) == (1, 50, 11, 1)
    assert served_again(served, account) == [*range(1, 30), *range(41, 51)]


def test_a_sector_that_cannot_be_read_costs_one_message(served, tmp_path):
    need("strace")
    if subprocess.run(["strace", "-o", tmp_path / "probe", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("strace is not allowed here")
    account = served.add_account()
    two_segments(served, account)
    # the third part of 256 KB as a whole, then the first of its sectors
    status, told = restore_all(served, "strace", "-o", tmp_path / "trace", "-P", segments(served)[0], "-e", "trace=pread64",
                               "-e", "inject=pread64:error=EIO:when=3..4")
    assert (status, told["messages"], told["damaged"], told["damaged_pieces"]) == (1, 50, 1, 1)
    assert len(served_again(served, account)) == 49
    assert [one["offset"] for one in told["damage"] if "message" not in one] == [512 * KILOBYTE]


# ---------------------------------------------------------------- once more


def test_a_message_comes_again_when_its_mailbox_is_gone(served):
    account = served.add_account()
    fill(served, account, 1, 3, "Projects")
    served.cli("backup", folder(served))
    what = ["--account", account.address, "--mailbox", "Projects", "--message", "1:2"]
    assert restore(served, *what)[1]["again"] == 0
    with served.imap(account) as imap:
        imap.ok("DELETE Projects")
    status, told = restore(served, *what)
    assert (status, told["entries"], told["again"]) == (0, 2, 0)
    assert subjects(served, account, "Projects") == [1, 2]
    status, told = restore(served, *what)  # as after an interruption
    assert (status, told["entries"], told["again"]) == (0, 2, 2)
    assert subjects(served, account, "Projects") == [1, 2]


# ---------------------------------------------------------------- and before its end


def at_work(temporary):
    return set(temporary.glob("mansio-restore-*"))


def has_child(process):
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if path.read_text().rpartition(")")[2].split()[1] == str(process.pid):
                return True
    return False


@contextlib.contextmanager
def waiting(served, account, temporary, repository):
    """A restore that has begun, and stands still as it opens the index in the backup; its folder, with something in it."""
    index, = repository.glob("generations/*/00.db")
    index.rename(index.with_suffix(".kept"))
    os.mkfifo(index)
    before = {one for one in at_work(temporary) if (one / "index.db").exists()}
    process = subprocess.Popen([binary(), "restore", repository, "--account", account.address, "-c", served.config],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                               env={**(served.environment or os.environ), "TMPDIR": str(temporary)})
    try:
        served.wait_for(lambda: process.poll() is not None or has_child(process), "the one that removes the folder")
        made, = at_work(temporary) - before
        (made / "index.db").write_bytes(b"envelopes")
        (made / "body").mkdir()
        (made / "body" / "000001.seg").symlink_to(segments(served)[0])
        yield process, made
    finally:
        process.kill()
        process.wait()
        index.with_suffix(".kept").rename(index)


def test_a_restore_that_is_ended_leaves_no_copy_of_the_index(served, temporary):
    account = served.add_account()
    fill(served, account, 1, 3)
    served.cli("backup", folder(served))
    for how in signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL:
        with waiting(served, account, temporary, folder(served)) as (process, _):
            process.send_signal(how)
            assert process.wait(10) == -how
            served.wait_for(lambda: not at_work(temporary), "an empty folder")
    status, told = restore(served, "--account", account.address, TMPDIR=str(temporary))
    assert (status, told["entries"]) == (0, 3) and not any(temporary.iterdir())


def test_what_a_power_cut_left_goes_with_the_next_run(served, temporary):
    account = served.add_account()
    fill(served, account, 1, 3)
    served.cli("backup", folder(served))
    left, others = temporary / "mansio-restore-abcdef", temporary / "something-else"
    (left / "body").mkdir(parents=True)
    (left / "envelopes").write_bytes(b"of others")
    (left / "body" / "000001.seg").symlink_to(segments(served)[0])
    others.mkdir()
    other = served.root / "copy"
    subprocess.run(["cp", "-a", folder(served), other], check=True)
    with waiting(served, account, temporary, folder(served)) as (_, first):
        assert not left.exists() and others.exists()
        with waiting(served, account, temporary, other) as (_, second):  # what is in use stays
            assert at_work(temporary) == {first, second} and (first / "index.db").exists()
    served.wait_for(lambda: not at_work(temporary), "no folder of a restore")
    assert others.exists() and segments(served)[0].exists()
