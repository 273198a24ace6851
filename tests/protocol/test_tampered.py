"""Stores whose files somebody or some disk has changed: no process dies of it without a clean line in the log that names
the file and says what to do; one damaged account or message hurts nobody else."""

import contextlib
import os
import pathlib
import random
import re
import sqlite3
import subprocess

import pytest

from harness import wire
from harness.server import Server

SETTINGS = {"server": {"shards": 2, "restart_delay_max": "100ms"}, "store": {"segment_size": "1MB"}}
SEEDS = int(os.environ.get("MANSIO_TAMPER_SEEDS", "4"))
ITEMS = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT X-NOT)] BODY.PEEK[1])"
# How a process may end here: by itself, after it said why.
SAID = re.compile(r"event=(store-not-opened|store-failed|directory-not-opened|store-unusable)")


def text(n):
    return (f"From: w{n}@example.net\r\nSubject: number {n}\r\nMIME-Version: 1.0\r\n"
            f"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\npart one of {n}\r\n--b\r\n"
            f"Content-Type: text/html\r\n\r\n<p>{n}</p>{'x' * (n % 5 * 9000)}\r\n--b--\r\n").encode()


class Template:
    """A store as it was left, stopped; two accounts in each shard."""

    def __init__(self, root):
        self.folder = root / "store"
        with Server(SETTINGS) as server:
            server.add_domain()
            self.accounts = [server.add_account(f"person{i}") for i in range(4)]
            shown = {one.address: server.cli_json("account", "show", one.address) for one in self.accounts}
            self.shard = {one.address: shown[one.address]["shard"] for one in self.accounts}
            for account in self.accounts:
                with server.imap(account) as imap:
                    for n in range(60):
                        imap.append(("INBOX", "Archive")[n % 2], text(n), "\\Seen $Label" if n % 3 else "")
                    imap.select()
                    imap.ok("UID COPY 1:9 Sent")
                    imap.ok("UID STORE 10:14 +FLAGS.SILENT (\\Deleted)")
                    imap.ok("EXPUNGE")
            server.stop()
            subprocess.run(["cp", "-a", server.directory, self.folder], check=True)

    def of_shard(self, shard):
        return [account for account in self.accounts if self.shard[account.address] == shard]


def shard(server, number=0):
    return pathlib.Path(server.directory) / "shards" / f"{number:02}"


def checkpoint(folder):
    database = sqlite3.connect(folder / "index.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def start_anyhow(server):
    """Starts it, though a shard may not come up. True: all of it did."""
    server.start(wait=False)
    server.wait_for(lambda: server.process.poll() is not None or server.status(counters_of=()), "the control socket")
    if server.process.poll() is not None:
        return False
    try:
        server.wait_ready(seconds=3)
    except AssertionError:
        status = server.status(counters_of=())
        if status:
            server.ports = {one["service"]: one["port"] for one in status["listeners"] if one.get("port")}
        return False
    return True


def use_everything(server, account):
    """Whatever the answers are, they are answers."""
    commands = ["LIST \"\" *", "LSUB \"\" *", "STATUS INBOX (MESSAGES UNSEEN)", "SELECT Archive", f"FETCH 1:* {ITEMS}",
                "SELECT INBOX", f"FETCH 1:* {ITEMS}", "FETCH 1:5 BODY.PEEK[]", "FETCH 3 BODY.PEEK[2]<5.70000>",
                "SEARCH SUBJECT number BODY part", "SEARCH KEYWORD $Label", "STORE 1:3 +FLAGS (\\Flagged Fresh)",
                "COPY 4:9 Sent", "MOVE 10:11 Trash", "STORE 12:13 +FLAGS (\\Deleted)", "EXPUNGE", "CREATE New",
                "RENAME New Newer", "DELETE Newer", "CHECK", "NOOP"]
    for command in commands:
        with contextlib.suppress(wire.Closed, OSError, AssertionError): # what stood in a row goes to this client
            with server.imap() as imap:
                if imap.command(b"LOGIN ", wire.quoted(account.address), b" ", wire.quoted(account.password)).status != b"OK":
                    return
                imap.command("SELECT INBOX")
                imap.command(command)
    with contextlib.suppress(wire.Closed, OSError, AssertionError):
        with server.pop3(account) as pop:
            for command in ("STAT", "LIST", "UIDL", "TOP 1 0", "RETR 2", "DELE 1", "QUIT"):
                if pop.command(command).startswith(b"+OK") and command[:4] in ("LIST", "UIDL", "TOP ", "RETR"):
                    pop.read_multiline()
    with contextlib.suppress(wire.Closed, OSError, AssertionError):
        server.deliver(account, text(7000))
    for command in (["undelete", "list"], ["undelete", "restore"], ["account", "show"]):
        server.cli(*command, account.address, check=False)


def assert_others_work(server, accounts, n=25):
    for account in accounts:
        with server.imap(account) as imap:
            assert imap.status("INBOX", "MESSAGES")[b"MESSAGES"] >= n
            imap.select()
            assert imap.fetch("1:5", "BODY.PEEK[]")
            imap.append("INBOX", text(8000))


def assert_ends_are_explained(server):
    """Every process that ended did so by itself, and had said why."""
    log = server.log_text()
    server.assert_log_is_clean()
    before = 0
    for line in re.finditer(r".*event=process-ended .*", log):
        if "code=0" in line.group(0):
            continue
        assert "signal" not in line.group(0), line.group(0) + server.log_tail()
        assert SAID.search(log[before:line.start()]), line.group(0) + server.log_tail()
        before = line.end()


# ---------------------------------------------------------------- index.db


@pytest.mark.parametrize("seed", range(SEEDS))
def test_values_in_the_tables(stopped, template, seed):
    """Blobs and numbers replaced by garbage in half of the rows of every table in turn."""
    rng = random.Random(seed)
    database = sqlite3.connect(shard(stopped) / "index.db")
    database.create_function("draw", 0, lambda: rng.randrange(2))
    columns = database.execute(
        "SELECT s.name, c.name, c.type FROM sqlite_schema AS s, pragma_table_info(s.name) AS c "
        "WHERE s.type = 'table' AND s.name NOT LIKE 'sqlite%'").fetchall()
    for table, column, kind in rng.sample(columns, 4):
        values = {"BLOB": rng.randbytes(rng.randrange(200)), "TEXT": rng.choice(["", "\r\n* BYE x", "a/b/c", "é" * 400])}
        value = values.get(kind, rng.choice([0, -1, 7, 2**31, 2**40, 2**63 - 1]))
        database.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE draw()", [value])
    database.commit()
    database.close()
    start_anyhow(stopped)
    for account in template.of_shard(0):
        use_everything(stopped, account)
    assert_others_work(stopped, template.of_shard(1))
    stopped.cli("store", "check", check=False)
    stopped.kill_everything()
    assert_ends_are_explained(stopped)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_flipped_bits(stopped, template, seed):
    rng = random.Random(seed)
    checkpoint(shard(stopped))
    path = shard(stopped) / "index.db"
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([3, 30, 300])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    start_anyhow(stopped)
    for account in template.of_shard(0):
        use_everything(stopped, account)
    assert_others_work(stopped, template.of_shard(1))
    stopped.kill_everything()
    assert_ends_are_explained(stopped)


@pytest.mark.parametrize("garbage", ["nothing", "zeros", "noise", "cut"])
def test_an_index_that_is_none(stopped, template, garbage):
    path = shard(stopped) / "index.db"
    checkpoint(shard(stopped))
    content = {"nothing": b"", "zeros": bytes(50000), "noise": random.Random(1).randbytes(50000),
               "cut": path.read_bytes()[:20000]}[garbage]
    path.write_bytes(content)
    start_anyhow(stopped)
    assert_others_work(stopped, template.of_shard(1))
    for account in template.of_shard(0):
        use_everything(stopped, account)
    line = next(line for line in stopped.log_text().splitlines() if "event=store-not-opened" in line)
    assert "index.db" in line and "shards/00" in line and "mansio store salvage" in line
    stopped.kill_everything()
    assert_ends_are_explained(stopped)
    report = stopped.cli_json("store", "salvage", "0")
    assert report[0]["report"]["messages"] > 0
    stopped.start()
    assert_others_work(stopped, template.accounts)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_garbage_log(stopped, template, seed):
    rng = random.Random(seed)
    (shard(stopped) / "index.db-wal").write_bytes(rng.randbytes(rng.choice([10, 32, 4152, 100000])))
    start_anyhow(stopped)
    for account in template.of_shard(0):
        use_everything(stopped, account)
    assert_others_work(stopped, template.of_shard(1))
    stopped.kill_everything()
    assert_ends_are_explained(stopped)


@pytest.mark.parametrize("what", ["index", "log", "both"])
def test_a_start_without_its_index_or_log_takes_nothing_away(stopped, template, what):
    """A store that begins anew, or from an old index, must not cut off mail that it does not know of."""
    folder = shard(stopped)
    before = {path.name: path.read_bytes() for path in folder.glob("body/*.seg")}
    if what != "log":
        (folder / "index.db").unlink()
    if what != "index":
        (folder / "index.db-wal").unlink()
    start_anyhow(stopped)
    for account in template.of_shard(0):
        use_everything(stopped, account)
    assert_others_work(stopped, template.of_shard(1))
    stopped.kill_everything()
    assert_ends_are_explained(stopped)
    after = {path.name: path.read_bytes() for path in folder.glob("body/*.seg")}
    assert {name: after.get(name) for name in before} == before
    report, = stopped.cli_json("store", "salvage", "0")
    assert report["report"]["messages"] >= 2 * 60  # copies are known to the index alone


def test_a_newer_index_is_refused_and_left_alone(stopped, template):
    database = sqlite3.connect(shard(stopped) / "index.db")
    database.execute("PRAGMA user_version = 99")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    before = (shard(stopped) / "index.db").read_bytes()
    assert not start_anyhow(stopped)
    assert_others_work(stopped, template.of_shard(1))
    line = next(line for line in stopped.log_text().splitlines() if "event=store-not-opened" in line)
    assert "newer version" in line
    stopped.kill_everything()
    assert (shard(stopped) / "index.db").read_bytes() == before
    assert_ends_are_explained(stopped)


# ---------------------------------------------------------------- segments


def segment(server, number=0):
    return sorted(shard(server, number).glob("body/*.seg"))[0]


@pytest.mark.parametrize("how", ["cut", "empty", "missing", "noise", "other"])
def test_segments(stopped, template, how):
    path = segment(stopped)
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": content[:len(content) // 2], "empty": b"",
                          "noise": random.Random(2).randbytes(len(content)),
                          "other": segment(stopped, 1).read_bytes()[:len(content)].ljust(len(content), b"\0")}[how])
    came_up = start_anyhow(stopped)
    for account in template.of_shard(0):
        use_everything(stopped, account)
    assert_others_work(stopped, template.of_shard(1))
    if came_up:
        done = stopped.cli("store", "check", check=False)
        assert done.returncode == 1 and re.search(r"shards/00/body/\d{6}\.seg, offset \d", done.stdout), done.stdout
    else:
        line = next(line for line in stopped.log_text().splitlines() if "event=store-not-opened" in line)
        assert "body" in line and "shards/00" in line and "mansio store salvage" in line
    stopped.kill_everything()
    assert_ends_are_explained(stopped)


def test_one_damaged_message_hurts_no_other(stopped, template):
    """It is listed by address, mailbox and uid; all others are read as ever."""
    account = template.of_shard(0)[0]
    stopped.start()
    with stopped.imap(account) as imap:
        imap.select("Archive")
        victim = bytes(imap.fetch("5", "BODY.PEEK[]")[5][b"BODY[]"])
    stopped.stop()
    for path in shard(stopped).glob("body/*.seg"):
        content = path.read_bytes()
        for found in re.finditer(re.escape(victim), content):
            start = content.rfind(b"MSB1", 0, found.start())
            damaged = bytearray(content)
            damaged[start + 40] ^= 1
            path.write_bytes(damaged)
            break
    stopped.start()
    done = stopped.cli("store", "check", check=False)
    assert done.returncode == 1
    assert account.address in done.stdout and "Archive" in done.stdout and "uid 5" in done.stdout, done.stdout
    with stopped.imap(account) as imap:
        imap.select("Archive")
        assert len(imap.fetch("1:4,6:30", "BODY.PEEK[]")) == 29


# ---------------------------------------------------------------- the rest of the store


@pytest.mark.parametrize("content", [b"", b"format = 1\n", b"\0" * 100, b"format = 2\nid = 00\n", b"x" * 9000],
                         ids=["empty", "cut", "zeros", "newer", "noise"])
def test_the_identity(stopped, content):
    (pathlib.Path(stopped.directory) / "store").write_bytes(content)
    assert not start_anyhow(stopped)
    assert stopped.process.wait(10) != 0
    log = stopped.log_text()
    assert "store" in log and ("damaged" in log or "newer" in log), log
    stopped.process = None
    stopped.assert_log_is_clean()
    done = stopped.cli("store", "salvage", check=False)
    assert done.returncode != 0 and "/store" in done.stderr and "backup" in done.stderr


@pytest.mark.parametrize("content", [b"\0" * 20000, b"noise" * 4000], ids=["zeros", "noise"])
def test_the_directory(stopped, content):
    for path in (pathlib.Path(stopped.directory) / "auth").glob("directory.db*"):
        path.unlink()
    path = pathlib.Path(stopped.directory) / "auth" / "directory.db"
    path.write_bytes(content)
    subprocess.run(["chown", f"--reference={path.parent}", path], check=True)
    assert not start_anyhow(stopped)
    line = next(line for line in stopped.log_text().splitlines() if "event=directory-not-opened" in line)
    assert "auth/directory.db" in line and "backup" in line
    stopped.kill_everything()
    assert_ends_are_explained(stopped)
    assert path.read_bytes() == content
