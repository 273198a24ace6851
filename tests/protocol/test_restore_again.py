"""A whole restore beside what an earlier one left: a store is never restored over, and no byte of another try stays."""

import itertools
import os
import pwd
import shutil

import pytest


NUMBERS = itertools.count()


@pytest.fixture
def served(fresh_server):
    return fresh_server({"server": {"shards": 1}, "store": {"segment_size": "1MB"}})


def folder(server):
    return server.root / "backup"


def backup(server):
    return server.cli_json("backup", folder(server))["name"]


def count(server, account):
    with server.imap(account) as imap:
        return imap.status("INBOX", "MESSAGES")[b"MESSAGES"]


def deliver(server, account, n, size=0):
    for _ in range(n):
        server.deliver(account, f"Subject: {next(NUMBERS)}\r\n\r\n".encode() + b"some words\r\n" * (1 + size // 12))


def restore(server, *options, check=True):
    return server.cli("restore", folder(server), *options, check=check)


def mark(server):
    return server.directory / "restore.unfinished"


def away(server):
    shutil.rmtree(server.directory)


def interrupt(server):
    """As a restore is that was killed before its last steps."""
    (server.directory / "store").unlink()
    mark(server).touch()


def files(server):
    return sorted(str(path.relative_to(server.directory)) for path in server.directory.rglob("*") if path.is_file())


def test_a_store_is_not_restored_over_although_the_mark_of_an_earlier_restore_is_there(served):
    account = served.add_account()
    deliver(served, account, 2)
    backup(served)
    served.stop()
    away(served)
    restore(served)
    mark(served).touch()  # killed before it was removed
    before = files(served)
    done = restore(served, check=False)
    assert done.returncode == 4 and "was finished" in done.stderr
    assert files(served) == [name for name in before if name != "restore.unfinished"]
    served.start()
    deliver(served, account, 3)
    assert count(served, account) == 5


def test_a_start_removes_the_mark_of_a_restore_that_was_finished(served):
    account = served.add_account()
    backup(served)
    served.stop()
    mark(served).touch()
    served.start()
    assert not mark(served).exists()
    deliver(served, account, 3)
    served.stop()
    done = restore(served, check=False)
    assert done.returncode == 4 and "is not empty" in done.stderr
    served.start()
    assert count(served, account) == 3


def test_a_restore_that_was_interrupted_is_no_store_for_a_start(served):
    served.add_account()
    backup(served)
    served.stop()
    interrupt(served)
    (served.directory / "shards" / "00" / "index.db").unlink()
    done = served.cli("serve", check=False)
    assert done.returncode != 0 and "run mansio restore again" in done.stdout + done.stderr
    assert not (served.directory / "store").exists()


def test_a_restore_that_begins_again_removes_what_the_first_try_left(served):
    account = served.add_account()
    deliver(served, account, 1)
    first = backup(served)
    deliver(served, account, 5, 500_000)
    backup(served)
    served.stop()
    away(served)
    restore(served)
    assert len(list(served.directory.glob("shards/00/body/*.seg"))) > 1
    interrupt(served)
    (served.directory / "shards" / "00" / "index.db-wal").write_bytes(b"of another index.db")
    (served.directory / "auth" / "directory.db-wal").write_bytes(b"of another directory.db")
    (served.directory / "store.new").write_bytes(b"half")
    restore(served, "--at", first)
    assert files(served) == ["auth/directory.db", "auth/directory.db-wal", "lock", "shards/00/body/000001.seg",
                             "shards/00/index.db", "shards/00/index.db-wal", "store"]
    assert b"another" not in (served.directory / "shards" / "00" / "index.db-wal").read_bytes()
    assert (served.directory / "auth" / "directory.db-wal").stat().st_size == 0
    served.start()
    assert count(served, account) == 1
    assert served.cli_json("store", "check")["damaged"] == 0


@pytest.mark.parametrize("name", ["notes", "shards/00/notes", "shards/00/body/000001.txt", "auth/deep/file"])
def test_what_no_restore_made_is_never_removed(served, name):
    served.add_account()
    backup(served)
    served.stop()
    interrupt(served)
    path = served.directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"mine")
    before = files(served)
    done = restore(served, check=False)
    assert done.returncode == 4 and "is not empty" in done.stderr
    assert files(served) == before


def test_restored_files_have_the_group_of_their_user(served):
    other = [one for one in pwd.getpwall() if one.pw_gid != one.pw_uid and one.pw_uid]
    if os.geteuid() != 0 or not other:
        pytest.skip("needs root, and a user whose group has another number")
    served.add_account()
    backup(served)
    served.stop()
    away(served)
    served.settings["server"]["user"] = other[0].pw_name
    served.write_config()
    restore(served)
    owned = [path for path in served.directory.rglob("*")
             if path.parent.name in ("auth", "00", "body") or path.name in ("auth", "00", "body")]
    assert len(owned) >= 5
    for path in owned:
        assert (path.stat().st_uid, path.stat().st_gid) == (other[0].pw_uid, other[0].pw_gid), path
