"""Pages of index.db that are garbage: `mansio export` passes by what cannot be read, says so, and brings all the rest; and a
command that meets one takes nobody else down, again and again least of all."""

import contextlib
import email
import json
import mailbox
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from harness import wire
from harness.server import Server

PAGE = 4096
SETTINGS = {"server": {"shards": 1}}
FOLDERS = 130  # so many that the tables of mailboxes and runs have several leaves
LETTERS = 260  # in INBOX: three pages of entries
DEADLINE_SECONDS = 120  # for writers whose server refuses them again and again


def letter(where, n):
    return (f"From: w@example.net\r\nSubject: {where} {n}\r\nX-Padding: {'p' * 300}\r\n\r\nletter {n} in {where}\r\n").encode()


def folder(n):
    return f"Folder {n:03} {'x' * 60}"


class Template:
    """A stopped store of one shard: two accounts, of which the first has much in every table."""

    def __init__(self, root):
        self.folder = root / "store"
        with Server(SETTINGS) as server:
            server.add_domain()
            self.victim, self.other = server.add_account("victim"), server.add_account("other")
            with server.imap(self.victim) as imap:
                for n in range(FOLDERS):
                    imap.ok("CREATE ", wire.quoted(folder(n)))
                    imap.append(folder(n), letter(folder(n), 1))
                for n in range(LETTERS):
                    imap.append("INBOX", letter("INBOX", n), "$Word" if n % 3 == 0 else "")
                imap.append("Archive", letter("Archive", "long").replace(b"X-Padding", b"To: " + b"a@example.com,\r\n " * 400 +
                                                                         b"b@example.com\r\nX-Padding"))
                imap.select()
                for n in range(1, 5):
                    imap.ok(f"STORE {n}:* +FLAGS.SILENT (\\Seen)")
                imap.ok("STORE 7:9 +FLAGS.SILENT (\\Deleted)")
                imap.ok("EXPUNGE")
            with server.imap(self.other) as imap:
                for n in range(60):
                    imap.append("INBOX", letter("other", n))
            with server.imap(self.victim) as imap:
                self.places = {subject(one.body): (name.decode(), one.uid)
                               for name, mails in imap.contents().items() for one in mails}
            self.subjects = sorted(self.places)
            self.backup = root / "backup"
            server.cli("backup", self.backup)
            server.stop()
            subprocess.run(["cp", "-a", server.directory, self.folder], check=True)
        with contextlib.closing(sqlite3.connect(self.folder / "shards/00/index.db")) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.pages = {}
            for name, number, kind in database.execute("SELECT name, pageno, pagetype FROM dbstat ORDER BY name, path"):
                self.pages.setdefault(name, {}).setdefault(kind, []).append(number)
            self.roots = dict(database.execute("SELECT name, rootpage FROM sqlite_schema"))


def subject(message):
    return email.message_from_bytes(bytes(message))["Subject"]


def tear(server, *pages):
    with open(server.directory / "shards/00/index.db", "r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE)
            file.write(b"\xff" * PAGE)


def exported(folder, form):
    """Subjects of all that is there."""
    if form == "mbox":
        return sorted(one["Subject"] for path in pathlib.Path(folder).rglob("*.mbox") for one in mailbox.mbox(path, create=False))
    return sorted(subject(path.read_bytes()) for path in pathlib.Path(folder).rglob("cur/*"))


def where_of(subject_):
    return subject_.rpartition(" ")[0]


def tear_and_export(stopped, template, tmp_path, *pages):
    """{form: (exit status, subjects that are there, what was told)}"""
    tear(stopped, *pages)
    stopped.start()
    found = {}
    for form in ("maildir", "mbox"):
        done = stopped.cli("export", template.victim.address, "--to", tmp_path / form, "--format", form, "--json", check=False)
        found[form] = done.returncode, exported(tmp_path / form, form), json.loads(done.stdout)
    return found


def middle(pages):
    return pages["leaf"][len(pages["leaf"]) // 2]


# ---------------------------------------------------------------- export


@pytest.mark.parametrize("part", ["leaf", "root"])
def test_what_the_tables_know_is_not_missed_in_an_index_or_a_log(stopped, template, tmp_path, part):
    """The index of runs is read when the store is opened, to find what is to be removed."""
    trees = ["sqlite_autoindex_account_1", "mailbox_name", "run_mailbox", "change", "expunged", "subscription"]
    torn = [middle(template.pages[tree]) if part == "leaf" else template.roots[tree] for tree in trees]
    for status, there, told in tear_and_export(stopped, template, tmp_path, *torn).values():
        assert (status, told["damaged"], told["messages"]) == (0, 0, len(template.subjects))
        assert there == template.subjects


def test_what_the_indexes_know_is_not_missed_in_their_tables(stopped, template, tmp_path):
    """Only the names of keywords stand nowhere else."""
    roots = [template.roots[table] for table in ("account", "mailbox", "run")]
    for status, there, told in tear_and_export(stopped, template, tmp_path, *roots).values():
        assert status == 1 and there == template.subjects
        one, = told["damage"]
        assert one["mailbox"] == "INBOX" and "keywords are left out" in one["problem"]


def test_mailboxes_that_nothing_tells_of_may_be_missing_and_that_is_said(stopped, template, tmp_path):
    torn = template.roots["mailbox_name"], middle(template.pages["mailbox"])
    for status, there, told in tear_and_export(stopped, template, tmp_path, *torn).values():
        assert status == 1 and set(there) < set(template.subjects)
        one, = told["damage"]
        assert "mailbox" not in one and "mailboxes may be left out" in one["problem"]


def test_without_any_list_of_mailboxes_it_names_the_file_and_what_to_do(stopped, template, tmp_path):
    tear(stopped, template.roots["mailbox_name"], template.roots["mailbox"])
    stopped.start()
    done = stopped.cli("export", template.victim.address, "--to", tmp_path, check=False)
    assert done.returncode == 1
    assert "shards/00/index.db" in done.stderr and "mansio store salvage" in done.stderr


@pytest.mark.parametrize("part", ["first", "middle", "root"])
def test_pages_of_entries(stopped, template, tmp_path, part):
    """Of which messages they were nobody knows: the mailboxes are told that had some there, or may have had."""
    torn = {"first": template.pages["page"]["leaf"][0], "middle": middle(template.pages["page"]), "root": template.roots["page"]}
    for status, there, told in tear_and_export(stopped, template, tmp_path, torn[part]).values():
        assert status == 1 and told["messages"] == len(there)
        named = {one["mailbox"] for one in told["damage"]}
        lost = {where_of(one) for one in set(template.subjects) - set(there)}
        assert lost and lost <= named
        assert part == "root" or there


@pytest.mark.parametrize("part", ["leaf", "root"])
def test_rows_of_messages(stopped, template, tmp_path, part):
    """Each message whose row is gone is told by its uid."""
    torn = middle(template.pages["message"]) if part == "leaf" else template.roots["message"]
    for status, there, told in tear_and_export(stopped, template, tmp_path, torn).values():
        assert status == 1
        named = sorted((one["mailbox"], one["uid"]) for one in told["damage"])
        lost = sorted(template.places[one] for one in set(template.subjects) - set(there))
        assert named == lost and (part == "root") == (not there)


def test_pages_that_a_long_row_goes_on_in_cost_an_export_nothing(stopped, template, tmp_path):
    for status, there, told in tear_and_export(stopped, template, tmp_path, *template.pages["message"]["overflow"]).values():
        assert (status, told["damaged"], there) == (0, 0, template.subjects)


def test_an_export_goes_on_where_one_that_was_damaged_ended(stopped, template, tmp_path):
    """When the store is whole again, what was left out is added, and nothing comes twice."""
    index = stopped.directory / "shards/00/index.db"
    whole = index.read_bytes()
    found = tear_and_export(stopped, template, tmp_path, middle(template.pages["message"]))
    stopped.stop()
    index.write_bytes(whole)
    (index.parent / "index.db-wal").unlink()
    stopped.start()
    for form, (_, before, _) in found.items():
        told = stopped.cli_json("export", template.victim.address, "--to", tmp_path / form, "--format", form, "--yes")
        assert exported(tmp_path / form, form) == template.subjects
        assert form == "mbox" or told["there_already"] == len(before)


# ---------------------------------------------------------------- batches


def voided(server):
    return server.sum_of("batches_voided", "shard")


def told_of_damage(server):
    """Lines of the log that say that a batch was voided for a page that is damaged: all of them name the file and what to do."""
    lines = [line for line in server.log_text().splitlines() if "event=batch-voided" in line]
    assert all("file=shards/00/index.db" in line and "mansio store check" in line for line in lines), lines
    return lines


class Writers:
    """Appends to another account over several connections; one that ends is opened again, and counted."""

    def __init__(self, server, account, connections=4, messages=40):
        self.server, self.account, self.messages, self.ended = server, account, messages, 0
        self.threads = [threading.Thread(target=self.run) for _ in range(connections)]
        for thread in self.threads:
            thread.start()

    def run(self):
        left = self.messages
        deadline = time.monotonic() + DEADLINE_SECONDS
        while left and time.monotonic() < deadline:
            try:
                with self.server.imap(self.account) as imap:
                    while left:
                        imap.append("INBOX", letter("other", 1000 + left))
                        left -= 1
            except (wire.Closed, OSError, AssertionError):
                self.ended += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join()


def keys_of(server, page):
    """Rowids of a leaf of a table. https://www.sqlite.org/fileformat2.html section 1.6"""
    with open(server.directory / "shards/00/index.db", "rb") as file:
        file.seek((page - 1) * PAGE)
        leaf = file.read(PAGE)
    assert leaf[0] == 13

    def varint(at):
        value = 0
        while True:
            value = value << 7 | leaf[at] & 127
            at += 1
            if leaf[at - 1] < 128:
                return value, at

    cells = [int.from_bytes(leaf[8 + 2 * i:10 + 2 * i], "big") for i in range(int.from_bytes(leaf[3:5], "big"))]
    return [varint(varint(cell)[1])[0] for cell in cells]


def test_reading_a_torn_page_does_no_harm_to_who_writes_meanwhile(stopped, template):
    """SQLite allows no write in a transaction in which somebody met such a page: that may cost one batch, and no second."""
    tear(stopped, middle(template.pages["message"]))
    stopped.start()
    answers = set()
    with Writers(stopped, template.other) as writers:
        while any(thread.is_alive() for thread in writers.threads):
            with contextlib.suppress(wire.Closed, OSError, AssertionError), stopped.imap(template.victim) as imap:
                imap.select()
                answers.add(imap.command("FETCH 1:* (ENVELOPE)").status)
    assert answers and b"OK" not in answers
    assert voided(stopped) == len(told_of_damage(stopped)) <= 1
    assert writers.ended <= len(writers.threads)
    with stopped.imap(template.other) as imap:
        assert imap.status("INBOX", "MESSAGES")[b"MESSAGES"] >= 60 + 4 * 40


def test_an_account_that_writes_to_a_torn_page_fails_alone(stopped, template):
    """The row of a new message goes beside rows on pages that are torn: each try may void its own batch, and no other."""
    leaves = [page for page in template.pages["message"]["leaf"] if keys_of(stopped, page)[0] >> 40 == 1]
    tear(stopped, leaves[-2])
    stopped.start()
    codes = []
    for n in range(40):
        with stopped.lmtp() as lmtp:
            lmtp.begin("sender@example.net", [template.victim.address])
            lmtp.line.send(wire.dot_stuffed(letter("new", n)))
            codes.append(lmtp.read()[0])
        stopped.deliver(template.other, letter("new", n))
    print(codes, voided(stopped), len(leaves))
    assert set(codes) <= {250, 451} and 451 in codes
    assert voided(stopped) == len(told_of_damage(stopped)) == codes.count(451)
    with stopped.imap(template.other) as imap:
        assert imap.status("INBOX", "MESSAGES")[b"MESSAGES"] == 60 + 40
    with stopped.imap(template.victim) as imap:
        assert imap.status("INBOX", "MESSAGES")[b"MESSAGES"] == LETTERS - 3 + codes.count(250)


def test_what_was_answered_before_another_session_failed_is_heard(stopped, template):
    """A session that had no part in the batch, with answers that its client has not taken yet: each comes whole."""
    tear(stopped, [page for page in template.pages["message"]["leaf"] if keys_of(stopped, page)[0] >> 40 == 1][-2])
    stopped.start()
    with stopped.imap(template.victim) as imap:
        imap.select()
        imap.line.send(b"".join(b"%d FETCH 1:20 (ENVELOPE BODYSTRUCTURE)\r\n" % n for n in range(3000)))
        imap.line.sock.recv(1, socket.MSG_PEEK)  # they are at work
        codes = []
        while len(codes) < 40 and 451 not in codes:
            with stopped.lmtp() as lmtp:
                lmtp.begin("sender@example.net", [template.victim.address])
                lmtp.line.send(wire.dot_stuffed(letter("new", len(codes))))
                codes.append(lmtp.read()[0])
        assert 451 in codes and voided(stopped) == 1
        said = imap.line.unread
        while data := imap.line.sock.recv(1 << 20):
            said += data
    answers = said.splitlines(keepends=True)
    assert answers[-1] == (b"* BYE The server could not write: what has no answer here was not done, or not all of it; "
                           b"please try again.\r\n"), (len(said), answers[-1])
    done = [line for line in answers if not line.startswith(b"* ")]
    assert done == [b"%d OK FETCH completed.\r\n" % n for n in range(len(done))] and 0 < len(done) < 3000


# ---------------------------------------------------------------- DELETE


def damage_entries(server, template, how):
    """Of some folders: a page of the database, or the row alone. INBOX is not among them."""
    if how == "torn":
        page = template.pages["page"]["leaf"][-2]
        assert keys_of(server, page)[0] >> 32 > 1, "none of INBOX"
        tear(server, page)
        return
    with contextlib.closing(sqlite3.connect(server.directory / "shards/00/index.db")) as database:
        database.execute("UPDATE page SET entries = x'beef' WHERE key >> 32 = (SELECT number FROM run WHERE mailbox = "
                         "(SELECT number FROM mailbox WHERE account = 1 AND name = ?))", [folder(FOLDERS - 1)])
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("how", ["torn", "row"])
def test_a_mailbox_whose_entries_cannot_be_read_can_be_deleted(stopped, template, how):
    damage_entries(stopped, template, how)
    stopped.start()
    with stopped.imap(template.victim) as imap:
        names = [name.decode() for name in imap.list() if name != b"INBOX"]
        damaged = [name for name in names if imap.command("STATUS ", wire.quoted(name), " (MESSAGES)").status == b"NO"]
        assert 0 < len(damaged) < len(names) and (how == "torn" or damaged == [folder(FOLDERS - 1)])
        for name in damaged:
            imap.ok("DELETE ", wire.quoted(name))
        assert {name.decode() for name in imap.list()} & set(names) == set(names) - set(damaged)
        imap.ok("CREATE ", wire.quoted(damaged[0]))
        imap.append(damaged[0], letter(damaged[0], 2))
    assert stopped.log_text().count("event=damaged-mailbox-deleted") == len(damaged)
    assert voided(stopped) == 0
    # of INBOX; and where a page is torn, of the mailbox before it, which could not be opened either
    assert len(stopped.cli_json("undelete", "list", template.victim.address)) == (3 + 1 if how == "torn" else 3)
    stopped.restart()
    with stopped.imap(template.victim) as imap:
        found = {name.decode(): mails for name, mails in imap.contents().items()}
        assert len(found[damaged[0]]) == 1 and set(found) & set(damaged) == {damaged[0]}
        assert len(found["INBOX"]) == LETTERS - 3
    assert stopped.cli_json("account", "show", template.victim.address)["messages"] == sum(map(len, found.values()))


# ---------------------------------------------------------------- what is brought


@pytest.mark.parametrize("tree", ["account", "mailbox_name", "subscription", "message", "page", "change"])
def test_a_whole_backup_is_not_blamed_for_damage_of_the_server(stopped, template, tree):
    """And the shard, which serves everybody else, goes on."""
    tear(stopped, template.roots[tree])
    stopped.start()
    shard = stopped.role_pids("shard")
    victim, other = template.victim.address, template.other.address
    for what in [victim], [victim, "--mailbox", folder(1)], [victim, "--mailbox", "INBOX", "--message", "1:20"], [other]:
        done = stopped.cli("restore", template.backup, "--account", *what, check=False)
        assert stopped.role_pids("shard") == shard
        assert done.returncode == 0 or "index.db is damaged" in done.stderr and "mansio store salvage" in done.stderr
        assert "do not fit" not in done.stderr


def test_a_batch_that_is_lost_while_mail_comes_in_takes_nobody_down(fresh_server):
    """So much that some of it is in the batch already when the page is met."""
    server = fresh_server(SETTINGS)
    account = server.add_account()
    with server.imap(account) as imap:
        for name in "One", "Two", "Three", "Four":
            imap.ok(f"CREATE {name}")
            for n in range(6):
                imap.append(name, letter(name, n) + (b"x" * 70 + b"\r\n") * 1500)
    server.cli("backup", server.root / "backup")
    server.stop()
    index = server.directory / "shards/00/index.db"
    owner = index.stat()
    with contextlib.closing(sqlite3.connect(index)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root, = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'page'").fetchone()
    for path in index.parent.glob("index.db*"):
        shutil.chown(path, owner.st_uid, owner.st_gid)
    tear(server, root)
    server.start()
    shard = server.role_pids("shard")
    for _ in range(4):
        done = server.cli("restore", server.root / "backup", "--account", account.address, check=False)
        assert server.role_pids("shard") == shard
        assert done.returncode == 1 and "shards/00/index.db is damaged" in done.stderr
