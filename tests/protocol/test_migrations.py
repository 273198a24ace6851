"""Stores as earlier versions left them: they open, and everything is as it was. One that cannot be brought to this version
stays as it is. The schemas are tests/migrations; rows are those of a store of today, in the form they had then."""

import pathlib
import sqlite3
import struct
import subprocess

import pytest

from harness.server import PROJECT, Server

SETTINGS = {"server": {"shards": 1, "restart_delay_max": "100ms"}}
SCHEMAS = PROJECT / "tests" / "migrations"
FLAGS_ALL = 0x1f


def first_form(blob):
    """A page of entries as versions 1 and 2 wrote it: modseqs of 6 bytes, no sizes."""
    version, wide, n = struct.unpack_from("<BBH", blob)
    assert version == 2
    columns, at = [], 20
    for width in (4, 4, 5, 5, 5, 5, 1, wide):
        columns.append([blob[at + i * width:at + (i + 1) * width] for i in range(n)])
        at += n * width
    assert at == len(blob)
    uids, saved, modseqs, messages, ids, _, flags, keywords = columns
    out = bytes([1]) + blob[1:20]
    for column in (uids, saved, [one + b"\0" for one in modseqs], messages, ids,
                   [bytes([one[0] & FLAGS_ALL]) for one in flags], keywords):
        out += b"".join(column)
    return out


def take_back(path, schema, version):
    """Makes the database one of an earlier version, with the rows that it has."""
    old = path.with_suffix(".old")
    database = sqlite3.connect(old)
    database.execute("PRAGMA page_size = 4096")
    database.executescript((SCHEMAS / f"{schema}-{version}.sql").read_text())
    database.execute("ATTACH ? AS new", [str(path)])
    for table, in database.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall():
        if table == "sqlite_sequence":
            database.execute("INSERT INTO main.sqlite_sequence SELECT * FROM new.sqlite_sequence")
            continue
        columns = [row[1] for row in database.execute(f"PRAGMA main.table_info({table})")]
        names = ", ".join(columns)
        for row in database.execute(f"SELECT {names} FROM new.{table}").fetchall():
            values = [first_form(value) if name == "entries" and version < 3 else value for name, value in zip(columns, row)]
            database.execute(f"INSERT INTO main.{table} ({names}) VALUES ({', '.join('?' * len(row))})", values)
    database.execute(f"PRAGMA main.user_version = {version}")
    database.commit()
    database.close()
    subprocess.run(["chown", f"--reference={path}", old], check=True)
    for one in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        one.unlink(missing_ok=True)
    old.rename(path)


def everything(server, account):
    """All that clients see: nothing of it may change with the version."""
    seen = {}
    with server.imap(account) as imap:
        seen["subscribed"] = sorted(imap.list(command="LSUB"))
        for name, attributes in imap.list().items():
            status = imap.status(name.decode(), "MESSAGES UIDNEXT UIDVALIDITY UNSEEN")
            imap.select(name.decode(), "EXAMINE")
            fetched = imap.uid_fetch("1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[])")
            seen[name] = attributes, status, {
                uid: {key: sorted(value) if key == b"FLAGS" else value for key, value in one.items()}
                for uid, one in fetched.items()}
    with server.pop3(account) as pop:
        seen["uidl"] = pop.uidl()
        seen["sizes"] = pop.multiline("LIST")
    seen["expunged"] = server.cli_json("undelete", "list", account.address)
    return seen


@pytest.fixture
def filled():
    """A stopped server with mail of all kinds; .account, and .seen: what clients saw."""
    server = Server(SETTINGS)
    try:
        server.start()
        server.add_domain()
        server.account = server.add_account()
        server.cli("alias", "add", "info@example.test", server.account.address)
        with server.imap(server.account) as imap:
            imap.ok("CREATE Work/Deep")
            for n in range(150):
                imap.append("INBOX", f"Subject: {n}\r\n\r\n{'x' * n}".encode() + b"\r\n" * (n % 2),
                            ["\\Seen", "$Label \\Flagged", "Other"][n % 3], "01-Feb-2020 12:00:00 +0100")
            imap.select()
            imap.ok("UID COPY 1:140 Work/Deep")
            imap.ok("UID STORE 30:45 +FLAGS.SILENT (\\Deleted)")
            imap.ok("EXPUNGE")
            imap.ok("UNSUBSCRIBE Junk")
        server.deliver(server.account, b"Subject: by LMTP\r\n\r\nbody\r\n")
        server.seen = everything(server, server.account)
        server.stop()
        yield server
    finally:
        server.close()


def index(server):
    return pathlib.Path(server.directory) / "shards" / "00" / "index.db"


def directory(server):
    return pathlib.Path(server.directory) / "auth" / "directory.db"


def version(path):
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return database.execute("PRAGMA user_version").fetchone()[0]
    finally:
        database.close()


def assert_all_works(server):
    assert everything(server, server.account) == server.seen
    assert server.cli_json("store", "check")["damaged"] == 0
    with server.imap(server.account) as imap:
        imap.select()
        imap.ok("UID STORE 1:5 +FLAGS.SILENT (\\Deleted Fresh)")
        imap.ok("EXPUNGE")
        imap.append("Work/Deep", b"Subject: new\r\n\r\nnew\r\n")
    server.deliver(server.account, b"Subject: new\r\n\r\nbody\r\n")
    shown = server.cli_json("account", "show", server.account.address)
    assert shown["messages"] == 150 - 16 - 5 + 140 + 1 + 2
    server.cli("undelete", "restore", server.account.address)
    server.cli("store", "compact")
    assert server.cli_json("store", "check")["damaged"] == 0
    server.restart()
    assert server.cli_json("store", "check")["damaged"] == 0


@pytest.mark.parametrize("old", [1, 2, 3, 4])
def test_an_index_of_an_earlier_version(filled, old):
    take_back(index(filled), "index", old)
    filled.start()
    assert_all_works(filled)
    filled.stop()
    assert version(index(filled)) > old


@pytest.mark.parametrize("old", [1, 2, 3])
def test_a_directory_of_an_earlier_version(filled, old):
    take_back(directory(filled), "directory", old)
    filled.start()
    assert_all_works(filled)
    assert [one["address"] for one in filled.cli_json("alias", "list")] == ["info@example.test"]
    account = filled.add_account()
    filled.deliver(account, b"Subject: x\r\n\r\n")
    filled.cli("account", "app-password", "add", account.address, "phone")
    filled.cli("account", "pop3", account.address, "--mode", "keep")
    filled.cli("account", "app-password", "remove", account.address, "phone")
    filled.cli("account", "remove", account.address, "--yes")
    filled.add_account()
    filled.stop()
    database = sqlite3.connect(f"file:{directory(filled)}?mode=ro", uri=True)
    assert database.execute("SELECT count(*) FROM shard_order").fetchone()[0] == 0, "all were carried out"
    assert database.execute("SELECT count(*) FROM address WHERE created IS NOT (SELECT account.created FROM account "
                            "WHERE id = account)").fetchone()[0] == 0, "the age of an address is its account's"
    database.close()
    assert version(directory(filled)) > old


def test_everything_of_the_first_version_at_once(filled):
    take_back(index(filled), "index", 1)
    take_back(directory(filled), "directory", 1)
    filled.start()
    assert_all_works(filled)


# What makes a step fail, at its beginning or when most of it is done, and what takes that away again.
POISON = [
    (index, 1, "CREATE TABLE forgotten (x)", "DROP TABLE forgotten"),
    (index, 1, "CREATE TRIGGER poison BEFORE UPDATE ON segment BEGIN SELECT RAISE(ABORT, 'poison'); END", "DROP TRIGGER poison"),
    (index, 2, "ALTER TABLE account ADD COLUMN quota_bytes INTEGER", "ALTER TABLE account DROP COLUMN quota_bytes"),
    (index, 2, "CREATE TRIGGER poison BEFORE UPDATE ON expunged BEGIN SELECT RAISE(ABORT, 'poison'); END", "DROP TRIGGER poison"),
    (index, 3, "CREATE TABLE pop3_hidden (x)", "DROP TABLE pop3_hidden"),
    (index, 3, "CREATE TABLE pop3_uidl (x)", "DROP TABLE pop3_uidl"),
    (index, 4, "ALTER TABLE account ADD COLUMN renaming BLOB", "ALTER TABLE account DROP COLUMN renaming"),
    (directory, 1, "ALTER TABLE account ADD COLUMN quota_messages INTEGER", "ALTER TABLE account DROP COLUMN quota_messages"),
    (directory, 1, "CREATE TABLE old_order (x)", "DROP TABLE old_order"),
    (directory, 2, "CREATE TABLE app_password (x)", "DROP TABLE app_password"),
    (directory, 2, "CREATE TABLE old_order (x)", "DROP TABLE old_order"),
    (directory, 3, "CREATE INDEX address_by_age ON domain (name)", "DROP INDEX address_by_age"),
]


@pytest.mark.parametrize("path, old, poison, antidote", POISON)
def test_a_step_that_fails_leaves_the_old_database(filled, path, old, poison, antidote):
    file = path(filled)
    take_back(file, file.stem, old)
    database = sqlite3.connect(file)
    before = list(database.iterdump())
    database.execute(poison)
    database.commit()
    poisoned = list(database.iterdump())
    database.close()
    content = file.read_bytes()
    filled.start(wait=False)
    filled.wait_for(lambda: "not-opened" in filled.log_text(), "the refusal")
    filled.wait_for(lambda: filled.status(counters_of=()) is not None, "the control socket")
    filled.kill_everything()
    line = next(line for line in filled.log_text().splitlines() if "not-opened" in line)
    assert file.name in line and "as it was" in line and str(file.parent) in line
    assert file.read_bytes()[100:] == content[100:], "not a byte of it but SQLite's own counters"
    database = sqlite3.connect(file)
    assert database.execute("PRAGMA user_version").fetchone()[0] == old
    assert list(database.iterdump()) == poisoned
    database.execute(antidote)
    database.commit()
    assert list(database.iterdump()) == before
    database.close()
    filled.start()
    assert_all_works(filled)


@pytest.mark.parametrize("path", [index, directory])
def test_a_newer_version_is_refused(filled, path):
    database = sqlite3.connect(path(filled))
    database.execute("PRAGMA user_version = 99")
    database.commit()
    database.close()
    content = path(filled).read_bytes()
    filled.start(wait=False)
    filled.wait_for(lambda: "not-opened" in filled.log_text(), "the refusal")
    filled.kill_everything()
    line = next(line for line in filled.log_text().splitlines() if "not-opened" in line)
    assert "newer version" in line and path(filled).name in line
    assert path(filled).read_bytes()[100:] == content[100:]
