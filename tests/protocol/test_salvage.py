"""mansio store salvage: a store is damaged in many ways; what comes back is every message whose bytes are whole, and
nothing else. The ledger is what clients saw before."""

import collections
import contextlib
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess

import pytest

from harness.server import Account, Server

SETTINGS = {"server": {"shards": 1}, "store": {"segment_size": "1MB"}}
PAGE = 4096
HEADER_MAX = 2048  # of a record in a segment
SEEDS = int(os.environ.get("MANSIO_SALVAGE_SEEDS", "4"))

Seen = collections.namedtuple("Seen", "flags date body")


def text(n, size=300):
    rng = random.Random(n)
    lines = "".join("".join(rng.choices("abcdefghij klmno", k=70)) + "\r\n" for _ in range(1 + size // 72))
    return f"From: w{n}@example.net\r\nTo: reader@example.test\r\nSubject: number {n}\r\n\r\n{lines}".encode()


def mailbox_names(imap):
    return sorted(imap.list())


def read_account(server, account):
    """{mailbox: [Seen in order of uid]}"""
    with server.imap(account) as imap:
        return {name: [Seen(one.flags, one.date, one.body) for one in mails] for name, mails in imap.contents().items()}


def uidvalidities(server, account):
    with server.imap(account) as imap:
        return {name: imap.status(name.decode(), "UIDVALIDITY")[b"UIDVALIDITY"] for name in mailbox_names(imap)}


def uidls(server, account):
    """{UIDL: hash of the message}"""
    with server.pop3(account) as pop:
        return {value: hashlib.sha256(bytes(pop.multiline(f"RETR {number}"))).digest()
                for number, value in pop.uidl().items()}


class Ledger:
    """A store as it was left, stopped: its folder, and what clients saw in it."""

    def __init__(self, root):
        self.folder = root / "store"
        with Server(SETTINGS) as server:
            server.add_domain()
            self.accounts = [server.add_account(f"person{i}") for i in range(3)]
            self.everything = {account.address: set() for account in self.accounts}
            for i, account in enumerate(self.accounts):
                self.fill(server, account, i * 1000)
            self.seen = {account.address: read_account(server, account) for account in self.accounts}
            self.validities = {account.address: uidvalidities(server, account) for account in self.accounts}
            self.uidls = {account.address: uidls(server, account) for account in self.accounts}
            for address, mailboxes in self.seen.items():
                self.everything[address].update(one.body for list_ in mailboxes.values() for one in list_)
            server.stop()
            subprocess.run(["cp", "-a", server.directory, self.folder], check=True)
        self.places = {}
        for path in sorted(self.shard.glob("body/*.seg")):
            content = path.read_bytes()
            for bodies in self.everything.values():
                for body in bodies:
                    at = content.find(body)
                    if at >= 0:
                        start = content.rfind(b"MSB1", max(0, at - HEADER_MAX), at)
                        self.places.setdefault(body, []).append((path.name, start, content[start:at + len(body)]))

    @property
    def shard(self):
        return self.folder / "shards" / "00"

    def fill(self, server, account, base):
        everything = self.everything[account.address]
        with server.imap(account) as imap:
            for name in ("Work", "Work/Deep", "Lists &- more"):
                imap.ok(f'CREATE "{name}"')
            for n in range(base, base + 24):
                server.deliver(account, text(n, 200 if n % 7 else 60000))
            for n in range(base + 100, base + 140):
                mailbox = ("INBOX", "Work", "Work/Deep", "Archive")[n % 4]
                flags = ("\\Seen", "\\Flagged $Label", "\\Answered Odd_Word", "")[n % 3]
                imap.append(mailbox, text(n), flags, "01-Feb-2020 12:00:%02d +0100" % (n % 60))
            imap.select()
            imap.ok("UID MOVE 2,4 Archive")
            imap.ok('UID COPY 5:9 "Lists &- more"')
            imap.ok("UID STORE 10:14 +FLAGS (\\Seen $Label)")
            gone = imap.uid_fetch("15:18", "(UID BODY.PEEK[])")
            everything.update(bytes(one[b"BODY[]"]) for one in gone.values())
            imap.ok("UID STORE 15:18 +FLAGS.SILENT (\\Deleted)")
            imap.ok("EXPUNGE")

    def intact(self, shard, body):
        """Does some segment still hold the record of this message as it was?"""
        for name, start, record in self.places[body]:
            path = shard / "body" / name
            if path.exists() and path.read_bytes()[start:start + len(record)] == record:
                return True
        return False


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    root = tmp_path_factory.mktemp("salvage")
    yield Ledger(root)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def stopped(ledger):
    """A server that does not run, over a copy of the ledger's store."""
    with Server.over_copy(ledger.folder, SETTINGS) as server:
        yield server


def shard_of(server):
    return pathlib.Path(server.directory) / "shards" / "00"


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expected_exit(report):
    """1 where messages were lost, or may have been: in a damaged segment, and index.db does not say which; or are out of reach."""
    segments = any(one["file"].startswith("body/") for one in report["damage"])
    return int(report["lost_entries"] > 0 or report["lost_undelete"] > 0 or report["misplaced_accounts"] != [] or
               (segments and report["index_damaged"]))


def salvage(server):
    """Salvages the only shard; gives the report, and the folder where the damaged one is now."""
    before = snapshot(shard_of(server))
    done = server.cli("store", "salvage", "--json", check=False)
    one, = json.loads(done.stdout)
    assert done.returncode == expected_exit(one["report"])
    kept = pathlib.Path(one["kept"])
    assert snapshot(kept) == before, "the damaged shard was changed"
    assert not (shard_of(server).parent / "00.salvage").exists()
    assert not list(shard_of(server).glob("*finished-salvage"))
    return one["report"], kept


def serve_and_compare(server, ledger, kept):
    """The promise: whole messages are there, byte for byte, in their account; nothing else is; all is right again."""
    server.start()
    seen = {account.address: read_account(server, account) for account in ledger.accounts}
    for account in ledger.accounts:
        bodies = {one.body for list_ in seen[account.address].values() for one in list_}
        assert bodies <= ledger.everything[account.address], "a message that was never there"
        for mailbox, list_ in ledger.seen[account.address].items():
            for one in list_:
                if ledger.intact(kept, one.body):
                    assert one.body in bodies, f"lost from {mailbox}: {one.body[:80]}"
    assert server.cli_json("store", "check")["damaged"] == 0
    return seen


@pytest.mark.parametrize("salvaged", [False, True])
def test_a_rename_that_a_crash_cut_is_whole(stopped, ledger, salvaged):
    """Rows of mailboxes follow in slices (src/store/renaming.c): here one of two has its new name."""
    database = sqlite3.connect(shard_of(stopped) / "index.db")
    for number, done in database.execute("SELECT account, number FROM mailbox WHERE name = 'Work'").fetchall():
        said = done.to_bytes(4, "little") + b"\x04Work" + b"\x06Office"
        database.execute("UPDATE account SET renaming = ? WHERE number = ?", [said, number])
        database.execute("UPDATE mailbox SET name = 'Office' WHERE number = ?", [done])
    database.commit()
    database.close()
    if salvaged:
        salvage(stopped)
    stopped.start()
    assert stopped.cli_json("store", "check")["damaged"] == 0
    for account in ledger.accounts:
        renamed = {name.replace(b"Work", b"Office"): list_ for name, list_ in ledger.seen[account.address].items()}
        assert read_account(stopped, account) == renamed
        with stopped.imap(account) as imap:
            imap.ok("CREATE Work/Deep")
            imap.append("Work", text(7))
    stopped.restart()
    for account in ledger.accounts:
        with stopped.imap(account) as imap:
            assert {b"Work", b"Work/Deep", b"Office", b"Office/Deep"} <= set(imap.list())
            assert imap.status("Work", "MESSAGES") == {b"MESSAGES": 1}


def flip(path, rng, n):
    content = bytearray(path.read_bytes())
    for _ in range(n):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def zero_pages(path, rng, n):
    content = bytearray(path.read_bytes())
    for page in rng.sample(range(len(content) // PAGE), n):
        content[page * PAGE:(page + 1) * PAGE] = bytes(PAGE)
    path.write_bytes(content)


def cut(path, rng):
    content = path.read_bytes()
    path.write_bytes(content[:rng.randrange(len(content))])


def checkpoint(shard):
    """Everything into index.db itself, so that damage to it matters."""
    database = sqlite3.connect(shard / "index.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


# ---------------------------------------------------------------- a store that is whole


def test_a_whole_store_comes_out_as_it_was(stopped, ledger):
    report, kept = salvage(stopped)
    assert report["damage"] == [] and report["lost"] == [] and report["returned"] == 0
    assert not report["index_damaged"] and report["unknown_accounts"] == []
    assert serve_and_compare(stopped, ledger, kept) == ledger.seen
    for account in ledger.accounts:
        new = uidvalidities(stopped, account)
        assert new.keys() == ledger.validities[account.address].keys()
        assert all(value > max(ledger.validities[account.address].values()) for value in new.values())
        assert uidls(stopped, account) == ledger.uidls[account.address]
        with stopped.imap(account) as imap:
            assert imap.list(command="LSUB").keys() >= {b"INBOX", b"Sent"}
            assert imap.list()[b"Sent"] >= {b"\\sent"}
            imap.select()
            assert imap.search("RECENT") == []
        expunged = stopped.cli_json("undelete", "list", account.address)
        assert len(expunged) == 4
        assert stopped.cli_json("undelete", "restore", account.address)["restored"] == 4


@pytest.mark.parametrize("is_served", [False, True])
def test_a_restored_store_comes_out_without_what_was_removed(stopped, ledger, is_served):
    gone, *left = ledger.accounts
    stopped.start()
    stopped.cli("account", "remove", gone.address, "--yes")
    stopped.cli("backup", stopped.root / "backup")
    stopped.stop()
    stopped.directory.rename(stopped.root / "away")
    stopped.cli("restore", stopped.root / "backup")
    if is_served:
        stopped.start()
        stopped.stop()
    report, _ = salvage(stopped)
    assert report["damage"] == [] and not report["index_damaged"]
    assert report["returned"] == 0 and report["unknown_accounts"] == []
    stopped.start()
    assert {one.address: read_account(stopped, one) for one in left} == {one.address: ledger.seen[one.address] for one in left}


def test_a_salvaged_store_takes_new_mail_and_survives_a_kill(stopped, ledger):
    _, kept = salvage(stopped)
    segments = snapshot(kept / "body")
    stopped.start()
    account = ledger.accounts[0]
    for n in range(5000, 5040):
        stopped.deliver(account, text(n, 40000))
    with stopped.imap(account) as imap:
        imap.select()
        imap.ok("UID STORE 1:* +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
    stopped.kill_everything()
    stopped.start()
    stopped.cli("undelete", "restore", account.address)
    assert len(read_account(stopped, account)[b"INBOX"]) >= 40
    stopped.cli("store", "compact")
    assert stopped.cli_json("store", "check")["damaged"] == 0
    assert snapshot(kept / "body") == segments, "the kept shard's segments are shared, and were written to"


def test_room_made_for_further_messages_is_no_damage(stopped, ledger):
    """A server that was killed leaves zeros behind the last message (db/ahead.h)."""
    last = sorted((shard_of(stopped) / "body").glob("*.seg"))[-1]
    with last.open("ab") as file:
        file.write(bytes(100000))
    report, kept = salvage(stopped)
    assert report["damage"] == [] and report["lost"] == []
    serve_and_compare(stopped, ledger, kept)


def test_it_can_be_salvaged_twice(stopped, ledger):
    salvage(stopped)
    report, kept = salvage(stopped)
    assert report["damage"] == [] and report["lost"] == []
    assert serve_and_compare(stopped, ledger, kept) == ledger.seen


def test_dry_run_changes_nothing(stopped, ledger):
    (shard_of(stopped) / "index.db").unlink()
    before = snapshot(pathlib.Path(stopped.directory) / "shards")
    one, = stopped.cli_json("store", "salvage", "--dry-run")
    assert "kept" not in one and one["report"]["index_lost"] and one["report"]["messages"] > 0
    assert snapshot(pathlib.Path(stopped.directory) / "shards") == before


def test_a_running_server_is_not_touched(stopped):
    stopped.start()
    done = stopped.cli("store", "salvage", check=False)
    assert done.returncode == 5 and "stop the server first" in done.stderr


def test_one_shard_by_its_number(stopped):
    assert stopped.cli("store", "salvage", "1", check=False).returncode == 2
    assert stopped.cli("store", "salvage", "x", check=False).returncode == 2
    assert "shard 00" in stopped.cli("store", "salvage", "0", "--dry-run").stdout


def test_what_a_cut_off_run_left_is_made_anew(stopped, ledger):
    left = shard_of(stopped).parent / "00.salvage"
    (left / "body").mkdir(parents=True)
    (left / "unfinished-salvage").touch()
    (left / "body" / "000001.seg").hardlink_to(shard_of(stopped) / "body" / "000001.seg")
    _, kept = salvage(stopped)
    assert serve_and_compare(stopped, ledger, kept) == ledger.seen


def test_an_old_shard_is_never_removed(stopped):
    """A run was cut off between taking the place of the old shard and renaming it."""
    left = shard_of(stopped).parent / "00.salvage"
    subprocess.run(["cp", "-a", shard_of(stopped), left], check=True)
    (shard_of(stopped) / "finished-salvage").touch()
    before = snapshot(left)
    done = stopped.cli("store", "salvage", check=False)
    assert done.returncode == 1 and "cut off after it was done: the new shard is in place" in done.stderr
    kept = pathlib.Path(re.search(r"\S+00\.damaged-\w+", done.stderr).group(0))
    assert snapshot(kept) == before
    salvage(stopped)


# ---------------------------------------------------------------- index.db


def test_a_lost_index(stopped, ledger):
    for path in shard_of(stopped).glob("index.db*"):
        path.unlink()
    report, kept = salvage(stopped)
    assert report["index_lost"] and report["returned"] == report["messages"]
    seen = serve_and_compare(stopped, ledger, kept)
    for account in ledger.accounts:
        assert len(seen[account.address][b"Work"]) == len(ledger.seen[account.address][b"Work"])
        assert b"Trash" in seen[account.address]
        old = {one.body: one.date for list_ in ledger.seen[account.address].values() for one in list_}
        for one in (one for list_ in seen[account.address].values() for one in list_):
            assert old.get(one.body, one.date) == one.date
        new = uidvalidities(stopped, account)
        assert all(new[name] != value for name, value in ledger.validities[account.address].items() if name in new)


def test_a_lost_log(stopped, ledger):
    (shard_of(stopped) / "index.db-wal").unlink()
    report, kept = salvage(stopped)
    assert report["index_damaged"]
    serve_and_compare(stopped, ledger, kept)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_flipped_bits_in_the_index(stopped, ledger, seed):
    rng = random.Random(seed)
    checkpoint(shard_of(stopped))
    flip(shard_of(stopped) / "index.db", rng, rng.choice([1, 10, 200]))
    _, kept = salvage(stopped)
    serve_and_compare(stopped, ledger, kept)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_zeroed_pages_in_the_index(stopped, ledger, seed):
    rng = random.Random(seed)
    checkpoint(shard_of(stopped))
    zero_pages(shard_of(stopped) / "index.db", rng, rng.choice([1, 2, 10]))
    _, kept = salvage(stopped)
    serve_and_compare(stopped, ledger, kept)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_cut_index(stopped, ledger, seed):
    checkpoint(shard_of(stopped))
    cut(shard_of(stopped) / "index.db", random.Random(seed))
    _, kept = salvage(stopped)
    serve_and_compare(stopped, ledger, kept)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_damaged_log(stopped, ledger, seed):
    rng = random.Random(seed)
    log = shard_of(stopped) / "index.db-wal"
    if seed % 2:
        flip(log, rng, 20)
    else:
        log.write_bytes(rng.randbytes(100000))
    _, kept = salvage(stopped)
    serve_and_compare(stopped, ledger, kept)


def test_every_table_in_turn(stopped, ledger):
    """A table that is gone altogether costs only what it alone knows."""
    checkpoint(shard_of(stopped))
    whole = (shard_of(stopped) / "index.db").read_bytes()
    original = {path: path.read_bytes() for path in shard_of(stopped).rglob("*") if path.is_file()}
    tables = [name for name, in sqlite3.connect(shard_of(stopped) / "index.db").execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")]
    assert "message" in tables and "page" in tables
    for table in tables:
        shutil.rmtree(shard_of(stopped))
        (shard_of(stopped) / "body").mkdir(parents=True, mode=0o700)
        for path, content in original.items():
            path.write_bytes(content)
        database = sqlite3.connect(shard_of(stopped) / "index.db")
        root, = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", [table]).fetchone()
        database.close()
        content = bytearray(whole)
        content[(root - 1) * PAGE:root * PAGE] = b"\xff" * PAGE
        (shard_of(stopped) / "index.db").write_bytes(content)
        subprocess.run(["chown", "-R", f"--reference={ledger.shard}", shard_of(stopped)], check=True)
        report, kept = salvage(stopped)
        assert report["index_damaged"], table
        serve_and_compare(stopped, ledger, kept)
        stopped.stop()
        shutil.rmtree(kept)


# ---------------------------------------------------------------- segments


@pytest.mark.parametrize("seed", range(SEEDS))
def test_damaged_segments_cost_only_what_they_hold(stopped, ledger, seed):
    rng = random.Random(seed)
    for path in sorted(shard_of(stopped).glob("body/*.seg"))[:2]:
        content = bytearray(path.read_bytes())
        for _ in range(4):
            at, n = rng.randrange(len(content)), rng.choice([1, 500, 20000])
            content[at:at + n] = bytes(len(content[at:at + n]))
        path.write_bytes(content)
    report, kept = salvage(stopped)
    assert report["damage"] and not report["index_damaged"] and report["returned"] == 0
    seen = serve_and_compare(stopped, ledger, kept)
    for account in ledger.accounts:
        expected = {name: [one for one in list_ if ledger.intact(kept, one.body)]
                    for name, list_ in ledger.seen[account.address].items()}
        assert seen[account.address] == expected, "flags, dates, order"
    lost = [(one["address"], one["mailbox"], one["uid"]) for one in report["lost"] if "undelete" not in one]
    assert len(report["lost"]) - len(lost) == report["lost_undelete"]
    gone = sum(not ledger.intact(kept, one.body) for mailboxes in ledger.seen.values()
               for list_ in mailboxes.values() for one in list_)
    assert len(lost) == report["lost_entries"] == gone
    assert all(mailbox and uid for _, mailbox, uid in lost)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_cut_segments(stopped, ledger, seed):
    cut(shard_of(stopped) / "body" / "000001.seg", random.Random(seed))
    _, kept = salvage(stopped)
    serve_and_compare(stopped, ledger, kept)


def test_a_missing_segment(stopped, ledger):
    (shard_of(stopped) / "body" / "000001.seg").unlink()
    _, kept = salvage(stopped)
    serve_and_compare(stopped, ledger, kept)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_everything_damaged_at_once(stopped, ledger, seed):
    rng = random.Random(100 + seed)
    flip(shard_of(stopped) / "index.db", rng, 100)
    flip(shard_of(stopped) / "index.db-wal", rng, 20)
    for path in sorted(shard_of(stopped).glob("body/*.seg")):
        flip(path, rng, 5)
    _, kept = salvage(stopped)
    serve_and_compare(stopped, ledger, kept)


def test_a_message_that_looks_like_a_record_is_no_record(stopped, ledger):
    """The damaged message holds a copy of another's record; what lies in a message is not taken for one."""
    account = ledger.accounts[0]
    stopped.start()
    record = next(record for places in ledger.places.values() for _, _, record in places)
    with stopped.imap(account) as imap:
        imap.append("Work", b"Subject: trap\r\n\r\n" + record.replace(b"\0", b"\1") + b"\r\n")
    stopped.stop()
    for one in sorted(shard_of(stopped).glob("body/*.seg")):
        data = one.read_bytes()
        at = data.find(b"Subject: trap")
        if at >= 0:
            one.write_bytes(data[:at] + b"s" + data[at + 1:])
    for one in shard_of(stopped).glob("index.db*"):
        one.unlink()
    _, kept = salvage(stopped)
    serve_and_compare(stopped, ledger, kept)


# ---------------------------------------------------------------- the directory


def test_accounts_without_a_directory_are_kept_and_named(stopped, ledger):
    directory = pathlib.Path(stopped.directory) / "auth" / "directory.db"
    directory.write_bytes(b"\0" * 8192)
    for path in directory.parent.glob("directory.db-*"):
        path.unlink()
    one, = stopped.cli_json("store", "salvage")
    report = one["report"]
    assert "directory" in report and len(report["unknown_accounts"]) == 3
    assert all("reader@example.test" in account["recipients"] for account in report["unknown_accounts"])
    assert directory.read_bytes() == b"\0" * 8192


def damage_a_message(shard):
    segment = shard / "body" / "000001.seg"
    content = bytearray(segment.read_bytes())
    content[5000:5400] = bytes(400)
    segment.write_bytes(content)


def test_people_read_what_was_done(stopped, ledger):
    damage_a_message(shard_of(stopped))
    done = stopped.cli("store", "salvage", check=False)
    assert done.returncode == 1 and done.stderr == ""
    said = done.stdout
    assert "body/000001.seg at " in said and "lost: person0@example.test, INBOX, uid" in said
    assert "UIDVALIDITY" in said and "rm -r " in said


def test_the_exit_status_says_that_a_message_is_lost(stopped, ledger):
    """Also when it only looks; and where index.db, too, does not say what a damaged place held."""
    damage_a_message(shard_of(stopped))
    done = stopped.cli("store", "salvage", "--dry-run", "--json", check=False)
    one, = json.loads(done.stdout)
    assert done.returncode == 1 and one["report"]["lost_entries"] > 0
    for path in shard_of(stopped).glob("index.db*"):
        path.unlink()
    done = stopped.cli("store", "salvage", "--dry-run", "--json", check=False)
    one, = json.loads(done.stdout)
    assert done.returncode == 1 and one["report"]["lost_entries"] == 0


# ---------------------------------------------------------------- accounts on their way to another shard


def change_index(shard, statement, values):
    """Without a checkpoint, as a server that was killed leaves it: with its log."""
    paths = [shard / "index.db", shard / "index.db-wal"]
    with contextlib.closing(sqlite3.connect(paths[0])) as database:
        assert database.execute(statement, values).rowcount == 1
        database.commit()
        left = [path.read_bytes() for path in paths]
    for path, content in zip(paths, left):
        path.write_bytes(content)
    subprocess.run(["chown", f"--reference={paths[0]}", paths[1]], check=True)


def change_directory(server, statement, values):
    with contextlib.closing(sqlite3.connect(pathlib.Path(server.directory) / "auth" / "directory.db")) as database:
        rows = database.execute(statement, values).fetchall()
        database.commit()
        return rows


def identity(server, account):
    (found,), = change_directory(server, "SELECT account FROM address WHERE local = ?", [account.address.partition("@")[0]])
    return found


def park(server, account, state, more=b""):
    """As `mansio account move` leaves the row when the server ends in the middle (store/parking.c)."""
    id_ = identity(server, account)
    change_index(shard_of(server), "UPDATE account SET removed = ?, id = ? WHERE id = ?",
                 [state, bytes([state]) + id_ + more, id_])


@pytest.mark.parametrize("state", [3, 4], ids=["arrived", "leaving"])
def test_an_account_in_mid_move_is_whole_where_the_directory_has_it(stopped, ledger, state):
    park(stopped, ledger.accounts[0], state)
    report, kept = salvage(stopped)
    assert report["damage"] == [] and report["lost"] == [] and report["returned"] == 0
    assert serve_and_compare(stopped, ledger, kept) == ledger.seen
    assert uidls(stopped, ledger.accounts[0]) == ledger.uidls[ledger.accounts[0].address]


def test_an_account_that_had_not_all_arrived_comes_back_as_its_messages_say(stopped, ledger):
    """Its rows are a part only, but when the directory says that it lives here, nothing that is here is left out."""
    park(stopped, ledger.accounts[0], 2, bytes(8))
    _, kept = salvage(stopped)
    serve_and_compare(stopped, ledger, kept)


def test_an_account_like_before_is_usable(stopped, ledger):
    salvage(stopped)
    stopped.start()
    account = Account(address=ledger.accounts[1].address, password=ledger.accounts[1].password)
    with stopped.imap(account) as imap:
        imap.select("Work")
        assert {b"$Label", b"Odd_Word"} & {flag for flags in imap.flags().values() for flag in flags}
        imap.ok("STORE 1 +FLAGS (New_Word)")
        imap.ok('RENAME "Work" "Play"')
