"""IMAP's commands that change mails: APPEND, STORE, COPY, MOVE, EXPUNGE, IDLE. RFC 3501, 3502, 4315, 6851, 2177"""

import re

import pytest

from harness import wire
from harness.material import message


@pytest.fixture
def imap(server, account):
    with server.imap(account) as client:
        yield client


@pytest.fixture
def five(imap):
    """A selected INBOX with five mails, number n with the subject "mail n"."""
    for number in range(1, 6):
        imap.append("INBOX", message(subject=f"mail {number}"))
    imap.select()
    return imap


def subjects(imap):
    found = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    return [int(re.search(rb"mail (\d)", one[b"BODY[HEADER.FIELDS (SUBJECT)]"]).group(1)) for _,
            one in sorted(found.items())]


# ---------------------------------------------------------------------- APPEND

@pytest.mark.smoke
def test_append_stores_the_bytes_flags_and_date(imap):
    answer = imap.append("INBOX", message(), "\\Seen \\Draft $Own", "17-Jul-1996 02:44:25 -0700")
    imap.select()
    one = imap.fetch("1", "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")[1]
    assert one[b"BODY[]"] == message() and int(one[b"RFC822.SIZE"]) == len(message())
    assert set(one[b"FLAGS"]) - {b"\\Recent"} == {b"\\Seen", b"\\Draft", b"$Own"}
    assert one[b"INTERNALDATE"] == b"17-Jul-1996 02:44:25 -0700"
    validity = imap.status("INBOX", "UIDVALIDITY")[b"UIDVALIDITY"]
    assert answer.code == b"APPENDUID %d %s" % (validity, one[b"UID"])


def test_append_to_no_mailbox_says_create_first(imap):
    imap.no("APPEND nowhere {1+}\r\nx", code=b"TRYCREATE")
    imap.ok("NOOP")


def test_append_to_the_selected_mailbox_is_seen_at_once(five):
    answer = five.append("INBOX", message(subject="mail 6"))
    assert answer.numbered(b"EXISTS") == [6]


def test_append_takes_a_non_synchronizing_literal(imap):
    """RFC 7888 section 4"""
    imap.ok(b"APPEND INBOX {%d+}\r\n" % len(message()) + message())
    assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 1}


def several(*messages):
    """APPEND of all of them in one command."""
    return b"APPEND INBOX" + b"".join(b" {%d+}\r\n%b" % (len(one), one) for one in messages)


def test_several_messages_in_one_append_come_together(imap):
    """RFC 3502 section 6.3.11, RFC 4315 section 3"""
    assert b"MULTIAPPEND" in imap.ok("CAPABILITY").untagged[0].split()
    mails = [message(subject=f"mail {number}") for number in range(1, 6)]
    mails[3] += b"x" * 400_000  # larger than what a session keeps in memory
    answer = imap.ok(several(*mails))
    imap.select()
    found = imap.fetch("1:*", "(UID BODY.PEEK[])")
    assert [found[number][b"BODY[]"] for number in range(1, 6)] == mails
    uids = [int(found[number][b"UID"]) for number in range(1, 6)]
    assert answer.code == b"APPENDUID %d %d:%d" % (imap.status("INBOX", "UIDVALIDITY")[b"UIDVALIDITY"], uids[0], uids[-1])


def test_of_several_messages_in_one_append_all_are_stored_or_none(imap, server):
    """RFC 3502 section 3; what was stored before the one that is refused leaves nothing behind."""
    good = message()
    assert imap.command(several(*[good] * 50, b"Subject: x\r\n\r\n\0\r\n")).status == b"NO"
    assert imap.command(b"APPEND INBOX {3+}\r\nabc {9999999999+}\r\n").status in (b"NO", b"BAD")


def test_append_of_a_nul_is_refused(imap):
    """RFC 3501 section 9: a literal has no NUL."""
    assert imap.command("APPEND INBOX ", wire.Literal(b"Subject: x\r\n\r\n\0\r\n")).status in (b"NO", b"BAD")
    assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 0}


def test_append_over_the_limit_is_refused_before_it_is_sent(imap):
    answer = imap.command(b"APPEND INBOX {%d}" % (50 * 1024 * 1024 + 1))
    assert answer.status == b"NO" and answer.code in (b"TOOBIG", b"LIMIT")
    imap.ok("NOOP")


@pytest.mark.parametrize("rest", ["INBOX", "INBOX ()", "INBOX (\\Recent) {1+}\r\nx", "INBOX (\\Frob) {1+}\r\nx",
                                  'INBOX "32-Jul-1996 02:44:25 -0700" {1+}\r\nx', 'INBOX "yesterday" {1+}\r\nx',
                                  "INBOX (a {1+}\r\nx", "INBOX {x}"])
def test_broken_appends_are_refused(imap, rest):
    assert imap.command(f"APPEND {rest}").status in (b"BAD", b"NO")
    imap.ok("NOOP")
    assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 0}


def test_a_client_that_vanishes_in_an_append_leaves_nothing(server, account):
    client = server.imap(account)
    client.line.send(b"a APPEND INBOX {1000}\r\n")
    assert client.read_response().startswith(b"+")
    client.line.send(b"Subject: half\r\n")
    client.close()
    with server.imap(account) as imap:
        assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 0}


# ---------------------------------------------------------------------- STORE

def test_store_adds_takes_and_replaces(five):
    answer = five.ok("STORE 1:2 FLAGS (\\Seen \\Flagged)")
    assert set(answer.fetched()) == {1, 2}
    answer = five.ok("STORE 2 -FLAGS (\\Seen)")
    assert set(answer.fetched()[2][b"FLAGS"]) - {b"\\Recent"} == {b"\\Flagged"}
    five.ok("STORE 2 +FLAGS \\Answered $Work")
    plain = {number: flags - {b"\\Recent"} for number, flags in five.flags().items()}
    assert plain[1] == {b"\\Seen", b"\\Flagged"} and plain[2] == {b"\\Flagged", b"\\Answered",
                                                                  b"$Work"} and plain[3] == set()


def test_silent_store_is_silent(five):
    assert five.ok("STORE 1:* +FLAGS.SILENT (\\Seen)").fetched() == {}
    assert all(b"\\Seen" in flags for flags in five.flags().values())


def test_uid_store_answers_with_uids(five):
    answer = five.ok("UID STORE 2 +FLAGS (\\Deleted)")
    assert answer.fetched()[2][b"UID"] == b"2"


def test_a_new_keyword_is_announced(five):
    answer = five.ok("STORE 1 +FLAGS (Novelty)")
    flags = answer.all(b"FLAGS")
    assert flags and b"Novelty" in wire.parse(flags[-1])[0]


def test_recent_and_unknown_system_flags_cannot_be_stored(five):
    five.bad("STORE 1 +FLAGS (\\Frob)")
    assert five.command("STORE 1 +FLAGS (\\Recent)").status in (b"BAD", b"NO")


def test_keywords_are_case_insensitive_and_bounded(five):
    five.ok("STORE 1 +FLAGS (MixedCase)")
    five.ok("STORE 1 -FLAGS (mixedcase)")
    assert not {flag.lower() for flag in five.flags()[1]} & {b"mixedcase"}
    five.no("STORE 1 +FLAGS (" + " ".join(f"k{number}" for number in range(200)) + ")", code=b"LIMIT")
    assert five.flags()[1] - {b"\\Recent"} == set(), "all or nothing"


def test_numbers_out_of_range_are_bad_and_unknown_uids_are_not(five):
    five.bad("STORE 6 +FLAGS (\\Seen)")
    five.bad("STORE 0 +FLAGS (\\Seen)")
    five.ok("UID STORE 1000 +FLAGS (\\Seen)")


@pytest.mark.parametrize("numbers", ["", "a", "1,,2", "1:", ":1", "4294967296", "1:2:3", "-1", "1;2"])
def test_broken_sequence_sets_are_bad(five, numbers):
    five.bad(f"STORE {numbers} +FLAGS (\\Seen)")


def test_star_and_turned_ranges(five):
    assert set(five.fetch("*", "(UID)")) == {5}
    assert set(five.fetch("4:2", "(UID)")) == {2, 3, 4}
    assert set(five.fetch("1,3:4,3,*", "(UID)")) == {1, 3, 4, 5}
    assert set(five.uid_fetch("100:*", "(UID)")) == {5}


# ---------------------------------------------------------------------- COPY and MOVE

def test_copy_keeps_flags_and_dates_and_tells_uids(five):
    five.ok("CREATE other")
    five.append("other", message())
    five.ok("STORE 2 +FLAGS.SILENT (\\Flagged $Work)")
    date = five.fetch("2", "(INTERNALDATE)")[2][b"INTERNALDATE"]
    answer = five.ok("COPY 2,4 other")
    validity = five.status("other", "UIDVALIDITY")[b"UIDVALIDITY"]
    assert answer.code == b"COPYUID %d 2,4 2:3" % validity
    five.select("other")
    copies = five.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")
    assert len(copies) == 3 and copies[2][b"INTERNALDATE"] == date
    assert {b"\\Flagged", b"$Work"} <= set(copies[2][b"FLAGS"])
    assert copies[2][b"BODY[]"] == message(subject="mail 2") and copies[3][b"BODY[]"] == message(subject="mail 4")


def test_copy_onto_itself_doubles(five):
    answer = five.ok("COPY 1:2 INBOX")
    assert answer.numbered(b"EXISTS")[-1:] == [7] or five.ok("NOOP").numbered(b"EXISTS") == [7]


def test_copy_to_no_mailbox_says_create_first(five):
    five.no("COPY 1 nowhere", code=b"TRYCREATE")
    five.no("MOVE 1 nowhere", code=b"TRYCREATE")


def test_uid_copy_of_nothing_is_ok_without_copyuid(five):
    assert not five.ok("UID COPY 1000 Trash").code.startswith(b"COPYUID")


@pytest.mark.smoke
def test_move_leaves_nothing_behind(five):
    answer = five.ok("MOVE 2:3 Trash")
    codes = answer.codes()
    assert codes[b"COPYUID"].split()[1:] == [b"2:3", b"1:2"]
    assert sorted(answer.numbered(b"EXPUNGE")) in ([2, 2], [2, 3])
    assert subjects(five) == [1, 4, 5]
    five.select("Trash")
    assert subjects(five) == [2, 3]


def test_uid_move(five):
    five.ok("UID MOVE 1,5 Archive")
    assert subjects(five) == [2, 3, 4]


def test_move_is_seen_by_the_others(server, account, five):
    with server.imap(account) as other:
        other.select()
        five.ok("MOVE 1 Trash")
        assert other.ok("NOOP").numbered(b"EXPUNGE") == [1]


# ---------------------------------------------------------------------- EXPUNGE

def test_expunge_numbers_count_down_as_they_come(five):
    five.ok("STORE 1,3,5 +FLAGS.SILENT (\\Deleted)")
    gone = five.ok("EXPUNGE").numbered(b"EXPUNGE")
    left = [1, 2, 3, 4, 5]
    for number in gone:
        del left[number - 1]
    assert left == [2, 4] == subjects(five)


def test_uid_expunge_takes_only_what_is_named(five):
    """RFC 4315 section 2.1"""
    five.ok("STORE 1:3 +FLAGS.SILENT (\\Deleted)")
    five.ok("UID EXPUNGE 2:5")
    assert subjects(five) == [1, 4, 5]


def test_uids_are_never_given_again(five):
    five.ok("STORE 5 +FLAGS.SILENT (\\Deleted)")
    five.ok("EXPUNGE")
    five.append("INBOX", message())
    assert sorted(five.uid_fetch("1:*", "(UID)")) == [1, 2, 3, 4, 6]


def test_expunge_elsewhere_is_not_told_within_fetch_store_and_search(server, account, five):
    """RFC 3501 section 7.4.1: numbers do not move under a command that uses them."""
    with server.imap(account) as other:
        other.select()
        other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
        other.ok("EXPUNGE")
    for command in ("FETCH 2 (UID)", "STORE 2 +FLAGS (\\Seen)", "SEARCH ALL"):
        answer = five.ok(command)
        assert answer.numbered(b"EXPUNGE") == []
    assert five.fetch("2", "(UID)")[2][b"UID"] == b"2"
    assert five.ok("NOOP").numbered(b"EXPUNGE") == [1]


# ---------------------------------------------------------------------- others see it at once

def test_flags_set_elsewhere_are_told(server, account, five):
    with server.imap(account) as other:
        other.select()
        five.ok("STORE 3 +FLAGS (\\Flagged)")
        told = other.ok("NOOP").fetched()
        assert set(told) == {3} and b"\\Flagged" in told[3][b"FLAGS"]


def test_idle_pushes_new_mail_flags_and_expunges(server, account, five):
    with server.imap(account) as idler:
        idler.select()
        tag = idler.send("IDLE")
        assert idler.read_response().startswith(b"+")
        server.deliver(account, message(subject="mail 6"))
        assert idler.read_response() == b"* 6 EXISTS"
        five.ok("STORE 1 +FLAGS (\\Seen)")
        seen = idler.read_response()
        if seen.endswith(b" RECENT"):
            seen = idler.read_response()
        assert seen.startswith(b"* 1 FETCH") and b"\\Seen" in seen
        five.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
        assert idler.read_response().startswith(b"* 2 FETCH")
        five.ok("EXPUNGE")
        assert idler.read_response() == b"* 2 EXPUNGE"
        idler.line.send(b"DONE\r\n")
        assert idler.wait(tag).status == b"OK"
        idler.ok("NOOP")


def test_idle_ends_at_done_only(server, account):
    with server.imap(account) as idler:
        tag = idler.send("IDLE")
        assert idler.read_response().startswith(b"+")
        assert idler.line.silent()
        idler.line.send(b"frob\r\n")
        assert idler.wait(tag).status == b"BAD"
        idler.ok("NOOP")
