"""mansio store salvage where the directory and the shards do not agree on who is where, and where an earlier run was cut off:
no mail goes without a word, and nothing of an old shard is ever removed."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess

import pytest

from harness.programs import need
from harness.server import Server, binary

SETTINGS = {"server": {"shards": 2}}


def message(n):
    return f"Subject: number {n}\r\n\r\nmessage {n}\r\n".encode()


class Template:
    """A stopped store of two shards with two accounts in each, and what is in them: {address: numbers}."""

    def __init__(self, root):
        self.folder = root / "store"
        with Server(SETTINGS) as server:
            server.add_domain()
            self.accounts = {0: [], 1: []}
            self.mail = {}
            while min(map(len, self.accounts.values())) < 2:
                account = server.add_account()
                shard = server.cli_json("account", "show", account.address)["shard"]
                if len(self.accounts[shard]) == 2:
                    server.cli("account", "remove", account.address, "--yes")
                    continue
                self.accounts[shard].append(account)
                self.mail[account.address] = [*range(1, 4 + len(self.mail))]
                for n in self.mail[account.address]:
                    server.deliver(account, message(n))
            server.stop()
            subprocess.run(["cp", "-a", server.directory, self.folder], check=True)

    def of(self, shard):
        return sorted(account.address for account in self.accounts[shard])


def folder(server, shard, suffix=""):
    return pathlib.Path(server.directory) / "shards" / f"{shard:02}{suffix}"


def salvage(server, *options):
    """Exit status, and what was told of each shard."""
    done = server.cli("store", "salvage", *options, "--json", check=False)
    return done.returncode, json.loads(done.stdout)


def exchange(one, other):
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def addresses(report, what):
    return sorted(one["address"] for one in report[what])


def read_account(server, account):
    with server.imap(account) as imap:
        imap.select()
        found = imap.uid_fetch("1:*", "(BODY.PEEK[])") if imap.search("ALL") else {}
    return sorted(int(re.search(rb"number (\d+)", bytes(one[b"BODY[]"]))[1]) for one in found.values())


def whole(server, template):
    return all(read_account(server, account) == template.mail[account.address]
               for accounts in template.accounts.values() for account in accounts)


# ---------------------------------------------------------------- the directory says otherwise


def test_two_shards_in_each_others_place_keep_all_accounts(stopped, template):
    exchange(folder(stopped, 0), folder(stopped, 1))
    said = stopped.cli("store", "salvage", "--dry-run", check=False)
    assert said.returncode == 1
    for address in template.mail:
        assert f"out of reach: {address} ({len(template.mail[address])} messages" in said.stdout
    status, told = salvage(stopped)
    assert status == 1
    for shard, one in enumerate(told):
        assert addresses(one["report"], "misplaced_accounts") == template.of(1 - shard)
        assert one["report"]["lost"] == [] and one["report"]["left_out_accounts"] == []
    # as the sentence says: put right, and once more
    exchange(folder(stopped, 0), folder(stopped, 1))
    status, told = salvage(stopped)
    assert status == 0
    for shard, one in enumerate(told):
        assert one["report"]["accounts"] == 2 and one["report"]["misplaced_accounts"] == []
        assert addresses(one["report"], "left_out_accounts") == template.of(1 - shard), "the empty ones that were made there"
    stopped.start()
    assert whole(stopped, template)


def test_a_directory_from_before_a_move_loses_no_mail(stopped, template):
    mover = template.accounts[0][0]
    directory = pathlib.Path(stopped.directory) / "auth"
    subprocess.run(["cp", "-a", directory, stopped.root / "before"], check=True)
    stopped.start()
    stopped.cli("account", "move", mover.address, "--shard", 1)
    stopped.deliver(mover, message(90))
    stopped.stop()
    shutil.rmtree(directory)
    subprocess.run(["cp", "-a", stopped.root / "before", directory], check=True)
    status, (first, second) = salvage(stopped)
    assert status == 1
    assert addresses(second["report"], "misplaced_accounts") == [mover.address]
    assert second["report"]["misplaced_accounts"][0]["messages"] == len(template.mail[mover.address]) + 1
    assert second["report"]["lost"] == [] and addresses(first["report"], "misplaced_accounts") == []
    # the old shard had bytes of it still
    assert first["report"]["index_damaged"] and "directory.db" in first["report"]["damage"][0]["problem"]


def test_an_account_that_moved_is_left_out_and_named(stopped, template):
    mover = template.accounts[0][0]
    stopped.start()
    stopped.cli("account", "move", mover.address, "--shard", 1)
    stopped.stop()
    said = stopped.cli("store", "salvage", "0", "--dry-run").stdout
    assert f"left out: {mover.address} ({len(template.mail[mover.address])} messages" in said and "in shard 01 now" in said
    status, (first, second) = salvage(stopped)
    assert status == 0
    one, = first["report"]["left_out_accounts"]
    assert (one["address"], one["shard"]) == (mover.address, 1) and first["report"]["skipped_accounts"] == 1
    assert second["report"]["left_out_accounts"] == [] and second["report"]["accounts"] == 3
    stopped.start()
    assert whole(stopped, template)


def empty(server, account):
    with server.imap(account) as imap:
        imap.select()
        imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")


def move(server, account, shard):
    server.cli("account", "move", account.address, "--shard", shard)


def test_an_account_that_moved_and_is_empty_now_does_not_come_back(stopped, template):
    """As that of everybody whose POP3 client takes the mail away."""
    mover = template.accounts[0][0]
    stopped.start()
    move(stopped, mover, 1)
    empty(stopped, mover)
    stopped.stop()
    status, (first, second) = salvage(stopped)
    assert status == 0 and addresses(first["report"], "left_out_accounts") == [mover.address]
    assert first["report"]["misplaced"] == 0 and second["report"]["accounts"] == 3
    stopped.start()
    assert read_account(stopped, mover) == []
    move(stopped, mover, 0)


def test_of_two_shards_that_have_an_account_the_older_can_leave_it_out(stopped, template):
    mover = template.accounts[0][0]
    subprocess.run(["cp", "-a", folder(stopped, 0), stopped.root / "older"], check=True)
    stopped.start()
    move(stopped, mover, 1)
    stopped.deliver(mover, message(90))
    stopped.stop()
    shutil.rmtree(folder(stopped, 0))
    (stopped.root / "older").rename(folder(stopped, 0))
    said = stopped.cli("store", "salvage", check=False)
    assert said.returncode == 1
    assert f"in two shards: {mover.address} ({len(template.mail[mover.address])} messages" in said.stdout
    assert "shard 01, which has mail of it too" in said.stdout and f"--leave-out {mover.address}" in said.stdout
    assert "in each other's place" not in said.stdout
    status, (first, _) = salvage(stopped)
    assert status == 1 and [one["also_there"] for one in first["report"]["misplaced_accounts"]] == [True]
    status, (first, second) = salvage(stopped, "--leave-out", mover.address)
    assert status == 0 and addresses(first["report"], "left_out_accounts") == [mover.address]
    assert second["report"]["accounts"] == 3 and second["report"]["left_out_accounts"] == []
    stopped.start()
    assert read_account(stopped, mover) == [*template.mail[mover.address], 90]
    move(stopped, mover, 0)


def test_nothing_is_left_out_that_the_other_shard_does_not_have(stopped, template):
    known = template.accounts[0][0].address
    for path in folder(stopped, 1).glob("index.db*"):
        path.unlink()
    exchange(folder(stopped, 0), folder(stopped, 1))
    options = [word for address in template.mail for word in ("--leave-out", address)]
    status, told = salvage(stopped, *options, "--dry-run")
    assert status == 1 and addresses(told[1]["report"], "misplaced_accounts") == template.of(0)
    assert known in template.of(0) and told[1]["report"]["left_out_accounts"] == []
    said = stopped.cli("store", "salvage", "0", "--leave-out", "nobody@nowhere.test", check=False)
    assert said.returncode == 3
    assert said.stderr == ("mansio: shard 00 was not salvaged, and nothing was changed: there is no account nobody@nowhere.test, "
                           "which is to be left out\n")
    assert names(stopped) == ["00", "01"]


def test_of_accounts_without_an_address_is_said_what_is_known(stopped):
    for path in stopped.directory.glob("auth/directory.db*"):
        path.write_bytes(bytes(8192))
    said = stopped.cli("store", "salvage", "--dry-run", check=False).stdout
    lines = [line for line in said.splitlines() if line.startswith("  no address: account ")]
    assert len(lines) == 4
    assert not [line for line in lines if line.rstrip().endswith("says:")]


@pytest.mark.parametrize("how", ["a loop", "a folder"])
def test_another_shards_index_that_nobody_can_read_is_told_and_stops_nothing(stopped, template, how):
    mover = template.accounts[0][0]
    stopped.start()
    move(stopped, mover, 1)
    stopped.stop()
    index = folder(stopped, 1) / "index.db"
    index.unlink()
    index.mkdir() if how == "a folder" else index.symlink_to("index.db")
    status, (first,) = salvage(stopped, "0")
    assert status == 1 and first["report"]["accounts"] == 2
    assert addresses(first["report"], "misplaced_accounts") == [mover.address]
    assert "shards/01/index.db" in [damage["file"] for damage in first["report"]["damage"]]


def park(server, account, shard, state):
    """As `mansio account move` leaves the row when the server ends in the middle (store/parking.c)."""
    name = account.address.partition("@")[0]
    with contextlib.closing(sqlite3.connect(pathlib.Path(server.directory) / "auth" / "directory.db")) as database:
        (id_,), = database.execute("SELECT account FROM address WHERE local = ?", [name]).fetchall()
    index = folder(server, shard) / "index.db"
    with contextlib.closing(sqlite3.connect(index)) as database:
        assert database.execute("UPDATE account SET removed = ?, id = ? WHERE id = ?", [state, bytes([state]) + id_, id_]).rowcount
        database.commit()
    for path in index.parent.glob("index.db*"):
        shutil.chown(path, index.stat().st_uid, index.stat().st_gid)


def test_an_account_on_its_way_is_where_the_directory_has_it(stopped, template):
    """All has arrived there, and here it is leaving."""
    mover = template.accounts[0][0]
    subprocess.run(["cp", "-a", folder(stopped, 0), stopped.root / "source"], check=True)
    stopped.start()
    stopped.cli("account", "move", mover.address, "--shard", 1)
    stopped.stop()
    shutil.rmtree(folder(stopped, 0))
    subprocess.run(["cp", "-a", stopped.root / "source", folder(stopped, 0)], check=True)
    park(stopped, mover, 0, 4)
    park(stopped, mover, 1, 3)
    status, (first, second) = salvage(stopped)
    assert status == 0
    assert addresses(first["report"], "left_out_accounts") == [mover.address]
    assert second["report"]["accounts"] == 3 and second["report"]["misplaced_accounts"] == []


def test_a_moved_account_is_kept_when_the_other_shard_does_not_know_it(stopped, template):
    mover = template.accounts[0][0]
    stopped.start()
    stopped.cli("account", "move", mover.address, "--shard", 1)
    stopped.stop()
    for path in folder(stopped, 1).glob("index.db*"):
        path.unlink()
    status, told = salvage(stopped, "0")
    assert status == 1 and addresses(told[0]["report"], "misplaced_accounts") == [mover.address]


def test_indexes_in_each_others_place_are_told(stopped, template):
    for path in folder(stopped, 0).glob("index.db*"):
        exchange(path, folder(stopped, 1) / path.name)
    status, told = salvage(stopped)
    assert status == 1
    for one in told:
        assert one["report"]["index_damaged"]
        assert "it does not know accounts" in " ".join(damage["problem"] for damage in one["report"]["damage"])
    stopped.start()
    assert whole(stopped, template)


# ---------------------------------------------------------------- what is counted


def test_a_message_in_two_mailboxes_is_one_and_an_expunged_one_counts(stopped, template):
    account = template.accounts[0][1]
    stopped.start()
    with stopped.imap(account) as imap:
        imap.select()
        imap.ok("COPY 1:2 Archive")
        imap.ok("STORE 3 +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
        left = len(imap.search("ALL"))
    stopped.stop()
    for path in folder(stopped, 0).glob("body/*.seg"):
        path.unlink()
    others = len(template.mail[template.accounts[0][0].address])
    done = stopped.cli("store", "salvage", "0", "--dry-run", check=False)
    assert done.returncode == 1
    assert f"{others + left} messages cannot be read and are lost, of {others + left + 2} places in mailboxes" in done.stdout
    assert "1 expunged message cannot be read: nobody can undelete it" in done.stdout
    status, (one,) = salvage(stopped, "0", "--dry-run")
    report = one["report"]
    assert (report["lost_messages"], report["lost_entries"], report["lost_undelete"]) == (others + left, others + left + 2, 1)
    assert [(lost["mailbox"], lost["uid"]) for lost in report["lost"] if "undelete" in lost] == [("INBOX", 3)]


# ---------------------------------------------------------------- one shard of several


def test_the_report_of_the_others_is_not_lost_with_one_that_fails(stopped, template):
    folder(stopped, 0).rename(stopped.root / "aside")
    status, (first, second) = salvage(stopped)
    assert status == 3 and first["shard"] == 0 and "is missing" in first["error"]["message"]
    assert second["report"]["accounts"] == 2 and pathlib.Path(second["kept"]).is_dir()
    said = stopped.cli("store", "salvage", check=False)
    assert said.returncode == 3 and str(folder(stopped, 0)) in said.stderr and "shard 01: " in said.stdout
    (stopped.root / "aside").rename(folder(stopped, 0))
    stopped.start()
    assert whole(stopped, template)


# ---------------------------------------------------------------- cut off, or failing, at the end


def strace(stopped, *what):
    need("strace")
    command = ["strace", "-o", stopped.root / "trace", *what]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("strace is not allowed here")
    return subprocess.run([*command, binary(), "store", "salvage", "0", "-c", stopped.config], capture_output=True, text=True,
                          env={**(stopped.environment or os.environ), "ASAN_OPTIONS": "detect_leaks=0"}, check=False)


def names(stopped):
    return sorted(path.name for path in folder(stopped, 0).parent.iterdir())


@pytest.mark.parametrize("how", ["error=EINVAL", "signal=SIGKILL"])
def test_what_did_not_change_places_is_made_anew(stopped, template, how):
    damaged = folder(stopped, 0).stat().st_ino
    done = strace(stopped, "-e", "trace=renameat2", "-e", f"inject=renameat2:{how}")
    assert folder(stopped, 0).stat().st_ino == damaged and names(stopped) == ["00", "00.salvage", "01"]
    if how.startswith("error"):
        assert done.returncode == 1 and "Nothing was changed: the damaged shard is in place" in done.stderr
    status, (one, _) = salvage(stopped)
    assert status == 0 and pathlib.Path(one["kept"]).stat().st_ino == damaged
    stopped.start()
    assert whole(stopped, template)


@pytest.mark.parametrize("how", ["error=EIO", "signal=SIGKILL"])
def test_an_old_shard_that_did_not_get_its_name_is_called_one(stopped, template, how):
    """The first rename marks the new shard, the second names the old one."""
    damaged = folder(stopped, 0).stat().st_ino
    done = strace(stopped, "-e", "trace=rename", "-e", f"inject=rename:{how}:when=2")
    assert folder(stopped, 0, ".salvage").stat().st_ino == damaged
    if how.startswith("error"):
        assert done.returncode == 1 and f"the damaged one is {folder(stopped, 0, '.salvage')}" in done.stderr
        assert "cannot take the place" not in done.stderr
    status, (one, two) = salvage(stopped)
    assert status == 1 and "the new shard is in place" in one["error"]["message"] and "report" in two
    kept, = folder(stopped, 0).parent.glob("00.damaged-*")
    assert kept.stat().st_ino == damaged and str(kept) in one["error"]["message"]
    assert not list(folder(stopped, 0).glob("*finished-salvage"))
    stopped.start()
    assert whole(stopped, template)


def test_a_folder_that_nobody_knows_is_put_aside(stopped, template):
    left = folder(stopped, 0, ".salvage")
    subprocess.run(["cp", "-a", folder(stopped, 0), left], check=True)
    number = left.stat().st_ino
    status, (one, _) = salvage(stopped)
    assert status == 1 and "is not known" in one["error"]["message"]
    kept, = left.parent.glob("00.damaged-*")
    assert kept.stat().st_ino == number and str(kept) in one["error"]["message"]


def test_a_mark_in_the_shard_itself_costs_it_nothing(stopped, template):
    """Else the old shard would be taken for a new one as soon as it has changed places."""
    for name in "unfinished-salvage", "finished-salvage":
        (folder(stopped, 0) / name).touch()
    damaged = folder(stopped, 0).stat().st_ino
    done = strace(stopped, "-e", "trace=rename", "-e", "inject=rename:error=EIO:when=2")
    assert done.returncode == 1 and folder(stopped, 0, ".salvage").stat().st_ino == damaged
    salvage(stopped)
    kept, = folder(stopped, 0).parent.glob("00.damaged-*")
    assert kept.stat().st_ino == damaged


def test_nothing_goes_on_when_it_is_killed(stopped, template):
    """What reads stands still, as at a disk that does not answer."""
    index = folder(stopped, 0) / "index.db"
    owner = index.stat()
    index.rename(stopped.root / "index.db")
    os.mkfifo(index)
    os.chown(index, owner.st_uid, owner.st_gid)
    process = subprocess.Popen([binary(), "store", "salvage", "0", "-c", stopped.config], env=stopped.environment)
    try:
        stopped.wait_for((folder(stopped, 0, ".salvage") / "damaged-index.db-wal").exists, "the one that reads")
    finally:
        process.kill()
        process.wait()
    (stopped.root / "index.db").rename(index)
    stopped.wait_for(lambda: salvage(stopped, "0")[0] == 0, "the lock")
    stopped.start()
    assert whole(stopped, template)
