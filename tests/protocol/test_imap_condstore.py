"""IMAP for clients that keep a copy: CONDSTORE and QRESYNC. RFC 7162; sections named alone are its."""

import random
import re
import sqlite3

import pytest

from harness import wire
from harness.material import message

SYSTEM = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")


@pytest.fixture
def imap(server, account):
    with server.imap(account) as client:
        yield client


@pytest.fixture
def other(server, account):
    """Another session of the same account, with INBOX selected."""
    with server.imap(account) as client:
        client.select()
        yield client


@pytest.fixture
def five(imap):
    """INBOX with five mails, uids 1 to 5; nothing is selected."""
    for number in range(1, 6):
        imap.append("INBOX", message(subject=f"mail {number}"))
    return imap


def numbers(text):
    """[1, 2, 3, 7] of b"1:3,7"."""
    found = []
    for part in filter(None, text.split(b",")):
        first, _, last = part.partition(b":")
        found += range(int(first), int(last or first) + 1)
    return found


def vanished(answer, earlier=False):
    found = []
    for one in answer.all(b"VANISHED"):
        if one.startswith(b"(EARLIER) ") == earlier:
            found += numbers(one.removeprefix(b"(EARLIER) "))
    return sorted(found)


def modseq_of(fetched):
    return int(fetched[b"MODSEQ"][0])


def highest(answer):
    return int(answer.codes()[b"HIGHESTMODSEQ"])


def modseqs(client, uids="1:*"):
    return {uid: modseq_of(one) for uid, one in client.uid_fetch(uids, "(MODSEQ)").items()}


# ---------------------------------------------------------------------- CONDSTORE

@pytest.mark.smoke
def test_every_change_gives_a_larger_modseq(five, other):
    """3.1"""
    answer = five.select()
    before = modseqs(five)
    assert sorted(before.values()) == list(before.values()) and highest(answer) == max(before.values())
    other.ok("STORE 2 +FLAGS (\\Flagged)")
    after = modseqs(five)
    assert after[2] > max(before.values()) and {uid: after[uid] for uid in (1, 3, 4, 5)} == {
        uid: before[uid] for uid in (1, 3, 4, 5)}
    other.ok("STORE 2 +FLAGS (\\Flagged)")  # 3.1.11: it is there already
    assert modseqs(five) == after


def test_an_empty_mailbox_has_a_modseq_and_its_first_message_a_larger_one(imap):
    """7: mod-sequence-value"""
    first = highest(imap.select())
    assert first >= 1
    imap.append("INBOX", message())
    imap.ok("NOOP")
    assert list(imap.uid_fetch("1:*", f"(FLAGS) (CHANGEDSINCE {first})")) == [1]


@pytest.mark.parametrize("command", ["STATUS INBOX (HIGHESTMODSEQ)", "FETCH 1 (MODSEQ)", "SEARCH MODSEQ 1",
                                     "FETCH 1 (FLAGS) (CHANGEDSINCE 1)",
                                     "STORE 1 (UNCHANGEDSINCE 1) FLAGS.SILENT (\\Seen)"])
def test_an_enabling_command_brings_modseqs_from_then_on(five, other, command):
    """3.1: HIGHESTMODSEQ once, then MODSEQ and (3.2.4) UID in every notice"""
    five.select()
    other.ok("STORE 2 +FLAGS (\\Seen)")
    notice = five.ok("NOOP").fetched()[2]
    assert b"MODSEQ" not in notice
    assert highest(five.ok(command)) == five.status("INBOX", "HIGHESTMODSEQ")[b"HIGHESTMODSEQ"]
    assert b"HIGHESTMODSEQ" not in five.ok("FETCH 1 (MODSEQ)").codes()
    other.ok("STORE 2 +FLAGS (\\Answered)")
    notice = five.ok("NOOP").fetched()[2]
    assert int(notice[b"UID"]) == 2 and modseq_of(notice) == modseqs(other, "2")[2]
    seen = five.fetch("3", "(BODY[])")[3]
    assert int(seen[b"UID"]) == 3 and modseq_of(seen) == modseqs(other, "3")[3] and b"FLAGS" in seen
    assert b"MODSEQ" not in five.fetch("3", "(FLAGS)")[3]
    stored = five.ok("STORE 4 +FLAGS.SILENT (\\Seen)").fetched()[4]
    assert b"FLAGS" not in stored and modseq_of(stored) == modseqs(other, "4")[4]


@pytest.mark.parametrize("command", ["ENABLE CONDSTORE", "SELECT INBOX (CONDSTORE)", "EXAMINE INBOX (CONDSTORE)"])
def test_enabling_before_a_mailbox_is_selected(five, other, command):
    five.ok(command)
    assert b"HIGHESTMODSEQ" in five.select(command="EXAMINE").codes()
    other.ok("STORE 2 +FLAGS (\\Seen)")
    assert modseq_of(five.ok("NOOP").fetched()[2]) == modseqs(other, "2")[2]


def test_enable_names_what_it_enabled(imap):
    assert imap.ok("ENABLE X-NOTHING QRESYNC condstore").one(b"ENABLED").split() == [b"QRESYNC", b"CONDSTORE"]
    assert imap.ok("ENABLE CONDSTORE CondStore").one(b"ENABLED") == b"CONDSTORE"
    assert imap.ok("ENABLE QRESYNC QRESYNC").one(b"ENABLED") == b"QRESYNC"
    assert imap.ok("ENABLE X-NOTHING").one(b"ENABLED") == b""
    assert {b"CONDSTORE", b"QRESYNC"} <= set(imap.ok("CAPABILITY").one(b"CAPABILITY").split())


def test_status_and_list_tell_the_highest_modseq(five):
    """3.1.7"""
    status = five.status("INBOX", "MESSAGES HIGHESTMODSEQ")
    assert status[b"HIGHESTMODSEQ"] == highest(five.select())
    line = next(one for one in five.ok("LIST \"\" INBOX RETURN (STATUS (HIGHESTMODSEQ))").all(b"STATUS"))
    assert wire.parse(line)[1] == [b"HIGHESTMODSEQ", b"%d" % status[b"HIGHESTMODSEQ"]]


def test_fetch_of_what_changed_since(five, other):
    """3.1.4.1"""
    before = highest(five.select())
    other.ok("UID STORE 2,4 +FLAGS (\\Flagged)")
    found = five.uid_fetch("1:*", f"(FLAGS) (CHANGEDSINCE {before})")
    assert set(found) == {2, 4} and all(modseq_of(one) > before for one in found.values())
    assert set(five.uid_fetch("3:*", f"(FLAGS) (CHANGEDSINCE {before})")) == {4}
    assert five.fetch("1:3", f"(FLAGS) (CHANGEDSINCE {before})").keys() == {2}
    assert five.uid_fetch("1:*", f"(FLAGS) (CHANGEDSINCE {modseq_of(found[4])})") == {}
    assert set(five.uid_fetch("1:*", "(FLAGS) (CHANGEDSINCE 0)")) == {1, 2, 3, 4, 5}


def test_store_on_condition(five, other):
    """3.1.3: MODIFIED names those that were changed meanwhile, and their flags are told"""
    before = highest(five.select())
    other.ok("STORE 2,4 +FLAGS (\\Flagged)")
    answer = five.ok(f"STORE 1:4 (UNCHANGEDSINCE {before}) +FLAGS.SILENT (\\Deleted \\Flagged)")
    assert numbers(answer.codes()[b"MODIFIED"]) == [2, 4] and answer.code.startswith(b"MODIFIED")
    fetched = answer.fetched()
    assert set(fetched) == {1, 2, 3, 4}
    for number in (1, 3):
        assert b"FLAGS" not in fetched[number] and modseq_of(fetched[number]) > before
    for number in (2, 4):
        assert b"\\Flagged" in fetched[number][b"FLAGS"] and b"\\Deleted" not in fetched[number][b"FLAGS"]
    again = max(modseq_of(one) for one in fetched.values())
    assert five.ok(f"UID STORE 4,2 (UNCHANGEDSINCE {again}) +FLAGS (\\Deleted)").code == b""
    assert all(b"\\Deleted" in flags for number, flags in other.flags().items() if number < 5)


def test_modified_names_messages_as_the_command_does(five, other):
    five.select()
    before = five.status("INBOX", "HIGHESTMODSEQ")[b"HIGHESTMODSEQ"]
    other.ok("STORE 1 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    other.ok("UID STORE 3 +FLAGS (\\Flagged)")
    five.ok("NOOP")
    assert five.ok(f"STORE 1:* (UNCHANGEDSINCE {before}) +FLAGS (\\Flagged)").code == b"MODIFIED 2"
    now = five.status("INBOX", "HIGHESTMODSEQ")[b"HIGHESTMODSEQ"]
    other.ok("UID STORE 3 -FLAGS (\\Flagged)")
    assert five.ok(f"UID STORE 1:* (UNCHANGEDSINCE {now}) -FLAGS (\\Flagged)").code == b"MODIFIED 3"


def test_a_condition_is_about_the_flags_that_it_names(five, other):
    """3.1.3 (no spurious MODIFIED), 3.1.12: of what somebody else changed only what the command adds or removes counts"""
    before = highest(five.select())
    other.ok("STORE 2:3 +FLAGS (\\Flagged)")
    other.ok("STORE 3 +FLAGS ($Processed)")
    answer = five.ok(f"STORE 1:3 (UNCHANGEDSINCE {before}) +FLAGS.SILENT ($Processed)")
    assert answer.code == b"MODIFIED 3"
    told = answer.fetched()
    assert {b"\\Flagged", b"$Processed"} <= set(told[2][b"FLAGS"]) and b"FLAGS" not in told[1]
    now = highest(five.select())
    other.ok("STORE 1:2 -FLAGS (\\Seen \\Flagged)")
    other.ok("STORE 1 -FLAGS ($Processed)")
    assert five.ok(f"STORE 1:2 (UNCHANGEDSINCE {now}) -FLAGS ($Processed)").code == b"MODIFIED 1"
    other.ok("STORE 1 +FLAGS (\\Answered)")
    assert five.ok(f"STORE 1 (UNCHANGEDSINCE {now}) FLAGS (\\Seen)").code == b"MODIFIED 1"
    assert five.ok(f"STORE 1 (UNCHANGEDSINCE {now}) +FLAGS (\\Answered \\Seen)").code == b"MODIFIED 1"


@pytest.mark.parametrize("command", ["STORE", "UID STORE"])
def test_what_others_changed_before_the_select_is_told_with_the_new_modseq(five, other, command):
    """3.1.12: else a client holds the new modseq for flags that it has not seen, and takes them away in good faith"""
    cached = five.status("INBOX", "HIGHESTMODSEQ")[b"HIGHESTMODSEQ"]
    other.ok("STORE 1 +FLAGS ($Important)")
    five.ok("SELECT INBOX (CONDSTORE)")
    answer = five.ok(f"{command} 1:2 (UNCHANGEDSINCE {cached}) +FLAGS.SILENT (\\Seen)")
    assert answer.code == b"" and answer.numbered(b"FETCH .*") == [1, 2]
    told = answer.fetched()
    assert {b"\\Seen", b"$Important"} <= set(told[1][b"FLAGS"]) and b"FLAGS" not in told[2]
    assert {number: modseq_of(one) for number, one in told.items()} == modseqs(other, "1:2")


def test_a_condition_that_fails_makes_no_keywords(five, other):
    """Their names count against the mailbox's for ever."""
    other.ok("STORE 2:3 +FLAGS (\\Flagged)")
    five.select()
    answer = five.ok("STORE 3 (UNCHANGEDSINCE 1) +FLAGS ($One $Two)")
    assert answer.code == b"MODIFIED 3" and not answer.all(b"FLAGS")
    assert five.ok("STORE 3 (UNCHANGEDSINCE 1) FLAGS.SILENT ($One)").code == b"MODIFIED 3"
    assert b"$One" not in five.select().all(b"FLAGS")[0]
    assert five.ok("STORE 3 (UNCHANGEDSINCE 1) +FLAGS ($One $ONE)").code == b""
    assert b"$One" in other.flags()[3] and b"$Two" not in five.select().all(b"FLAGS")[0]


def test_unchanged_since_zero_asks_whether_it_is_there(five, other):
    """3.1.3, example 7: system flags always are; a keyword is where it is set"""
    five.select()
    assert five.ok("STORE 1:2 (UNCHANGEDSINCE 0) +FLAGS (\\Seen)").code == b"MODIFIED 1:2"
    assert five.ok("STORE 1 (UNCHANGEDSINCE 0) FLAGS ($MDNSent)").code == b"MODIFIED 1"
    assert five.ok("STORE 1 (UNCHANGEDSINCE 0) +FLAGS ($MDNSent)").code == b""
    assert five.ok("STORE 1:2 (UNCHANGEDSINCE 0) +FLAGS ($MDNSent)").code == b"MODIFIED 1"
    assert b"$MDNSent" in other.flags()[2]


def test_a_conditional_store_of_many_messages_is_done_in_slices(server, account, imap):
    """The condition holds in each slice; MODIFIED comes at the end."""
    one = message()
    for _ in range(45):
        imap.ok(b"APPEND INBOX" + b"".join(b" {%d+}\r\n%b" % (len(one), one) for _ in range(500)))
    now = imap.select()
    with server.imap(account) as other:
        other.select()
        other.ok("STORE 7,20000,22500 +FLAGS (\\Seen)")
    answer = imap.ok(f"STORE 1:* (UNCHANGEDSINCE {highest(now)}) +FLAGS.SILENT (\\Seen \\Flagged)")
    assert answer.code == b"MODIFIED 7,20000,22500"
    assert len(imap.search("FLAGGED")) == 22497


def test_search_by_modseq(five, other):
    """3.1.5, 3.1.6"""
    five.select()
    other.ok("STORE 2,4 +FLAGS (\\Flagged)")
    found = modseqs(five)
    assert five.ok(f"SEARCH MODSEQ {found[2]}").all(b"SEARCH") == [b"2 4 (MODSEQ %d)" % found[4]]
    assert five.ok(f"UID SEARCH MODSEQ \"/flags/\\\\flagged\" all {found[5]} NOT UID 4").all(b"SEARCH") == [
        b"2 5 (MODSEQ %d)" % found[2]]
    assert five.ok(f"SEARCH MODSEQ {found[4] + 1}").all(b"SEARCH") == [b""]
    assert five.ok("SEARCH OR NOT MODSEQ 0 UID 1").all(b"SEARCH") == [b"1 (MODSEQ %d)" % found[1]]


# ---------------------------------------------------------------------- QRESYNC

@pytest.mark.parametrize("command", ["SELECT INBOX (QRESYNC (1 1))", "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)"])
def test_qresync_must_be_enabled_first(five, command):
    """3.2.3, 3.2.6"""
    five.select()
    five.bad(command)
    five.ok("FETCH 1 (FLAGS)")


@pytest.mark.parametrize("command", ["SELECT INBOX (QRESYNC)", "SELECT INBOX (QRESYNC (0 1))", "SELECT INBOX (QRESYNC (1 0))",
                                     "SELECT INBOX (QRESYNC (1 1 1:*))", "SELECT INBOX (QRESYNC (1 1 (1 1,2)))",
                                     "FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)", "UID FETCH 1:* (FLAGS) (VANISHED)"])
def test_what_the_grammar_does_not_know_is_bad(five, command):
    five.ok("ENABLE QRESYNC")
    five.select()
    five.bad(command)


def enabled(client):
    client.ok("ENABLE QRESYNC")
    return client


def test_select_tells_what_happened_meanwhile(five, other):
    """3.2.5.1"""
    enabled(five)
    first = five.select().codes()
    five.ok("UNSELECT")
    other.ok("UID STORE 2,3 +FLAGS (\\Flagged)")
    other.ok("UID STORE 1,4 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    other.append("INBOX", message(subject="mail 6"))
    parameters = f"{first[b'UIDVALIDITY'].decode()} {first[b'HIGHESTMODSEQ'].decode()}"
    answer = five.ok(f"SELECT INBOX (QRESYNC ({parameters}))")
    assert vanished(answer, earlier=True) == [1, 4] and not vanished(answer)
    fetched = {int(one[b"UID"]): one for one in answer.fetched().values()}
    assert set(fetched) == {2, 3, 6} and b"\\Flagged" in fetched[2][b"FLAGS"]
    assert all(modseq_of(one) <= highest(answer) for one in fetched.values())
    assert answer.code == b"READ-WRITE" and b"CLOSED" not in answer.codes()
    lines = [line.split()[1] for line in answer.untagged if b"VANISHED" in line or b"FETCH" in line]
    assert lines[0] == b"VANISHED"
    answer = five.ok(f"EXAMINE INBOX (QRESYNC ({parameters} 1:3))")
    assert vanished(answer, earlier=True) == [1] and answer.code == b"READ-ONLY"
    assert {int(one[b"UID"]) for one in answer.fetched().values()} == {2, 3}
    assert b"CLOSED" in answer.codes()  # 3.2.11
    assert answer.untagged[0].startswith(b"* OK [CLOSED]")


def test_select_with_another_uidvalidity_tells_nothing(five, other):
    """3.2.5"""
    enabled(five)
    first = five.select().codes()
    other.ok("UID STORE 1 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    answer = five.ok(f"SELECT INBOX (QRESYNC ({int(first[b'UIDVALIDITY']) + 1} 1))")
    assert not answer.all(b"VANISHED") and not answer.fetched() and answer.code == b"READ-WRITE"


def test_fetch_of_what_vanished(five, other):
    """3.2.6: also at the end, for 1:*"""
    enabled(five)
    before = highest(five.select())
    other.ok("UID STORE 2,5 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    answer = five.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {before} VANISHED)")
    assert vanished(answer) == [2, 5] and not vanished(answer, earlier=True)  # they were still counted until now
    answer = five.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {before} VANISHED)")
    assert vanished(answer, earlier=True) == [2, 5] and not vanished(answer)
    answer = five.ok(f"UID FETCH 1:3 (FLAGS) (CHANGEDSINCE {before} VANISHED)")
    assert vanished(answer, earlier=True) == [2]
    answer = five.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {highest(five.select())} VANISHED)")
    assert not answer.all(b"VANISHED")


def test_vanished_instead_of_expunge(five, other):
    """3.2.10; 3.2.7 and 3.2.9: with the modseq"""
    enabled(five)
    five.select()
    five.ok("STORE 1:2 +FLAGS (\\Deleted)")
    answer = five.ok("EXPUNGE")
    assert vanished(answer) == [1, 2] and not answer.numbered(b"EXPUNGE")
    assert answer.code == b"HIGHESTMODSEQ %d" % five.status("INBOX", "HIGHESTMODSEQ")[b"HIGHESTMODSEQ"]
    assert five.ok("EXPUNGE").code == b""
    other.ok("UID STORE 3 +FLAGS (\\Deleted)")
    assert vanished(five.ok("UID EXPUNGE 3")) == [3]
    other.ok("UID STORE 4 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    answer = five.ok("NOOP")
    assert vanished(answer) == [4]
    assert highest(answer) == five.status("INBOX", "HIGHESTMODSEQ")[b"HIGHESTMODSEQ"]
    five.ok("STORE 1 +FLAGS (\\Deleted)")
    assert b"HIGHESTMODSEQ" not in five.ok("CLOSE").codes()  # 3.2.8


def test_idle_tells_vanished(five, other):
    enabled(five)
    five.select()
    five.line.send(b"i IDLE\r\n")
    assert five.line.read_line().startswith(b"+")
    other.ok("UID STORE 2:3 +FLAGS.SILENT (\\Deleted)")
    other.ok("EXPUNGE")
    line = five.line.read_line()
    while b"VANISHED" not in line:
        line = five.line.read_line()
    assert line == b"* VANISHED 2:3"
    five.line.send(b"DONE\r\n")
    while not five.line.read_line().startswith(b"i OK"):
        pass


def test_while_an_expunge_waits_the_modseq_stays_below_it(five, other):
    """3.2 and 6: FETCH must not tell expunges, and its modseqs must not make a client think that it knows them"""
    enabled(five)
    before = highest(five.select())
    other.ok("UID STORE 5 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    other.ok("UID STORE 1 +FLAGS (\\Flagged)")
    answer = five.ok("FETCH 1 (FLAGS MODSEQ)")
    assert not answer.all(b"VANISHED") and modseq_of(answer.fetched()[1]) > before and highest(answer) == before
    answer = five.ok("STORE 2 +FLAGS (\\Seen)")
    assert not answer.all(b"VANISHED") and highest(answer) == before
    answer = five.ok("NOOP")
    assert vanished(answer) == [5] and highest(answer) == five.status("INBOX", "HIGHESTMODSEQ")[b"HIGHESTMODSEQ"]


def test_move_tells_vanished_and_the_modseq(five):
    """RFC 6851 section 4.4"""
    enabled(five)
    five.select()
    answer = five.ok("MOVE 2:3 Archive")
    assert vanished(answer) == [2, 3] and b"COPYUID" in answer.codes()
    assert answer.code == b"HIGHESTMODSEQ %d" % five.status("INBOX", "HIGHESTMODSEQ")[b"HIGHESTMODSEQ"]


def forget_changes(server):
    """As if all of the change log were too old. The server is stopped."""
    for index in server.directory.glob("shards/*/index.db"):
        with sqlite3.connect(index) as database:
            database.execute("UPDATE account SET modseq = max(modseq, (SELECT ifnull(max(key & 1099511627775), 0)"
                             " FROM change WHERE key >> 40 = account.number))")
            database.execute("DELETE FROM change")
        database.close()


@pytest.mark.plain
def test_what_came_in_untold_has_not_vanished(fresh_server):
    """3.2.6, where the change log does not go back so far: a mail that the session has not heard of lives"""
    server = fresh_server()
    account = server.add_account()
    with server.imap(account) as imap:
        for number in range(1, 4):
            imap.append("INBOX", message(subject=f"mail {number}"))
        imap.select()
        imap.ok("STORE 3 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    server.stop()
    forget_changes(server)
    server.start()
    with server.imap(account) as imap, server.imap(account) as other:
        enabled(imap)
        imap.select()
        other.append("INBOX", message(subject="mail 4"))
        answer = imap.ok("UID FETCH 1:10 (FLAGS) (CHANGEDSINCE 1 VANISHED)")
        assert vanished(answer, earlier=True) == [3] and answer.numbered(b"EXISTS") == [3]


@pytest.mark.plain
def test_a_damaged_change_log_keeps_nobody_out(fresh_server):
    """What it would tell is found by comparing, as where it does not go back so far"""
    server = fresh_server()
    account = server.add_account()
    with server.imap(account) as imap:
        for number in range(1, 4):
            imap.append("INBOX", message(subject=f"mail {number}"))
        first = imap.ok("SELECT INBOX (CONDSTORE)").codes()
        imap.ok("STORE 1 +FLAGS (\\Flagged)")
        imap.ok("STORE 3 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    server.stop()
    for index in server.directory.glob("shards/*/index.db"):
        with sqlite3.connect(index) as database:
            database.execute("UPDATE change SET uids = x'ffff' WHERE key = (SELECT max(key) FROM change)")
        database.close()
    server.start()
    with server.imap(account) as imap:
        enabled(imap)
        answer = imap.ok(f"SELECT INBOX (QRESYNC ({int(first[b'UIDVALIDITY'])} {int(first[b'HIGHESTMODSEQ'])}))")
        assert vanished(answer, earlier=True) == [3] and set(answer.fetched()) == {1}


@pytest.mark.plain
def test_a_message_that_cannot_be_read_is_told_to_be_seen(fresh_server):
    """FETCH sets the flag for many messages together, before it finds out that one of them is damaged"""
    server = fresh_server()
    account = server.add_account()
    with server.imap(account) as imap:
        for number in range(1, 4):
            imap.append("INBOX", message(subject=f"mail {number}"))
    server.stop()
    for index in server.directory.glob("shards/*/index.db"):
        with sqlite3.connect(index) as database:
            database.execute("DELETE FROM message WHERE key = (SELECT max(key) FROM message)")
        database.close()
    server.start()
    with server.imap(account) as imap:
        imap.ok("SELECT INBOX (CONDSTORE)")
        answer = imap.command("FETCH 1:3 (BODY[TEXT])")
        assert answer.status == b"NO"
        assert {number for number, one in answer.fetched().items() if b"\\Seen" in one[b"FLAGS"]} == {1, 2, 3}


@pytest.mark.plain
def test_below_the_floor_of_the_change_log_everything_that_is_missing_vanished(fresh_server):
    """3.2.6: who asks further back hears of all uids that are not there; match data (3.2.5.2) spares it some"""
    server = fresh_server()
    account = server.add_account()
    with server.imap(account) as imap:
        for number in range(1, 11):
            imap.append("INBOX", message(subject=f"mail {number}"))
        imap.select()
        imap.ok("STORE 1 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        first = imap.ok("SELECT INBOX (CONDSTORE)").codes()
        imap.ok("UID STORE 4,9 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("UID STORE 6 +FLAGS (\\Flagged)")
        last = highest(imap.ok("SELECT INBOX (CONDSTORE)"))
    server.stop()
    forget_changes(server)
    server.start()
    with server.imap(account) as imap:
        enabled(imap)
        validity, modseq = int(first[b"UIDVALIDITY"]), int(first[b"HIGHESTMODSEQ"])
        answer = imap.ok(f"SELECT INBOX (QRESYNC ({validity} {modseq}))")
        assert vanished(answer, earlier=True) == [1, 4, 9] and highest(answer) == last
        assert {int(one[b"UID"]) for one in answer.fetched().values()} == {6}
        for known, expected in ("2:10", [4, 9]), ("2:8", [4]):
            answer = imap.ok(f"SELECT INBOX (QRESYNC ({validity} {modseq} {known}))")
            assert vanished(answer, earlier=True) == expected
        # numbers as the client had them: 1 is 2, 2 is 3, 3 is 4, ..., 9 is 10
        for match, expected in ("(1:9 2:10)", [4, 9]), ("(3,5 4,6)", [1, 4, 9]), ("(2,3 2,3)", [1, 4, 9]), \
                ("(4 6)", [9]), ("(4:5 6:7)", [9]), ("(1,7 3,10)", []):
            answer = imap.ok(f"SELECT INBOX (QRESYNC ({validity} {modseq} {match}))")
            assert vanished(answer, earlier=True) == expected, match
        answer = imap.ok(f"SELECT INBOX (QRESYNC ({validity} {last}))")
        assert not answer.all(b"VANISHED") and not answer.fetched()


def test_thousands_of_holes_vanish_in_lines_that_can_be_read(imap, server, account):
    one = message()
    for _ in range(5):
        imap.ok(b"APPEND INBOX" + b"".join(b" {%d+}\r\n%b" % (len(one), one) for _ in range(1000)))
    first = imap.select().codes()
    with server.imap(account) as other:
        enabled(other)
        other.select()
        every_second = ",".join(map(str, range(1, 5001, 2)))
        other.ok(f"UID STORE {every_second} +FLAGS.SILENT (\\Deleted)")
        answer = other.ok("EXPUNGE")
        assert vanished(answer) == list(range(1, 5001, 2))
        assert max(map(len, answer.untagged)) < 8192
        answer = other.ok(f"SELECT INBOX (QRESYNC ({first[b'UIDVALIDITY'].decode()} {first[b'HIGHESTMODSEQ'].decode()}))")
        assert vanished(answer, earlier=True) == list(range(1, 5001, 2))
        assert max(map(len, answer.untagged)) < 8192


# ---------------------------------------------------------------------- a client with a copy, against the truth

class Copy:
    """A client that keeps uids and flags, and follows section 6 about its modseq."""

    def __init__(self, server, account, chance):
        self.server, self.account, self.chance = server, account, chance
        self.flags = {}
        self.validity = self.modseq = None
        self.client = None

    def drop(self):
        self.client.close()
        self.client = None

    def take(self, answer):
        """Responses in their order; then the modseq (6)."""
        numbered = {}
        highest_seen = self.modseq
        for line in answer.untagged:
            if match := re.match(rb"\* VANISHED (?:\(EARLIER\) )?(\S+)$", line):
                for uid in numbers(match.group(1)):
                    self.flags.pop(uid, None)
            elif match := re.match(rb"\* (\d+) FETCH ", line):
                pairs = wire.parse(line[match.end():])[0]
                one = dict(zip(pairs[::2], pairs[1::2]))
                if b"UID" not in one:
                    continue
                if b"FLAGS" in one:
                    self.flags[int(one[b"UID"])] = frozenset(one[b"FLAGS"]) - {b"\\Recent"}
                if b"MODSEQ" in one:
                    highest_seen = max(highest_seen, modseq_of(one))
                numbered[match.group(1)] = one
        told = answer.codes().get(b"HIGHESTMODSEQ")
        self.modseq = int(told) if told else highest_seen
        return answer

    def connect(self):
        self.client = enabled(self.server.imap(self.account))
        if self.validity is None:
            answer = self.client.ok("SELECT INBOX")
            self.validity, self.modseq = int(answer.codes()[b"UIDVALIDITY"]), highest(answer)
            self.take(self.client.ok("UID FETCH 1:* (FLAGS)"))
            self.modseq = highest(answer)
            return
        parameters = f"{self.validity} {self.modseq}"
        if self.flags and self.chance.random() < 0.7:
            parameters += " " + ",".join(map(str, sorted(self.flags)))
        if self.flags and self.chance.random() < 0.5:
            uids = sorted(self.flags)
            chosen = sorted(self.chance.sample(range(len(uids)), min(4, len(uids))))
            parameters += " ({} {})".format(",".join(str(one + 1) for one in chosen), ",".join(str(uids[one]) for one in chosen))
        self.take(self.client.ok(f"SELECT INBOX (QRESYNC ({parameters}))"))
        self.fetch_new()

    def fetch_new(self):
        first = max(self.flags, default=0) + 1
        answer = self.client.ok(f"UID FETCH {first}:* (FLAGS)")
        before = self.modseq
        self.take(answer)
        if b"HIGHESTMODSEQ" not in answer.codes():
            self.modseq = before

    def act(self):
        uid = self.chance.choice(sorted(self.flags) or [1])
        command = self.chance.choice([
            "NOOP", "NOOP", f"UID FETCH {uid} (FLAGS MODSEQ)", "FETCH 1 (UID FLAGS MODSEQ)",
            f"UID STORE {uid} +FLAGS.SILENT (\\Answered)", "STORE 1 -FLAGS (\\Answered \\Seen)",
            f"UID STORE {uid} (UNCHANGEDSINCE {self.modseq}) FLAGS (\\Flagged)", f"UID EXPUNGE {uid}", f"UID MOVE {uid} Junk",
            f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {self.modseq} VANISHED)", f"UID FETCH {uid} (BODY[TEXT])",
            f"SEARCH MODSEQ {self.modseq}"])
        answer = self.client.command(command)
        if ".SILENT" in command and uid in self.flags and answer.status == b"OK":
            self.flags[uid] |= {b"\\Answered"}
        self.take(answer)
        if answer.numbered(b"EXISTS"):
            self.fetch_new()


def change_something(client, chance):
    uids = [int(one) for one in client.ok("UID SEARCH ALL").one(b"SEARCH").split()]
    some = ",".join(map(str, sorted(chance.sample(uids, min(len(uids), chance.randint(1, 4)))))) if uids else "1"
    flag = chance.choice([*SYSTEM, "$One", "$Two"])
    one = message()
    client.command(chance.choice([
        b"APPEND INBOX (\\Flagged) {%d+}\r\n%b" % (len(one), one), f"UID STORE {some} +FLAGS ({flag})", f"UID STORE {some} -FLAGS ({flag})",
        f"UID STORE {some} FLAGS ({flag})", f"UID EXPUNGE {some}", "EXPUNGE", f"UID COPY {some} INBOX",
        f"UID MOVE {some} Archive", f"UID MOVE {some} INBOX", "NOOP"]))


@pytest.mark.parametrize("seed", range(12))
def test_a_resynchronised_copy_is_the_truth(server, account, seed):
    """Random changes by another session, random commands of its own, and a connection that drops at any time."""
    chance = random.Random(seed)
    copy = Copy(server, account, chance)
    with server.imap(account) as other:
        for _ in range(8):
            other.append("INBOX", message())
        other.select()
        for _ in range(25):
            copy.connect()
            for _ in range(chance.randint(0, 6)):
                for _ in range(chance.randint(0, 3)):
                    change_something(other, chance)
                copy.act()
            if chance.random() < 0.5:
                copy.drop()
                for _ in range(chance.randint(0, 5)):
                    change_something(other, chance)
                copy.connect()
            copy.take(copy.client.ok("NOOP"))
            copy.fetch_new()
            other.ok("NOOP")  # or an EXPUNGE would change the numbers in the midst of the answer
            truth = {uid: frozenset(one[b"FLAGS"]) - {b"\\Recent"}
                     for uid, one in other.uid_fetch("1:*", "(FLAGS)").items()}
            assert copy.flags == truth, f"seed {seed}, modseq {copy.modseq}"
            copy.drop()
