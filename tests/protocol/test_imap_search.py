"""SEARCH: every key of RFC 3501 section 6.4.4, and what RFC 4731, 5032 and 5182 add to it."""

import pytest

from harness import wire
from harness.material import message

# number: flags, internal date, header lines
MAILS = [
    ("\\Seen", "01-Feb-1994 12:00:00 +0000",
     "Subject: first letter\r\nFrom: Ann <ann@example.org>\r\nTo: x@example.net\r\n"
     "Date: Tue, 1 Feb 1994 23:30:00 -0500\r\n"),
    ("\\Answered $Work", "02-Feb-1994 12:00:00 +0000", "Subject: SECOND Letter\r\nFrom: Bob <bob@example.org>\r\n"
     "Cc: copy@example.net\r\nDate: Wed, 2 Feb 1994 10:00:00 +0000\r\n"),
    ("\\Flagged \\Deleted", "03-Feb-1994 12:00:00 +0000",
     "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nFrom: ann@example.net\r\n"
     "Bcc: hidden@example.net\r\nX-Own: some words\r\nDate: Thu, 3 Feb 1994 10:00:00 +0000\r\n"),
    ("\\Draft", "04-Feb-1994 12:00:00 +0000", "From: nobody@example.com\r\nX-Own:\r\n"),
]


@pytest.fixture(scope="module")
def account(server):
    one = server.add_account()
    with server.imap(one) as imap:
        for number, (flags, date, header) in enumerate(MAILS):
            imap.append("INBOX", header.encode() + b"\r\n" + b"x" * 100 * number + b"\r\n", flags, date)
    return one


@pytest.fixture
def imap(server, account):
    with server.imap(account) as client:
        client.select(command="EXAMINE")
        yield client


@pytest.mark.parametrize("criteria,found", [
    ("ALL", [1, 2, 3, 4]),
    ("2:3", [2, 3]),
    ("*", [4]),
    ("UID 2,4", [2, 4]),
    ("SEEN", [1]), ("UNSEEN", [2, 3, 4]),
    ("ANSWERED", [2]), ("UNANSWERED", [1, 3, 4]),
    ("FLAGGED", [3]), ("UNFLAGGED", [1, 2, 4]),
    ("DELETED", [3]), ("UNDELETED", [1, 2, 4]),
    ("DRAFT", [4]), ("UNDRAFT", [1, 2, 3]),
    ("KEYWORD $Work", [2]), ("KEYWORD $work", [2]), ("UNKEYWORD $Work", [1, 3, 4]), ("KEYWORD $Nowhere", []),
    ("SUBJECT letter", [1, 2]), ("SUBJECT SECOND", [2]), ('SUBJECT "st le"', [1]), ("SUBJECT nothing", []),
    ("FROM ann", [1, 3]), ("FROM example.org", [1, 2]), ("TO x@example", [1]), ("CC copy", [2]), ("BCC hidden", [3]),
    ('HEADER X-Own words', [3]), ('HEADER X-Own ""', [3, 4]), ("HEADER Date Feb", [1, 2, 3]),
    ("BEFORE 2-Feb-1994", [1]), ("ON 2-Feb-1994", [2]), ("SINCE 3-Feb-1994", [3, 4]),
    ("SENTBEFORE 2-Feb-1994", [1]), ("SENTON 1-Feb-1994", [1]), ("SENTSINCE 3-Feb-1994", [3]),
    ("LARGER 300", [3, 4]), ("SMALLER 200", [1]),
    ("NOT SEEN", [2, 3, 4]), ("OR SEEN FLAGGED", [1, 3]), ("(SUBJECT letter) (FROM bob)", [2]),
    ("NOT (OR SEEN (DELETED FLAGGED))", [2, 4]), ("SUBJECT letter UNSEEN", [2]),
    ("RECENT", [1, 2, 3, 4]), ("NEW", [2, 3, 4]), ("OLD", []),
    ("BODY XXX", [2, 3, 4]), ("BODY letter", []), ("TEXT letter", [1, 2]), ('TEXT "x-own: some"', [3]),
    ("OR BODY xxx SEEN", [1, 2, 3, 4]), ("NOT TEXT letter BODY x", [3, 4]), ('BODY ""', [1, 2, 3, 4]),
    ('SUBJECT ""', [1, 2, 3]), ('HEADER X-Own "x-own:"', []), ('NOT SUBJECT ""', [4]), ("SUBJECT {0+}\r\n", [1, 2, 3]),
    ('CHARSET "utf-8" SUBJECT letter', [1, 2]), ("CHARSET us-ascii BODY xxx", [2, 3, 4]), ("TEXT hidden TEXT words", [3]),
    ("YOUNGER 60", []), ("OLDER 60", [1, 2, 3, 4]),
])
def test_key(imap, criteria, found):
    assert imap.search(criteria) == found


def test_results_come_as_asked_for(imap):
    assert imap.ok("SEARCH RETURN (MIN MAX COUNT ALL) NOT 2").one(b"ESEARCH").partition(b") ")[2] == b"MIN 1 MAX 4 COUNT 3 ALL 1,3:4"
    assert imap.ok("UID SEARCH RETURN (COUNT) BODY none").one(b"ESEARCH").partition(b") ")[2] == b"UID COUNT 0"


def test_a_result_can_be_named_by_the_next_command(imap):
    assert not imap.ok("SEARCH RETURN (SAVE) TEXT letter").all(b"ESEARCH")
    assert imap.search("$ SEEN") == [1]
    assert sorted(imap.fetch("$", "(UID)")) == [1, 2]


def test_what_a_saved_result_is(imap):
    imap.ok("SEARCH RETURN (SAVE MIN) 2:4")
    assert imap.search("$") == [2]
    imap.ok("SEARCH RETURN (SAVE MIN MAX) TEXT x")
    assert imap.search("$") == [1, 4]
    assert imap.ok("SEARCH RETURN (SAVE MIN COUNT) 2:4").one(b"ESEARCH").partition(b") ")[2] == b"MIN 2 COUNT 3"
    assert imap.search("$") == [2, 3, 4]
    imap.bad("SEARCH RETURN (SAVE FROB) ALL")
    assert imap.search("$") == [2, 3, 4]
    imap.no("SEARCH RETURN (SAVE) CHARSET X-NONE SUBJECT x")
    assert imap.search("$") == []
    assert imap.ok("SEARCH RETURN () BODY nowhere").one(b"ESEARCH").partition(b")")[2] == b""


def test_uid_search_gives_uids(imap):
    assert imap.search("SUBJECT letter", "UID SEARCH") == [1, 2]


def test_utf8_is_found_in_encoded_headers(imap):
    assert imap.command("SEARCH CHARSET UTF-8 SUBJECT ", wire.Literal("grüße".encode())).one(b"SEARCH") == b"3"


def test_an_unknown_charset_is_refused_with_the_known_ones(imap):
    answer = imap.no("SEARCH CHARSET X-NONE SUBJECT x", code=b"BADCHARSET")
    assert b"UTF-8" in answer.code.upper()


@pytest.mark.parametrize("criteria", ["", "FROB", "NOT", "OR SEEN", "(SEEN", "SUBJECT", "BEFORE yesterday",
                                      "BEFORE 32-Feb-1994",
                                      "LARGER x", "UID", "UID 0", "HEADER x", "KEYWORD \\Seen", "()"])
def test_broken_criteria_are_bad(imap, criteria):
    imap.bad(f"SEARCH {criteria}")


def test_depth_is_bounded(imap):
    assert imap.command("SEARCH " + "NOT " * 5000 + "SEEN").status in (b"BAD", b"NO")
    assert imap.command("SEARCH " + "(" * 5000 + "SEEN" + ")" * 5000).status in (b"BAD", b"NO")
    imap.ok("NOOP")


def test_an_empty_mailbox_has_an_empty_answer(imap):
    imap.select("Junk")
    assert imap.search("ALL") == []
