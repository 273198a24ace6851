"""Backups while mail comes in, and restoring all of it, an account, a mailbox, or one message."""

import collections
import concurrent.futures
import contextlib
import itertools
import json
import re
import sqlite3
import subprocess
import threading
import time

import pytest

from harness.server import binary

KILOBYTE = 1024
MEGABYTE = 1024 * KILOBYTE


@pytest.fixture
def served(fresh_server):
    return fresh_server({"store": {"segment_size": "1MB"}})


def message(n, size=0):
    return (f"From: Writer {n} <writer{n}@example.net>\r\nSubject: number {n}\r\n\r\n".encode()
            + f"body {n}\r\n".encode() * (1 + size // 8))


def folder(server):
    return server.root / "backup"


def backup(server, *options):
    return server.cli_json("backup", folder(server), *options)


def expunge(imap, uids):
    imap.ok(f"UID STORE {uids} +FLAGS.SILENT (\\Deleted)")
    imap.ok("EXPUNGE")


def picture(server, account):
    """Everything that a client can see of an account."""
    seen = {}
    with server.imap(account) as imap:
        for name in sorted(imap.list()):
            status = imap.status(name.decode(), "MESSAGES UIDNEXT UIDVALIDITY UNSEEN")
            seen[name] = [status]
            if status[b"MESSAGES"]:
                imap.ok(b"EXAMINE ", b'"' + name + b'"')
                fetched = imap.ok("FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[])").fetched()
                seen[name] += [fetched[n] for n in sorted(fetched)]
    with server.pop3(account) as pop3:
        seen["uidl"] = pop3.uidl()
    return repr(seen)


def uids(server, account, mailbox="INBOX"):
    with server.imap(account) as imap:
        imap.ok(f"EXAMINE {mailbox}")
        return {int(one[b"UID"]): one[b"FLAGS"] for one in imap.ok("FETCH 1:* (UID FLAGS)").fetched().values()}


def status(server, account, mailbox="INBOX"):
    with server.imap(account) as imap:
        return imap.status(mailbox, "MESSAGES UIDNEXT UIDVALIDITY")


def lived(server, account, n=12):
    """Mail that was flagged, expunged, moved."""
    for i in range(1, n + 1):
        server.deliver(account, message(i, i * 1000))
    with server.imap(account) as imap:
        imap.ok("CREATE Projects/Mansio")
        imap.ok("SELECT INBOX")
        imap.ok("UID STORE 2:5 +FLAGS (\\Seen \\Flagged $Label)")
        imap.ok("UID STORE 3 +FLAGS (\\Answered)")
        expunge(imap, "4")
        imap.ok("UID MOVE 6:7 Projects/Mansio")
        imap.ok("UID COPY 2 Sent")
        imap.append("Drafts", message(99), "\\Draft", "01-Feb-2020 12:00:00 +0100")


def restore_elsewhere(server, *options):
    """Into a new and empty folder, served by the same configuration from then on."""
    server.stop()
    server.directory.rename(server.root / f"store-{time.monotonic_ns()}")
    done = server.cli("restore", folder(server), *options)
    server.start()
    return done


COUNTERS = "SELECT id, uidvalidity, modseq, next FROM account WHERE removed = 0"


def rows(server, *queries):
    """What the databases of the stopped server say: modseqs, entries, logs, counters."""
    found = []
    for file in sorted(server.directory.glob("shards/*/index.db")):
        with contextlib.closing(sqlite3.connect(file)) as database:
            found += [database.execute(query).fetchall() for query in queries]
    return found


def segments(server):
    return sorted((folder(server) / "segments").glob("*/*.seg"))


# ---------------------------------------------------------------- backup


def test_a_restored_store_is_as_it_was(served):
    accounts = [served.add_account() for _ in range(3)]
    for account in accounts:
        lived(served, account)
    before = [picture(served, account) for account in accounts]
    made = backup(served)
    assert made["damaged"] == 0 and made["new_messages"] >= 3 * 12
    tables = [f"SELECT * FROM {table} ORDER BY 1, 2"
              for table in ("account", "mailbox", "run", "page", "change", "expunged", "subscription")]
    served.stop()
    entries = rows(served, *tables)
    served.start()
    for account in accounts:
        served.deliver(account, b"Subject: after\r\n\r\nthe backup\r\n")
    assert "all as they were" in restore_elsewhere(served).stdout
    served.stop()
    assert rows(served, *tables) == entries
    served.start()
    assert [picture(served, account) for account in accounts] == before
    # and it goes on from there
    served.deliver(accounts[0], b"Subject: after\r\n\r\nthe restore\r\n")
    assert max(uids(served, accounts[0])) == 13
    assert served.cli_json("store", "check")["damaged"] == 0


def test_only_what_is_new_is_copied(served):
    account = served.add_account()
    for i in range(1, 31):
        served.deliver(account, message(i, 100 * KILOBYTE))
    first = backup(served)
    assert first["copied_bytes"] > 3 * MEGABYTE and first["new_messages"] == 30
    served.deliver(account, message(31, 50 * KILOBYTE))
    second = backup(served)
    databases = sum(file.stat().st_size for file in (folder(served) / "generations" / second["name"]).glob("*.db"))
    assert second["new_messages"] == 1
    assert 50 * KILOBYTE < second["copied_bytes"] < 60 * KILOBYTE + databases
    assert second["bytes"] > first["bytes"]
    assert [one["name"] for one in served.cli_json("backup", "list", folder(served))] == [first["name"], second["name"]]
    assert not list(served.directory.rglob("snapshot.db*"))


def test_compaction_between_backups_loses_nothing(forgetful):
    account = forgetful.add_account()
    for i in range(1, 41):
        forgetful.deliver(account, message(i, 100 * KILOBYTE))
    backup(forgetful)
    first = picture(forgetful, account)
    with forgetful.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "1:30")
    time.sleep(1.1)  # until it is forgotten
    forgetful.cli("store", "compact")
    backup(forgetful)
    second = picture(forgetful, account)
    kept = len(segments(forgetful))
    for at in (0, 1):
        assert forgetful.cli_json("backup", "verify", folder(forgetful), "--at",
                                  forgetful.cli_json("backup", "list", folder(forgetful))[at]["name"])["damaged"] == 0
    # the older one still has its segments; when it goes, they go
    made = backup(forgetful, "--keep", "1")
    assert made["removed"] == 2 and len(segments(forgetful)) < kept
    restore_elsewhere(forgetful)
    assert picture(forgetful, account) == second != first


def test_an_older_backup_can_be_restored(served):
    account = served.add_account()
    served.deliver(account, message(1))
    first = backup(served)["name"]
    before = picture(served, account)
    time.sleep(1.1)
    served.deliver(account, message(2))
    backup(served)
    restore_elsewhere(served, "--at", first)
    assert picture(served, account) == before
    # the store went another way than its backups did: both ways stay whole
    served.deliver(account, message(3, 100 * KILOBYTE))
    backup(served)
    with_third = picture(served, account)
    for one in served.cli_json("backup", "list", folder(served)):
        assert served.cli_json("backup", "verify", folder(served), "--at", one["name"])["damaged"] == 0
    restore_elsewhere(served)
    assert picture(served, account) == with_third


def test_it_works_while_the_server_is_stopped(served):
    account = served.add_account()
    lived(served, account)
    before = picture(served, account)
    served.stop()
    assert backup(served)["new_messages"] >= 12
    served.start()
    restore_elsewhere(served)
    assert picture(served, account) == before


def test_what_was_acknowledged_before_it_began_is_in_it(served):
    accounts = [served.add_account() for _ in range(8)]
    acknowledged = {account.address: 0 for account in accounts}
    stop = threading.Event()

    def deliver(account):
        n = 0
        with served.lmtp() as client:
            while not stop.is_set():
                n += 1
                client.send_message("sender@example.net", [account.address], message(n, n % 50 * 1000))
                acknowledged[account.address] = n

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = [pool.submit(deliver, account) for account in accounts]
        try:
            time.sleep(0.5)
            for _ in range(3):
                promised = dict(acknowledged)
                assert backup(served)["damaged"] == 0
        finally:
            stop.set()
        for one in running:
            one.result()
    assert served.cli_json("backup", "verify", folder(served))["damaged"] == 0
    restore_elsewhere(served)
    for account in accounts:
        with served.imap(account) as imap:
            imap.ok("EXAMINE INBOX")
            fetched = imap.ok("FETCH 1:* (BODY.PEEK[])").fetched()
        got = [next(value for key, value in fetched[n].items() if key.startswith(b"BODY")) for n in sorted(fetched)]
        assert len(got) >= promised[account.address] > 0
        for n, text in enumerate(got, 1):
            assert text.endswith(message(n, n % 50 * 1000)), (account.address, n)


def test_a_killed_backup_harms_no_other_and_the_next_goes_on(served):
    account = served.add_account()
    for i in range(1, 41):
        served.deliver(account, message(i, 200 * KILOBYTE))
    first = backup(served)["name"]
    for i in range(41, 101):
        served.deliver(account, message(i, 200 * KILOBYTE))
    for delay in (0.02, 0.05, 0.08, 0.12):
        process = subprocess.Popen([binary(), "backup", folder(served), "-c", served.config], start_new_session=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=served.environment)
        time.sleep(delay)
        process.kill()
        process.wait()
        assert served.cli_json("backup", "verify", folder(served), "--at", first)["damaged"] == 0
    assert backup(served)["damaged"] == 0
    assert served.cli_json("backup", "verify", folder(served))["messages"] == 100


def test_a_flipped_byte_is_found_and_named(served):
    account = served.add_account()
    for i in range(1, 6):
        served.deliver(account, message(i, 10 * KILOBYTE))
    name = backup(served)["name"]
    file = max(segments(served), key=lambda one: one.stat().st_size)
    whole = file.read_bytes()
    at = whole.index(b"body 3\r\n") + 4000
    file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
    done = served.cli("backup", "verify", folder(served), "--json", check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and (found["damaged"], found["damaged_pieces"], len(found["damage"])) == (1, 1, 2)
    relative = str(file.relative_to(folder(served)))
    assert {one["file"] for one in found["damage"]} == {relative}
    of_message, = [one for one in found["damage"] if "message" in one]
    assert of_message["message"] == 3 and at - 5000 < of_message["offset"] <= at
    done = served.cli("backup", "verify", folder(served), check=False)
    assert done.returncode == 1 and f"{relative}, offset {of_message['offset']}" in done.stderr
    # the other messages can still be had
    served.stop()
    served.directory.rename(served.root / "old")
    done = served.cli("restore", folder(served), check=False)
    assert done.returncode == 1 and relative.rsplit("/", 1)[1] in done.stderr
    served.start()
    assert len(uids(served, account)) == 5
    file.write_bytes(whole)
    for other in ("directory.db", "store", "manifest.json"):
        file = folder(served) / "generations" / name / other
        whole = file.read_bytes()
        file.write_bytes(whole[:70] + bytes([whole[70] ^ 1]) + whole[71:])
        done = served.cli("backup", "verify", folder(served), check=False)
        assert done.returncode != 0, other
        assert other == "manifest.json" or other in done.stderr
        file.write_bytes(whole)
    assert served.cli_json("backup", "verify", folder(served))["damaged"] == 0


def whole_bodies(served, account, wanted):
    """Uids whose message is what came in."""
    found = set()
    for uid in sorted(uids(served, account)):
        with served.imap(account) as imap:
            imap.ok("EXAMINE INBOX")
            found |= {uid for one in imap.command(f"UID FETCH {uid} (BODY.PEEK[])").fetched().values()
                      if one.get(b"BODY[]", b"").endswith(wanted[uid])}
    return found


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_damaged_segment_keeps_nothing_else_from_being_saved(served, how, before):
    account = served.add_account()
    for i in range(1, 6):
        served.deliver(account, message(i, 600 * KILOBYTE))
    wanted = {i: message(i, 600 * KILOBYTE) for i in range(1, 6)}
    if before:
        backup(served)
    home = served.directory / "shards" / next(iter(
        path.parent.name for path in served.directory.glob("shards/*/body") if len(list(path.glob("*.seg"))) > 1)) / "body"
    first = min(home.glob("*.seg"))
    relative = str(first.relative_to(served.directory))
    if how == "cut":
        with open(first, "r+b") as file:
            file.truncate(300 * KILOBYTE)
    else:
        first.unlink()
    done = served.cli("backup", folder(served), "--keep", "1", "--json", check=False)
    made = json.loads(done.stdout)
    assert done.returncode == 1
    assert relative in [one["file"] for one in made["damage"]], made
    assert made["removed"] == 0
    assert len(served.cli_json("backup", "list", folder(served))) == 1 + before
    served.stop()
    served.directory.rename(served.root / "damaged")
    assert served.cli("restore", folder(served), check=False).returncode == (0 if before else 1)
    served.start()
    whole = whole_bodies(served, account, wanted)
    assert whole == {1, 2, 3, 4, 5} if before else {3, 4, 5} <= whole < {1, 2, 3, 4, 5}


def test_it_says_what_is_wrong(served):
    elsewhere = served.root / "full"
    elsewhere.mkdir()
    (elsewhere / "something").write_text("mine")
    assert "not empty" in served.cli("backup", elsewhere, check=False).stderr
    assert served.cli("backup", "list", served.root / "nowhere", check=False).returncode == 3
    account = served.add_account()
    backup(served)
    done = served.cli("restore", folder(served), check=False)
    assert done.returncode == 5 and "stop it first" in done.stderr
    done = served.cli("restore", folder(served), "--at", "1999-01-01", check=False)
    assert done.returncode == 3 and "the oldest is" in done.stderr
    for at in ("2027-99-99", "2026-02-30", "2026-01-31T25:61", "2026-01-31T12:00:60"):
        for command in ("restore", folder(served)), ("backup", "verify", folder(served)):
            done = served.cli(*command, "--at", at, check=False)
            assert done.returncode == 2 and at in done.stderr
    done = served.cli("restore", folder(served), "--account", "nobody@example.test", check=False)
    assert done.returncode == 3 and "nobody@example.test" in done.stderr
    done = served.cli("restore", folder(served), "--account", account.address, "--mailbox", "Nowhere", check=False)
    assert done.returncode == 3 and "Nowhere" in done.stderr
    done = served.cli("restore", folder(served), "--mailbox", "INBOX", check=False)
    assert done.returncode == 2
    served.cli("account", "remove", account.address, "--yes")
    done = served.cli("restore", folder(served), "--account", account.address, check=False)
    assert done.returncode == 3 and "account add" in done.stderr
    served.stop()
    done = served.cli("restore", folder(served), check=False)
    assert done.returncode == 4 and "not empty" in done.stderr
    served.start()


def test_files_are_for_their_owner_alone(served):
    served.deliver(served.add_account(), message(1))
    backup(served)
    for path in [folder(served), *folder(served).rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_restore_that_was_interrupted_is_no_store_and_can_begin_again(served):
    account = served.add_account()
    for i in range(1, 101):
        served.deliver(account, message(i, 200 * KILOBYTE))
    before = picture(served, account)
    backup(served)
    served.stop()
    served.directory.rename(served.root / "old")
    process = subprocess.Popen([binary(), "restore", folder(served), "-c", served.config], start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=served.environment)
    served.wait_for(lambda: list(served.directory.glob("shards/*/body/*.seg")), "the first segment")
    process.kill()
    process.wait()
    assert not (served.directory / "store").exists()
    served.cli("restore", folder(served))
    served.start()
    assert picture(served, account) == before


# ---------------------------------------------------------------- one account, into the running server


def grows(before, after):
    """The mailbox was rolled back: clients must read it anew."""
    assert after[b"UIDVALIDITY"] > before[b"UIDVALIDITY"]


def contents(server, account, mailbox="INBOX"):
    with server.imap(account) as imap:
        return [one._replace(uid=0) for one in imap.contents()[mailbox.encode()]]


def test_an_account_goes_back_over_one_that_lived_on(served):
    account, other = served.add_account(), served.add_account()
    lived(served, account)
    lived(served, other)
    inbox, projects = contents(served, account), contents(served, account, "Projects/Mansio")
    others = picture(served, other)
    backup(served)
    with served.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "1:9")
        imap.ok("CREATE Later")
        imap.append("Later", message(77))
    for i in range(50, 60):
        served.deliver(account, message(i))
    before = {name: status(served, account, name) for name in ("INBOX", "Projects/Mansio", "Later")}
    served.stop()
    counters = {row[0]: row for row in itertools.chain(*rows(served, COUNTERS))}
    served.start()
    with served.pop3(account) as pop3:
        old_ids = set(pop3.uidl().values())
    done = served.cli_json("restore", folder(served), "--account", account.address)
    assert done["missing"] == 0 and done["messages"] >= 12
    assert contents(served, account) == inbox and contents(served, account, "Projects/Mansio") == projects
    for name in ("INBOX", "Projects/Mansio"):
        grows(before[name], status(served, account, name))
    assert status(served, account, "Later") == before["Later"]  # was not in the backup, and stays
    with served.pop3(account) as pop3:
        ids = set(pop3.uidl().values())
    assert not ids & old_ids
    assert picture(served, other) == others
    assert served.cli_json("store", "check")["damaged"] == 0
    served.stop()
    after = {row[0]: row for row in itertools.chain(*rows(served, COUNTERS))}
    served.start()
    assert all(later >= now for one in counters for now, later in zip(counters[one][1:], after[one][1:]))
    # what was there can be undeleted
    assert len(served.cli_json("undelete", "list", account.address)) >= 10


def test_one_mailbox_goes_back(served):
    account = served.add_account()
    lived(served, account)
    projects = contents(served, account, "Projects/Mansio")
    backup(served)
    with served.imap(account) as imap:
        imap.ok("SELECT Projects/Mansio")
        expunge(imap, "1:*")
    served.deliver(account, message(70))
    inbox, gone = status(served, account), status(served, account, "Projects/Mansio")
    served.cli("restore", folder(served), "--account", account.address, "--mailbox", "Projects/Mansio")
    assert contents(served, account, "Projects/Mansio") == projects
    grows(gone, status(served, account, "Projects/Mansio"))
    assert status(served, account) == inbox


def test_a_mailbox_that_was_deleted_comes_back(served):
    account = served.add_account()
    lived(served, account)
    projects = contents(served, account, "Projects/Mansio")
    backup(served)
    with served.imap(account) as imap:
        imap.ok("DELETE Projects/Mansio")
    served.cli("restore", folder(served), "--account", account.address, "--mailbox", "Projects/Mansio")
    assert contents(served, account, "Projects/Mansio") == projects


def test_one_message_comes_back_beside_the_others(served):
    account = served.add_account()
    lived(served, account)
    wanted = contents(served, account)[1]
    backup(served)
    with served.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "2")
    before, left = status(served, account), contents(served, account)
    done = served.cli_json("restore", folder(served), "--account", account.address, "--mailbox", "INBOX",
                           "--message", "2")
    assert done["entries"] == 1 and done["missing"] == 0
    after = status(served, account)
    assert after[b"UIDVALIDITY"] == before[b"UIDVALIDITY"] and after[b"UIDNEXT"] == before[b"UIDNEXT"] + 1
    assert contents(served, account) == left + [wanted]
    done = served.cli("restore", folder(served), "--account", account.address, "--mailbox", "INBOX", "--message", "4",
                      check=False)
    assert done.returncode == 3 and "uid 4" in done.stderr
    done = served.cli_json("restore", folder(served), "--account", account.address, "--mailbox", "inbox",
                           "--message", "1,8:10")
    assert done["entries"] == 4


def restore_messages(server, account, uids_, check=True):
    return server.cli("restore", folder(server), "--account", account.address, "--mailbox", "INBOX", "--message", uids_,
                      "--json", check=check)


@pytest.mark.parametrize("wrong", ["1,2,999", "1,x", "1:", "2,,x", "500:600"])
def test_nothing_comes_back_when_one_of_the_messages_is_not_there(served, wrong):
    account = served.add_account()
    lived(served, account)
    backup(served)
    before = contents(served, account)
    done = restore_messages(served, account, wrong, check=False)
    assert done.returncode in (2, 3) and "error" in json.loads(done.stdout)
    assert contents(served, account) == before


def test_the_same_message_comes_back_once(served):
    """A command that was interrupted, or is given once more with further messages, adds what is missing."""
    account = served.add_account()
    lived(served, account)
    first, second = contents(served, account)[:2]
    backup(served)
    with served.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "1:2")
        imap.ok("CREATE Other")
    left = contents(served, account)
    done = json.loads(restore_messages(served, account, "1,1,1").stdout)
    assert done["entries"] == 1 and done["again"] == 0 and contents(served, account) == [*left, first]
    done = json.loads(restore_messages(served, account, "1:2").stdout)
    assert done["entries"] == 2 and done["again"] == 1 and contents(served, account) == [*left, first, second]
    # what went since is not put back again, and whoever asks for it hears where it is
    with served.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "13:*")
    said = served.cli("restore", folder(served), "--account", account.address, "--mailbox", "INBOX", "--message", "2")
    assert "restored 0 messages" in said.stdout and "undelete" in said.stderr and contents(served, account) == left
    served.cli("undelete", "restore", account.address, "--since", "1h")
    assert second in contents(served, account)
    # another backup is another source
    backup(served)
    there = contents(served, account)
    restore_messages(served, account, "3")
    assert len(contents(served, account)) == len(there) + 1


def test_what_was_expunged_before_a_restore_keeps_its_keywords(served):
    """The names behind the keyword bits of the undelete log are those of the mailbox that was replaced."""
    account = served.add_account()
    for i in range(1, 4):
        served.deliver(account, message(i))
    with served.imap(account) as imap:
        imap.ok("SELECT INBOX")
        imap.ok("UID STORE 1 +FLAGS (First)")
        backup(served)
        imap.ok("UID STORE 2 +FLAGS (Second)")
        imap.ok("UID STORE 3 +FLAGS (First Third)")
        expunge(imap, "3")
    served.cli("restore", folder(served), "--account", account.address)
    with served.imap(account) as imap:
        imap.ok("SELECT INBOX")
        imap.ok("UID STORE 2 +FLAGS (Between)")
    served.cli("undelete", "restore", account.address)
    served.stop()
    served.start()
    kept = {bytes(flag) for flags in uids(served, account).values() for flag in flags} - {b"\\Recent"}
    assert kept == {b"First", b"Second", b"Third", b"Between"}
    by_subject = collections.defaultdict(list)
    for one in contents(served, account):
        by_subject[re.search(rb"Subject: number (.)", one.body)[1]].append(set(one.flags) - {b"\\Recent"})
    assert by_subject == {b"1": [{b"First"}] * 2, b"2": [{b"Between"}, {b"Second"}],
                          b"3": [set(), {b"First", b"Third"}]}
    assert served.cli_json("store", "check")["damaged"] == 0


def test_a_damaged_mailbox_is_restored_with_all_others_or_none(served):
    account = served.add_account()
    lived(served, account)
    inbox, sent = contents(served, account), contents(served, account, "Sent")
    backup(served)
    with served.imap(account) as imap:
        imap.append("Sent", message(55))
    served.stop()
    with contextlib.closing(sqlite3.connect(served.directory / "shards" / "00" / "index.db")) as database:
        database.execute("UPDATE page SET entries = x'00' WHERE key >> 32 IN (SELECT run.number FROM run JOIN mailbox "
                         "ON mailbox.number = run.mailbox WHERE name = 'INBOX')")
        database.commit()
    served.start()
    with served.imap(account) as imap:
        assert imap.command("SELECT INBOX").status == b"NO"
    served.cli("restore", folder(served), "--account", account.address)
    assert contents(served, account) == inbox and contents(served, account, "Sent") == sent
    served.deliver(account, message(56))
    assert len(contents(served, account)) == len(inbox) + 1
    assert served.cli_json("store", "check")["damaged"] == 0
    served.stop()  # what only the damaged entries knew is not lost
    one, = served.cli_json("store", "salvage", "0", "--dry-run")
    assert one["report"]["returned"] == len(inbox) - 1  # one was in Sent, too


def test_an_account_that_was_removed_comes_back_under_a_new_one(served):
    account = served.add_account("carol")
    lived(served, account)
    inbox = contents(served, account)
    backup(served)
    served.cli("account", "remove", account.address, "--yes")
    again = served.add_account("carol")
    served.cli("restore", folder(served), "--account", again.address)
    assert contents(served, again) == inbox


def test_the_backup_is_never_written_by_a_restore(served):
    account = served.add_account()
    lived(served, account)
    first = backup(served)["name"]
    served.deliver(account, message(50, 30 * KILOBYTE))
    backup(served)

    def files():
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder(served).rglob("*")
                if path.is_file()}

    before = files()
    served.cli("restore", folder(served), "--account", account.address, "--at", first)
    assert files() == before
