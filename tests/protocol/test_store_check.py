"""`mansio store check`: a healthy store of every feature is whole; and whatever is damaged, in a table, in a page of the
file or in the directory, is named with its place: in the answer, for people, and in the log where a shard finds it."""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess

import pytest

from harness.material import message
from harness.server import PROJECT, Account, Server

SETTINGS = {"server": {"shards": 2}}
PAGE = 4096


def use_every_feature(server):
    """Two accounts, one in each shard; what is in index.db's tables, and in the directory's."""
    accounts = [server.add_account() for _ in range(2)]
    for n, account in enumerate(accounts):
        with server.imap(account) as imap:
            for i in range(130):
                imap.append("INBOX", message(f"number {i}", "Grüße\r\n" * i), flags="\\Seen $work" if i % 3 else None)
            imap.append("INBOX", b"Subject: no line end")
            imap.append("INBOX", b"not a header at all\nbare line ends\n")
            imap.append("INBOX", message("large", "some text\r\n" * 60000))
            for command in ("CREATE Lists/one", "SUBSCRIBE Lists/one", "SUBSCRIBE nowhere", "SELECT INBOX",
                            "COPY 1:40 Lists/one", "MOVE 41:50 Archive", "STORE 1:9 +FLAGS (\\Deleted odd_word)",
                            "EXPUNGE", "CREATE Gone", "COPY 1:5 Gone", "DELETE Gone", "RENAME Lists Groups",
                            "RENAME INBOX Old", "CREATE Sent/2026"):
                imap.ok(command)
        for i in range(10):
            server.deliver(account, message(f"delivered {i}"))
        server.cli("undelete", "restore", account.address)
        with server.imap(account) as imap:
            for command in ("SELECT Archive", "STORE 2:4 +FLAGS (\\Deleted)", "EXPUNGE"):
                imap.ok(command)
        server.cli("account", "pop3", account.address, "--mode", "keep")
        answer = server.cli_json("account", "app-password", "add", account.address, "phone")
        for login in (account, Account(address=account.address, password=answer["password"])):
            with server.pop3(login) as pop3:
                pop3.ok(f"DELE {n + 1}")
                pop3.ok("QUIT")
        server.cli("account", "pop3", account.address, "--mode", "days", "--days", "3")
        with server.pop3(account) as pop3:
            pop3.multiline("RETR 1")
            pop3.ok("QUIT")
    server.cli("alias", "add", f"both@{accounts[0].address.split('@')[1]}", *(one.address for one in accounts))
    gone = server.add_account()
    server.deliver(gone, message("of an account that goes"))
    server.cli("account", "remove", gone.address, "--yes")
    shard = server.cli_json("account", "show", accounts[0].address)["shard"]
    for to in (1 - shard, shard):
        server.cli("account", "move", accounts[0].address, "--shard", to)
    return accounts


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The folder of a store of every feature, stopped, and its accounts."""
    folder = tmp_path_factory.mktemp("check") / "store"
    with Server(SETTINGS) as server:
        server.add_domain()
        accounts = use_every_feature(server)
        for _ in range(2):  # once more after a restart
            checked = check(server)
            assert checked == (0, []), json.dumps(checked)
            server.restart()
        server.stop()
        subprocess.run(["cp", "-a", server.directory, folder], check=True)
    yield folder, accounts
    shutil.rmtree(folder.parent, ignore_errors=True)


def control_frame(command, argument):
    """A request of src/ipc/control.h, in its frame (ipc/channel.h)."""
    names = re.findall(r'X\(CONTROL_\w+, "([^"]+)"', (PROJECT / "src/ipc/control.h").read_text())
    body = bytes([names.index(command), 1]) + bytes([len(argument)]) + argument.encode()
    return struct.pack("<IHBB", len(body), 1, 0, 0) + body


@pytest.fixture
def stopped(template):
    with Server.over_copy(template[0], SETTINGS) as server:
        yield server


def check(server):
    """Its exit status, and what it lists."""
    done = server.cli("store", "check", "--json", check=False)
    answer = json.loads(done.stdout)
    assert answer["damaged"] == sum(not one["note"] for one in answer["damage"])
    return done.returncode, answer["damage"]


def change(server, database, *statements):
    connection = sqlite3.connect(server.directory / database)
    for statement in statements:
        assert connection.execute(statement).rowcount > 0, statement
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def shard_with(server, account):
    return f"shards/{server.cli_json('account', 'show', account.address)['shard']:02}"


def found(damage, table, problem):
    return [one for one in damage if one["table"] == table and problem in one["problem"]]


def test_a_store_of_every_feature_is_whole(template, stopped):
    stopped.start()
    assert check(stopped) == (0, [])
    assert "All is as it came in" in stopped.cli("store", "check").stdout


def test_headers_at_the_bound_of_what_rows_keep_are_whole(fresh_server):
    """With the trace fields above them they are over it, at whatever length the client's header ends."""
    server = fresh_server(SETTINGS)
    account = server.add_account()
    for size in range(256 * 1024 - 600, 256 * 1024 + 200, 80):
        last = b"To: last@example.test\r\nSubject: last\r\n"
        header = b"".join(b"X-%d: %s\r\n" % (line, b"x" * 900) for line in range(1000))[:size - len(last) - 2] + b"\r\n" + last
        server.deliver(account, header + b"\r\nbody\r\n")
    assert check(server) == (0, [])


DAMAGES = [  # SQL on shard 0, table, row, what is said
    ("UPDATE change SET uids = x'ff' WHERE key IN (SELECT max(key) FROM change GROUP BY key >> 40)", "change", "key = ", "uids cannot be read"),
    ("UPDATE expunged SET entries = x'00'", "expunged", "key = ", "entries"),
    ("UPDATE subscription SET name = 'a//b' WHERE name = 'nowhere'", "subscription", "account = ", "its name"),
    ("UPDATE pop3_hidden SET uids = x'0105'", "pop3_hidden", "mailbox = ", "uids cannot be read"),
    ("UPDATE pop3_due SET uids = x'0105'", "pop3_due", "due = ", "uids cannot be read"),
    ("INSERT INTO delivery VALUES (x'00', 4000000000)", "delivery", "key = x'00'", "no key of a delivery"),
    ("INSERT INTO pop3_uidl VALUES ((SELECT max(key) FROM message), '')", "pop3_uidl", "key = ", "no unique id"),
    ("UPDATE segment SET bytes = bytes + 1", "segment", "number = ", "its counters"),
    ("UPDATE message SET zone = 99999 WHERE key IN (SELECT max(key) FROM message GROUP BY key >> 40)", "message", "key = ",
     "its zone"),
    ("UPDATE run SET uid_base = 4000000 WHERE mailbox IN (SELECT number FROM mailbox WHERE name = 'Old')", "page", "key = ",
     "UIDNEXT"),
    ("INSERT INTO page VALUES (999 << 32, x'00')", "page", "key = 4290672328704", "belongs to no run"),
]


def test_each_table_in_turn(stopped):
    change(stopped, "shards/00/index.db", *(sql for sql, *_ in DAMAGES))
    stopped.start()
    status, damage = check(stopped)
    assert status == 1
    for sql, table, row, problem in DAMAGES:
        one = found(damage, table, problem)
        assert one and one[0]["row"].startswith(row) and one[0]["file"] == "shards/00/index.db", (sql, [one for one in damage if one["table"] == table])
    shown = stopped.cli("store", "check", check=False).stdout
    assert "(shards/00/index.db, table change, key = " in shown


def test_a_page_of_entries_and_a_message_without_a_row_are_named_in_the_log_too(stopped, template):
    new_log = stopped.new_log()
    change(stopped, "shards/00/index.db", "UPDATE page SET entries = x'02' WHERE key = (SELECT min(page.key) FROM page JOIN run ON "
           "run.number = page.key >> 32 JOIN mailbox m ON m.number = run.mailbox WHERE m.name = 'Archive')",
           "DELETE FROM message WHERE key = (SELECT max(key) FROM message)")
    stopped.start()
    status, damage = check(stopped)
    assert status == 1
    page, = found(damage, "page", "cannot be read")
    entry, *_ = found(damage, "page", "has no message")
    assert page["mailbox"] == "Archive" and page["row"].startswith("key = ") and entry["uid"] > 0
    assert page["address"] in {account.address for account in template[1]}
    lines = [line for line in new_log().splitlines() if "event=damage" in line]
    assert any("file=shards/00/index.db" in line and "table=page" in line and page["row"] in line for line in lines)


DERIVED = [  # column, value, what is said, is it damage
    ("header_size", "header_size + 1", "the size of its header", True),
    ("lines", "lines + 1", "its lines", True),
    ("traits", "traits | 8", "its traits", True),
    ("envelope", "x'2822'", "the envelope that was kept of it is none", True),
    ("structure", "CAST('(\"text\"' AS BLOB)", "the structure that was kept of it is none", True),
    ("body", "x'00'", "the structure that was kept of it is none", True),
    ("parts", "x'00'", "the table of its parts", True),
    ("headers", "CAST(headers || 'X-Other: y' AS BLOB)", "the header fields that were kept of it are not its own", True),
    ("envelope", "CAST('(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)' AS BLOB)", "are not what this version makes", False),
    ("structure", "body", "is not what this version makes", False),
]


def test_what_was_derived_of_a_message_is_compared_with_its_bytes(stopped, template):
    stopped.start()
    shard = shard_with(stopped, template[1][1])
    stopped.stop()
    index = f"{shard}/index.db"
    connection = sqlite3.connect(stopped.directory / index)
    keys = [key for key, in connection.execute("SELECT t.key FROM message t JOIN account a ON a.number = t.key >> 40 WHERE removed = 0 "
                                               "ORDER BY t.key LIMIT 30, ?", (len(DERIVED),))]
    connection.close()
    change(stopped, index, *(f"UPDATE message SET {column} = {value} WHERE key = {key}"
                             for key, (column, value, *_) in zip(keys, DERIVED)))
    stopped.start()
    status, damage = check(stopped)
    assert status == 1 and len(damage) == len(DERIVED), damage
    for key, (column, _, problem, is_damage) in zip(keys, DERIVED):
        one, = [one for one in damage if one["row"] == f"key = {key}"]
        assert problem in one["problem"] and one["note"] != is_damage, (column, one)


def test_torn_pages_are_named_by_their_offsets_and_the_rest_is_read(stopped):
    index = stopped.directory / "shards/00/index.db"
    connection = sqlite3.connect(index)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    roots = [root for root, in connection.execute("SELECT rootpage FROM sqlite_master WHERE name IN ('change', 'page', 'message')")]
    connection.close()
    with open(index, "r+b") as file:
        for root in roots:
            file.seek((root - 1) * PAGE)
            file.write(b"\xff" * PAGE)
    stopped.start()
    status, damage = check(stopped)
    assert status == 1 and len(roots) == 3
    for offset in ((root - 1) * PAGE for root in roots):
        assert any(one["file"] == "shards/00/index.db" and one["offset"] == offset for one in damage), damage
    assert found(damage, "page", "from here on") and found(damage, "message", "from here on")
    assert f"(shards/00/index.db, offset {(roots[0] - 1) * PAGE}" in stopped.cli("store", "check", check=False).stdout


def test_a_damaged_message_is_placed_in_its_file(stopped):
    segment = stopped.directory / "shards/01/body/000001.seg"
    at = segment.read_bytes().index(b"number 77")
    with open(segment, "r+b") as file:
        file.seek(at)
        file.write(b"NUMBER")
    stopped.start()
    status, damage = check(stopped)
    one, = damage
    assert status == 1 and one["file"] == "shards/01/body/000001.seg" and 0 <= at - one["offset"] < 2000
    assert f"(shards/01/body/000001.seg, offset {one['offset']}, message " in stopped.cli("store", "check", check=False).stdout


def test_an_account_that_its_shard_does_not_have_is_damage(stopped, template):
    stopped.start()
    account, other = template[1]
    shard, name = shard_with(stopped, account), stopped.cli_json("account", "show", account.address)["id"]
    stopped.stop()
    change(stopped, f"{shard}/index.db", f"UPDATE account SET removed = 1, id = randomblob(24) WHERE id = x'{name}'")
    stopped.start()
    status, damage = check(stopped)
    one, = [one for one in damage if "does not" in one["problem"]]
    assert status == 1 and one["account"] == name and one["address"] == account.address and one["file"].startswith(shard)
    assert not [one for one in damage if one.get("address") == other.address]


def test_an_account_that_the_directory_does_not_have_is_a_note(stopped):
    change(stopped, "shards/01/index.db", "INSERT INTO account (id, created, uidvalidity, modseq, next) VALUES (randomblob(16), 1, 1, 1, 1)",
           "INSERT INTO mailbox (account, name, uidvalidity, special_use, keywords) VALUES (last_insert_rowid(), 'INBOX', 1, 0, x'')",
           "INSERT INTO run (account, mailbox, uid_base, modseq) VALUES ((SELECT max(number) FROM account), last_insert_rowid(), 0, 0)")
    stopped.start()
    status, damage = check(stopped)
    one, = damage
    assert status == 0 and one["note"] and "the directory does not" in one["problem"] and one["file"] == "shards/01/index.db"
    assert "note: " in stopped.cli("store", "check").stdout


def test_a_damaged_directory_is_named(stopped):
    change(stopped, "auth/directory.db", "INSERT INTO alias_target VALUES ('nowhere', 'x', 'nowhere', 'y')")
    stopped.start()
    status, damage = check(stopped)
    assert status == 1 and found(damage, "alias_target", "that is not there")[0]["file"] == "auth/directory.db"


def test_checks_beside_each_other_are_whole_or_say_why_not(stopped):
    stopped.start()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        checks = [pool.submit(stopped.cli, "store", "check", "--json", check=False) for _ in range(4)]
        answers = [one.result() for one in checks]
    assert all(one.returncode == 0 or "is under way" in one.stdout for one in answers), [one.stdout for one in answers]
    assert check(stopped) == (0, [])


def test_a_check_can_begin_as_soon_as_the_one_before_was_broken_off(stopped):
    """The shards still work for a client that is gone (Ctrl-C): they are stopped until both have asked."""
    stopped.start()
    shards = list(stopped.processes("shard").values())
    for pid in shards:
        os.kill(pid, signal.SIGSTOP)
    ask_for_a_check(stopped).close()
    stopped.cli("domain", "list")  # when it is answered, the supervisor has heard what was before
    with ask_for_a_check(stopped) as client:
        stopped.cli("domain", "list")
        for pid in shards:
            os.kill(pid, signal.SIGCONT)
        answer = client.makefile("rb").read(12)
    assert struct.unpack("<i", answer[8:])[0] == 0, "the result (control_reply_encode)"


def ask_for_a_check(server):
    """`store check`, as far as its first request."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(server.directory / "run/control.sock"))
    client.sendall(control_frame("store check", "begin"))
    return client
