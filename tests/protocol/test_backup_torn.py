"""Backups of a store with torn pages, and what comes back from them: the damage is told and costs no older backup, all the
rest is saved, and `mansio store salvage` gets the mail out of what was restored."""

import contextlib
import json
import shutil
import sqlite3
import subprocess

import pytest

from harness.material import message
from harness.programs import need
from harness.server import Server, binary

PAGE = 4096
SETTINGS = {"server": {"shards": 2}}
INDEX, DIRECTORY = "shards/00/index.db", "auth/directory.db"


class Template:
    """A stopped store: an account in each shard, and a backup of it."""

    def __init__(self, root):
        self.store, self.backup = root / "store", root / "backup"
        with Server(SETTINGS) as server:
            server.add_domain()
            accounts = [server.add_account() for _ in range(2)]
            for account in accounts:
                with server.imap(account) as imap:
                    imap.ok("CREATE Projects")
                    imap.ok("SUBSCRIBE Projects")
                    for n in range(20):
                        imap.append("INBOX", message(f"number {n}", "a line\r\n" * 40), "\\Seen" if n % 3 else None)
                    imap.append("Projects", message("a plan"))
            shards = [server.cli_json("account", "show", one.address)["shard"] for one in accounts]
            assert sorted(shards) == [0, 1]
            self.first, self.second = [accounts[shards.index(shard)] for shard in (0, 1)]
            server.stop()
            for path in server.directory.rglob("*.db"):  # nothing in their logs, which would heal them
                with contextlib.closing(sqlite3.connect(path)) as database:
                    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            server.cli("backup", self.backup)
            subprocess.run(["cp", "-a", server.directory, self.store], check=True)
        self.roots = {}
        for name in INDEX, DIRECTORY:
            with contextlib.closing(sqlite3.connect(f"file:{self.store / name}?immutable=1", uri=True)) as database:
                self.roots[name] = dict(database.execute("SELECT name, rootpage FROM sqlite_schema"))


@pytest.fixture
def stopped(template):
    with Server.over_copy(template.store, SETTINGS) as server:
        subprocess.run(["cp", "-a", template.backup, folder(server)], check=True)
        yield server


def folder(server):
    return server.root / "backup"


def tear(path, page):
    with open(path, "r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xff" * PAGE)


def asked(server, *arguments):
    """Exit status, and the object that was printed."""
    done = server.cli(*arguments, "--json", check=False)
    assert done.stdout, (done.returncode, done.stderr)
    return done.returncode, json.loads(done.stdout)


def backup(server):
    return asked(server, "backup", folder(server), "--keep", "1")


def generation(server, name):
    return folder(server) / "generations" / name


def names(server):
    return [one["name"] for one in server.cli_json("backup", "list", folder(server))]


def subjects(server, account, mailbox="INBOX"):
    with server.imap(account) as imap:
        imap.ok(f"EXAMINE {mailbox}")
        return len(imap.command("FETCH 1:* (BODY.PEEK[])").fetched())


def assert_told(server, status, made, file):
    """The database is named, and the older backup is there and whole."""
    assert status == 1 and made["removed"] == 0 and made["damaged_pieces"] >= 1, made
    assert [one["file"] for one in made["damage"]].count(file) == 1, made
    older, newest = names(server)
    assert newest == made["name"]
    assert asked(server, "backup", "verify", folder(server), "--at", older)[0] == 0
    assert asked(server, "backup", "verify", folder(server))[0] == 1


def into_empty_folder(server, *options):
    shutil.rmtree(server.directory)
    return asked(server, "restore", folder(server), *options)


# ---------------------------------------------------------------- making one


@pytest.mark.parametrize("file, table", [
    *((INDEX, name) for name in ("page", "mailbox", "account", "segment", "delivery", "header")),
    *((DIRECTORY, name) for name in ("address", "header"))])
def test_a_torn_database_is_told_and_costs_no_older_backup(stopped, template, file, table):
    tear(stopped.directory / file, 1 if table == "header" else template.roots[file][table])
    assert_told(stopped, *backup(stopped), file)
    # what is whole comes back from it
    if file == INDEX:
        status, told = into_empty_folder(stopped)
        assert status == 1 and told["salvage"] == [0]
        stopped.cli("store", "salvage", "0", check=False)
        stopped.start()
        for account in template.first, template.second:
            assert subjects(stopped, account) + subjects(stopped, account, "Projects") == 21


@pytest.mark.parametrize("file, table", [(INDEX, "page"), (INDEX, "sqlite_autoindex_account_1"), (DIRECTORY, "address")])
def test_so_it_is_while_the_server_runs(stopped, template, file, table):
    index_of_accounts = table == "sqlite_autoindex_account_1"
    if index_of_accounts:  # the shard reads it when it starts
        tear(stopped.directory / file, template.roots[file][table])
    stopped.start()
    if not index_of_accounts:
        tear(stopped.directory / file, template.roots[file][table])
    assert_told(stopped, *backup(stopped), file)


def test_a_shard_that_does_not_start_is_saved_as_it_lies(stopped, template):
    tear(stopped.directory / INDEX, template.roots[INDEX]["segment"])
    stopped.start(wait=False)
    stopped.wait_for(stopped.status, "the server")
    status, made = backup(stopped)
    assert_told(stopped, status, made, INDEX)
    assert {path.name for path in generation(stopped, made["name"]).iterdir()} == {
        "00.db", "01.db", "directory.db", "store", "manifest.json"}
    stopped.kill_everything()
    assert into_empty_folder(stopped)[1]["salvage"] == [0]
    stopped.cli("store", "salvage", "0", check=False)
    stopped.start()
    for account in template.first, template.second:
        assert subjects(stopped, account) == 20


def test_an_index_that_is_gone_keeps_nothing_else_from_being_saved(stopped, template):
    (stopped.directory / INDEX).unlink()
    assert_told(stopped, *backup(stopped), INDEX)
    status, told = into_empty_folder(stopped)
    assert status == 1 and told["salvage"] == [0]
    stopped.cli("store", "salvage", "0", check=False)
    stopped.start()
    assert subjects(stopped, template.second) == 20 and subjects(stopped, template.first) == 20


def test_an_index_that_tells_of_segments_that_cannot_be_is_not_believed(stopped, template):
    with contextlib.closing(sqlite3.connect(stopped.directory / INDEX)) as database:
        database.execute("UPDATE segment SET end = 1 << 60")
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    status, made = backup(stopped)
    assert status == 1 and made["removed"] == 0 and [one["file"] for one in made["damage"]] == [INDEX], made
    assert made["bytes"] < 1 << 20


def test_no_later_backup_trusts_the_segments_of_one_that_was_copied_as_it_lay(stopped, template):
    """A record that was being filled then: its bytes came later, and what is behind them was there already."""
    shutil.rmtree(folder(stopped))
    stopped.start()
    for n in range(3):
        stopped.deliver(template.first, message(f"large {n}", "a line\r\n" * 20000))
    stopped.stop()
    segment, = [path for path in stopped.directory.glob("shards/00/body/*.seg") if b"large 0" in path.read_bytes()]
    index, bytes_then = stopped.directory / INDEX, segment.read_bytes()
    whole_index = index.read_bytes()
    at = bytes_then.index(b"large 0") + 5000
    with open(segment, "r+b") as file:
        file.seek(at)
        file.write(bytes(4096))
    tear(index, 1)
    status, first = backup(stopped)
    assert status == 1 and INDEX in [one["file"] for one in first["damage"]]
    segment.write_bytes(bytes_then)
    index.write_bytes(whole_index)
    stopped.cli("backup", folder(stopped))
    verified = stopped.cli_json("backup", "verify", folder(stopped))
    assert verified["damaged"] == 0 and verified["messages"] == 45
    # that segment is there a second time, and no other; and what is sound now is trusted
    assert [path.name for path in (folder(stopped) / "segments").glob("*/*.*.seg")] == [f"{segment.stem}.1.seg"]
    assert stopped.cli_json("backup", folder(stopped))["new_messages"] == 0


def test_a_backup_after_one_that_was_copied_as_it_lay_copies_no_bytes_twice(stopped):
    whole_index = (stopped.directory / INDEX).read_bytes()
    shutil.rmtree(folder(stopped))
    tear(stopped.directory / INDEX, 1)
    assert backup(stopped)[0] == 1
    (stopped.directory / INDEX).write_bytes(whole_index)
    made = stopped.cli_json("backup", folder(stopped))
    assert made["damaged_pieces"] == 0 and made["new_messages"] == 21  # all that the shard has, looked at again
    assert len(list((folder(stopped) / "segments").glob("*/*.seg"))) == 2
    assert stopped.cli_json("backup", folder(stopped))["new_messages"] == 0


# ---------------------------------------------------------------- messages that are damaged


@pytest.fixture
def bodies(stopped, template):
    """A segment with mail behind the message "large 0", more than tells whether the segment is the same as before."""
    stopped.start()
    for n in range(4):
        stopped.deliver(template.first, message(f"large {n}", "a line\r\n" * 8000))
    stopped.stop()
    stopped.cli("backup", folder(stopped))
    segment, = [path for path in stopped.directory.glob("shards/00/body/*.seg") if b"large 0" in path.read_bytes()]
    return segment


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_a_message_that_stays_damaged_is_told_by_every_backup(stopped, template, bodies):
    shutil.rmtree(folder(stopped))
    at = bodies.read_bytes().index(b"large 0") + 5000
    flip(bodies, at)
    for made_before in range(3):
        status, made = backup(stopped)
        assert (status, made["damaged"], made["removed"]) == (1, 1, 0) and len(names(stopped)) == made_before + 1, made
    assert not list((folder(stopped) / "segments").glob("*/*.*.seg")), "the same bytes are not copied twice"
    shutil.copytree(stopped.directory, stopped.root / "damaged")
    status, told = into_empty_folder(stopped)
    log = stopped.directory / f"{INDEX}-wal"
    assert (status, told["damaged"], told["salvage"]) == (1, 1, [])
    assert log.exists(), "of the databases nothing is in doubt"
    shutil.rmtree(stopped.directory)
    (stopped.root / "damaged").rename(stopped.directory)
    flip(bodies, at)  # what was lost came back
    status, made = backup(stopped)
    assert (status, made["damaged"], made["removed"]) == (0, 0, 3), made
    assert asked(stopped, "backup", "verify", folder(stopped))[0] == 0
    assert backup(stopped)[1]["new_messages"] == 0, "what was found sound is trusted"


def test_bytes_that_could_not_be_read_for_a_while_are_fetched_when_they_can(stopped, template, bodies, tmp_path):
    need("strace")
    shutil.rmtree(folder(stopped))
    # the first bytes at once, and then by sectors
    hides = ["strace", "-f", "-o", tmp_path / "trace", "-P", bodies, "-e", "trace=pread64",
             "-e", "inject=pread64:error=EIO:when=1..9"]
    said = subprocess.run([*hides, binary(), "backup", folder(stopped), "--json", "-c", stopped.config], text=True,
                          capture_output=True, timeout=60, check=False,
                          env={**stopped.environment, "ASAN_OPTIONS": "detect_leaks=0"})
    if not said.stdout:
        pytest.skip("strace is not allowed here")
    lost = json.loads(said.stdout)["damaged"]
    assert said.returncode == 1 and 0 < lost < 21
    assert asked(stopped, "backup", "verify", folder(stopped))[1]["damaged"] == lost
    assert backup(stopped)[0] == 0
    assert asked(stopped, "backup", "verify", folder(stopped))[0] == 0


def test_a_message_that_was_damaged_later_is_still_good_in_the_backups(stopped, template, bodies):
    """Nothing of what is there is looked at again, while nothing of it is in doubt."""
    flip(bodies, bodies.read_bytes().index(b"large 0") + 5000)
    assert backup(stopped)[0] == 0
    assert asked(stopped, "backup", "verify", folder(stopped))[0] == 0


# ---------------------------------------------------------------- what comes back


@pytest.mark.parametrize("how", ["changed", "gone"])
@pytest.mark.parametrize("file", ["00.db", "directory.db"])
def test_a_database_that_the_backup_has_lost_is_told_and_all_else_is_laid_in_place(stopped, template, file, how):
    name, = names(stopped)
    path = generation(stopped, name) / file
    if how == "gone":
        path.unlink()
    else:
        tear(path, template.roots[INDEX if file == "00.db" else DIRECTORY]["account"])
    status, told = into_empty_folder(stopped)
    assert status == 1 and [one["file"] for one in told["damage"]].count(f"generations/{name}/{file}") == 1, told
    assert told["salvage"] == ([0] if file == "00.db" else [])
    assert (stopped.directory / "shards/01/index.db").read_bytes() == (generation(stopped, name) / "01.db").read_bytes()
    if file == "directory.db":  # by hand, from another backup
        shutil.copy(template.backup / "generations" / name / file, stopped.directory / DIRECTORY)
        subprocess.run(["chown", f"--reference={stopped.directory / 'shards/01/index.db'}", stopped.directory / DIRECTORY],
                       check=True)
    else:
        stopped.cli("store", "salvage", "0", check=False)
    stopped.start()
    assert subjects(stopped, template.second) == 20 and subjects(stopped, template.first) == 20


def test_what_is_to_be_done_is_said(stopped, template):
    tear(stopped.directory / INDEX, template.roots[INDEX]["mailbox"])
    said = stopped.cli("backup", folder(stopped), check=False)
    assert said.returncode == 1 and f"{INDEX}, offset 0: this database is damaged" in said.stderr
    assert "no older backup was removed" in said.stderr
    shutil.rmtree(stopped.directory)
    said = stopped.cli("restore", folder(stopped), check=False)
    assert said.returncode == 1 and "before you start the server, give the command mansio store salvage 0" in said.stderr
    assert "another backup may be whole" in said.stderr


def test_an_account_comes_back_from_a_torn_index_by_way_of_a_salvage(stopped, template):
    tear(stopped.directory / INDEX, template.roots[INDEX]["mailbox"])
    backup(stopped)
    shutil.rmtree(stopped.directory)
    stopped.cli("restore", folder(stopped), "--at", names(stopped)[0])
    stopped.start()
    with stopped.imap(template.first) as imap:
        imap.ok("SELECT INBOX")
        imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
    what = ["--account", template.first.address]
    status, told = asked(stopped, "restore", folder(stopped), *what)
    assert status == 1 and "index is damaged" in json.dumps(told) and "no mail" not in json.dumps(told), told
    # in a place of its own, made whole there
    with contextlib.closing(Server(SETTINGS)) as other:
        assert asked(other, "restore", folder(stopped))[0] == 1
        other.cli("store", "salvage", "0", check=False)
        other.cli("backup", other.root / "made-whole")
        stopped.cli("restore", other.root / "made-whole", *what)
    assert subjects(stopped, template.first) == 20


# ---------------------------------------------------------------- a manifest that cannot be read


def test_that_latest_is_not_the_newest_is_said(stopped, template):
    stopped.cli("backup", folder(stopped))
    older, newest = names(stopped)
    manifest = generation(stopped, newest) / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:len(whole) // 2])
    sentence = f"generations/{newest} cannot be read"
    for arguments in ("verify",), ("verify", "--at", "latest"):
        said = stopped.cli("backup", *arguments, folder(stopped), check=False)
        assert said.returncode == 1 and sentence in said.stderr and said.stdout.startswith(f"{older}: ")
    status, told = asked(stopped, "backup", "verify", folder(stopped))
    assert status == 1 and told["name"] == older and sentence in told["warning"]
    said = stopped.cli("backup", "verify", "--at", newest, folder(stopped), check=False)
    assert said.returncode == 1 and sentence in said.stderr
    # who names the older one means it
    said = stopped.cli("backup", "verify", "--at", older, folder(stopped))
    assert newest not in said.stderr
    status, told = into_empty_folder(stopped)
    assert status == 1 and told["name"] == older and sentence in told["warning"]
    stopped.start()
    said = stopped.cli("restore", folder(stopped), "--account", template.first.address, check=False)
    assert said.returncode == 1 and sentence in said.stderr
