"""IMAP's SORT and THREAD on the server. RFC 5256, RFC 5957; sections named alone are RFC 5256's."""

import random
import re

import pytest

from harness import wire
from harness.material import message


@pytest.fixture
def imap(server, account):
    with server.imap(account) as client:
        yield client


def mail(subject="x", date="Tue, 1 Jul 2003 10:52:37 +0200", sender="a@example.net", to="b@example.net", cc=None, size=0, ids=""):
    lines = [f"From: {sender}", f"To: {to}", f"Subject: {subject}"]
    lines += [f"Date: {date}"] if date else []
    lines += [f"Cc: {cc}"] if cc else []
    return ("\r\n".join(lines) + f"\r\n{ids}\r\n" + "x" * size + "\r\n").encode()


def fill(imap, *mails):
    for number, one in enumerate(mails):
        imap.append("INBOX", one, date=f"{1 + number:2d}-Jul-2003 10:00:00 +0000")
    imap.select()


def sort(imap, criteria, keys="ALL", command="SORT"):
    return [int(one) for one in imap.ok(f"{command} ({criteria}) UTF-8 {keys}").one(b"SORT").split()]


def thread(imap, algorithm="REFERENCES", keys="ALL", command="THREAD"):
    return imap.ok(f"{command} {algorithm} UTF-8 {keys}").one(b"THREAD").decode()


@pytest.mark.smoke
def test_each_criterion(imap):
    """BASE.6.4.SORT"""
    fill(imap,
         mail("Re: beta", "Tue, 1 Jul 2003 10:00:00 +0200", "Zoe <anna@example.net>", "tom@example.net", "zed@example.net", 50),
         mail("alpha", "Tue, 1 Jul 2003 09:00:00 +0000", "Anna <zoe@example.net>", "sam@example.net", None, 10),
         mail("[list] Gamma (fwd)", "Tue, 1 Jul 2003 04:00:00 -0500", "<martin@example.net>", "Undisclosed:;", "ann@example.net", 30))
    assert sort(imap, "ARRIVAL") == [1, 2, 3] and sort(imap, "REVERSE ARRIVAL") == [3, 2, 1]
    assert sort(imap, "SUBJECT") == [2, 1, 3]
    assert sort(imap, "DATE") == [1, 2, 3], "2 and 3 are the same moment"
    assert sort(imap, "REVERSE DATE") == [2, 3, 1], "the order in the mailbox is not reversed"
    assert sort(imap, "FROM") == [1, 3, 2] and sort(imap, "DISPLAYFROM") == [2, 3, 1]
    assert sort(imap, "TO") == [2, 1, 3] and sort(imap, "DISPLAYTO") == [2, 1, 3]
    assert sort(imap, "CC") == [2, 3, 1] and sort(imap, "SIZE") == [2, 3, 1]
    assert sort(imap, "REVERSE SIZE", "1,3") == [1, 3] and sort(imap, "SIZE", "LARGER 100000") == []


def test_uids_numbers_and_several_criteria(imap):
    fill(imap, mail("c"), mail("b", size=9), mail("b", size=5), mail("a"))
    imap.ok("STORE 1 +FLAGS (\\Deleted)")
    imap.ok("EXPUNGE")
    assert sort(imap, "SUBJECT SIZE") == [3, 2, 1] and sort(imap, "SUBJECT SIZE", command="UID SORT") == [4, 3, 2]
    assert sort(imap, "SUBJECT REVERSE SIZE", "UID 2:3", "UID SORT") == [2, 3]


def test_texts_are_sorted_as_people_read_them(imap):
    """7: decoded, and i;unicode-casemap"""
    fill(imap, mail("=?utf-8?q?=C3=89b?="), mail("ea"), mail("=?iso-8859-1?q?=E9a?="), mail("F"), mail("eb"))
    assert sort(imap, "SUBJECT") == [2, 5, 3, 1, 4]


def test_a_date_that_cannot_be_read_is_that_of_arrival(imap):
    """2.2"""
    fill(imap, mail("a", "Wed, 2 Jul 2003 12:00:00 +0000"), mail("b", None), mail("c", "yesterday"), mail("d", "Thu, 3 Jul 2003 09:00:00 +0000"))
    assert sort(imap, "DATE") == [2, 1, 4, 3]  # the second came on 2 July at 10, the third on 3 July at 10


@pytest.mark.parametrize("unreadable", ["1 Jul 2003", "1 Jul 2003 25:00:00 +0000", "1 Jul 2003 10.52.37 +0100", "1 Jul 2003 10:61:00 +0100"])
def test_a_date_whose_time_cannot_be_read_is_that_day(imap, unreadable):
    """2.2: the time is 00:00:00 UTC; RFC 3501 section 6.4.4: the time is disregarded"""
    fill(imap, mail("a", "Tue, 1 Jul 2003 00:00:01 +0000"), mail("a", unreadable), mail("a", "Mon, 30 Jun 2003 23:59:59 +0000"))
    assert sort(imap, "DATE") == [3, 2, 1]
    assert thread(imap, "ORDEREDSUBJECT") == "(3 (2)(1))"
    assert sort(imap, "ARRIVAL", "SENTON 1-Jul-2003") == [1, 2] and sort(imap, "ARRIVAL", "SENTBEFORE 1-Jul-2003") == [3]


def test_zones_with_a_colon_and_leap_seconds(imap):
    fill(imap, mail("a", "Tue, 1 Jul 2003 10:52:37 +02:00"), mail("b", "Tue, 1 Jul 2003 08:52:36 +0000"),
         mail("c", "Tue, 1 Jul 2003 23:59:60 +0000"))
    assert sort(imap, "DATE") == [2, 1, 3]
    assert sort(imap, "ARRIVAL", "SENTON 1-Jul-2003") == [1, 2, 3]
    imap.append("INBOX", mail(), date=" 1-Jul-2003 23:59:60 +0000")
    assert imap.fetch(4, "INTERNALDATE")[4][b"INTERNALDATE"] == b" 1-Jul-2003 23:59:59 +0000"


def test_the_first_address_is_that_of_envelope(imap):
    """3: [IMAP] addr-mailbox of the first "To" address; several fields are one list there"""
    fields = ["To: zed@x.test", "To:\r\nTo: ann@x.test", "To: ,;\r\nTo:\r\nTo: mid@x.test\r\nTo: aaa@x.test",
              "From: \r\nFrom: ann@x.test\r\nTo: "]
    fill(imap, *(f"{to}\r\n{to.replace('To', 'Cc')}\r\n\r\n".encode() for to in fields))
    assert sort(imap, "TO") == sort(imap, "DISPLAYTO") == [4, 2, 3, 1]
    assert sort(imap, "CC") == [4, 2, 3, 1]
    assert sort(imap, "FROM") == [1, 2, 3, 4], "of several From fields the first one counts"


def test_sort_tells_the_highest_modseq(imap):
    """RFC 7162 section 3.1.9"""
    fill(imap, mail("b"), mail("a"))
    answer = imap.ok("SORT (SUBJECT) UTF-8 MODSEQ 1").one(b"SORT")
    assert re.fullmatch(rb"2 1 \(MODSEQ \d+\)", answer)
    assert imap.ok("SORT (SUBJECT) UTF-8 MODSEQ 999999").one(b"SORT") == b""


@pytest.mark.parametrize("command", ["SORT () UTF-8 ALL", "SORT (SUBJECT) ALL", "SORT (REVERSE) UTF-8 ALL", "SORT (NAME) UTF-8 ALL",
                                     "THREAD UTF-8 ALL", "THREAD REFS UTF-8 ALL", "THREAD REFERENCES UTF-8"])
def test_what_the_grammar_does_not_know_is_bad(imap, command):
    fill(imap, mail())
    imap.bad(command)


@pytest.mark.parametrize("command", ["SORT (SUBJECT) X-NO ALL", "THREAD REFERENCES X-NO ALL"])
def test_an_unknown_charset_is_refused(imap, command):
    fill(imap, mail())
    imap.no(command, code=b"BADCHARSET")


def test_an_empty_mailbox(imap):
    imap.select()
    assert sort(imap, "SUBJECT") == [] and thread(imap) == "" and thread(imap, "ORDEREDSUBJECT") == ""


# ---------------------------------------------------------------------- THREAD

def reply(number, *references, subject=None, date=None, in_reply_to=None):
    ids = f"Message-ID: <{number}@x>\r\n" if number else ""
    ids += "References: " + " ".join(f"<{one}@x>" for one in references) + "\r\n" if references else ""
    ids += f"In-Reply-To: <{in_reply_to}@x>\r\n" if in_reply_to else ""
    return mail(subject or f"subject {number}", date or f"Tue, 1 Jul 2003 10:{number or 59:02d}:00 +0000", ids=ids)


def test_ordered_subject(imap):
    fill(imap, mail("b", "Tue, 1 Jul 2003 10:03:00 +0000"), mail("Re: a", "Tue, 1 Jul 2003 10:02:00 +0000"),
         mail("a", "Tue, 1 Jul 2003 10:01:00 +0000"), mail("fwd: b", "Tue, 1 Jul 2003 10:04:00 +0000"),
         mail("[x] A", "Tue, 1 Jul 2003 10:05:00 +0000"))
    assert thread(imap, "ORDEREDSUBJECT") == "(3 (2)(5))(1 4)"
    assert thread(imap, "ORDEREDSUBJECT", "2:4", "UID THREAD") == "(3 2)(4)"


def test_references(imap):
    fill(imap, reply(1), reply(2, 1), reply(3, 1), reply(4, 1, 2), reply(5), reply(6, in_reply_to=5))
    assert thread(imap) == "(1 (2 4)(3))(5 6)"


@pytest.mark.parametrize("mails, expected", [
    ([reply(2, 1), reply(3, 1)], "((1)(2))"),                            # a dummy with two below it stays at the top
    ([reply(2, 1)], "(1)"),                                              # with one it goes
    ([reply(1), reply(3, 1, 2), reply(4, 1, 2)], "(1 (2)(3))"),          # below a message it is spliced out
    ([reply(1, 2), reply(2, 1)], "(2 1)"),                               # a loop is cut: the first to say so wins
    ([reply(1, 1)], "(1)"),
    ([reply(1), reply(1, subject="other"), reply(2, 1)], "(1 3)(2)"),    # the second of an id has an id of its own
    ([reply(0, subject="p"), reply(0, subject="q", date="Tue, 1 Jul 2003 10:00:00 +0000")], "(2)(1)"),
    ([reply(1), reply(3, 2, 1), reply(4, 3)], "(1 2 3)"),
    ([reply(3, subject="a"), reply(1, subject="a")], "((2)(1))"),        # 5.C: neither is a reply
    ([reply(3, subject="a"), reply(1, subject="Re: a")], "(1 2)"),       # a reply goes below the other
    ([reply(3, subject="Re: a"), reply(1, subject="Re: a")], "((2)(1))"),
    ([reply(2, 1, subject="a"), reply(3, 1, subject="a"), reply(4, subject="a")], "((1)(2)(3))"),
    ([reply(2, 1, subject="a"), reply(3, 1, subject="x"), reply(5, 4, subject="a"), reply(6, 4, subject="x")],
     "((1)(2)(3)(4))"),                                                  # two dummies of one subject become one
    ([reply(1, subject="Re: "), reply(2, subject="Re: ")], "(1)(2)"),    # no subject joins nothing
])
def test_references_of_special_kinds(imap, mails, expected):
    """REFERENCES, steps 1 to 6"""
    fill(imap, *mails)
    assert thread(imap) == expected


def test_ids_are_compared_without_their_quoting(imap):
    fill(imap, mail("a", ids='Message-ID: <"one"@x>\r\n'), mail("b", ids="References: <one@x>\r\n"),
         mail("c", ids="In-Reply-To: a word and <one@x> <other@x>\r\n"))
    assert thread(imap) == "(1 (2)(3))"


# ---------------------------------------------------------------------- many, against a plain reckoning

def number_of(text):
    return [int(one) for one in re.findall(r"\d+", text)]


@pytest.mark.parametrize("seed", range(6))
def test_sorting_of_many(imap, seed):
    chance = random.Random(seed)
    facts = [(chance.choice("abcdefgh"), chance.randrange(60), chance.randrange(3)) for _ in range(900)]
    mails = [mail(subject, f"Tue, 1 Jul 2003 10:{minute:02d}:00 +0000", size=100 * size) for subject, minute, size in facts]
    imap.ok(b"APPEND INBOX" + b"".join(b" {%d+}\r\n%b" % (len(one), one) for one in mails))
    imap.select()
    everyone = range(1, len(facts) + 1)
    assert sort(imap, "SUBJECT REVERSE DATE SIZE") == sorted(
        everyone, key=lambda n: (facts[n - 1][0], -facts[n - 1][1], facts[n - 1][2], n))
    assert sort(imap, "REVERSE SIZE SUBJECT") == sorted(everyone, key=lambda n: (-facts[n - 1][2], facts[n - 1][0], n))
    threads = thread(imap, "ORDEREDSUBJECT")
    assert sorted(number_of(threads)) == list(everyone)
    assert threads.count("(") == threads.count(")")


@pytest.mark.parametrize("seed", range(6))
def test_threading_of_many_names_each_message_once(imap, seed):
    chance = random.Random(seed)
    mails = []
    for number in range(1, 700):
        known = [chance.randrange(1, 700) for _ in range(chance.randrange(4))]
        mails.append(reply(0 if chance.random() < 0.1 else number % 600, *known, subject=chance.choice(["", "Re: "]) + chance.choice("abcdefghijklmnop"),
                           date=f"Tue, 1 Jul 2003 {number % 24:02d}:{number % 60:02d}:00 +0000"))
    imap.ok(b"APPEND INBOX" + b"".join(b" {%d+}\r\n%b" % (len(one), one) for one in mails))
    imap.select()
    found = thread(imap)
    assert sorted(number_of(found)) == list(range(1, 700))
    depth = 0
    for one in found:
        depth += {"(": 1, ")": -1}.get(one, 0)
        assert depth >= 0
    assert depth == 0 and "()" not in found and "( " not in found and " )" not in found


def test_of_very_many_references_the_last_ones_count(imap):
    fill(imap, reply(1), reply(2, *range(100, 1600), 1))
    assert thread(imap) == "(1 2)"


def test_strangers_ids_without_number_do_not_keep_mails_apart(imap):
    """Ids that only references know are passed over when there are too many; the others still count."""
    mails = [reply(0, *(f"{number}.{one}" for one in range(1000)), subject=f"s{number}") for number in range(25)]
    fill(imap, *mails, reply(1), reply(2, 1), reply(3, "unknown", 2))
    found = thread(imap)
    assert sorted(number_of(found)) == list(range(1, 29)) and "(26 27 28)" in found


def test_a_long_chain_is_threaded(imap):
    """No recursion; beyond a thousand levels the chain is cut."""
    mails = [reply(0, subject=f"s{number}").replace(b"\r\n\r\n", b"\r\nMessage-ID: <%d@y>\r\nReferences: <%d@y>\r\n\r\n" % (number, number - 1), 1)
             for number in range(1, 2500)]
    for start in (0, 1250):
        imap.ok(b"APPEND INBOX" + b"".join(b" {%d+}\r\n%b" % (len(one), one) for one in mails[start:start + 1250]))
    imap.select()
    assert sorted(number_of(thread(imap))) == list(range(1, 2500))
