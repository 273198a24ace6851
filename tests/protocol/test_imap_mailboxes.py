"""IMAP's mailboxes: list, create, delete, rename, subscribe, status, select. RFC 3501 section 6.3"""

import datetime

import pytest

from harness import wire
from harness.material import message

SPECIAL = {b"Drafts": b"\\drafts", b"Sent": b"\\sent", b"Trash": b"\\trash", b"Junk": b"\\junk",
           b"Archive": b"\\archive"}


@pytest.fixture
def imap(server, account):
    with server.imap(account) as client:
        yield client


@pytest.mark.smoke
def test_a_new_account_has_inbox_and_the_special_mailboxes(imap):
    listed = imap.list("*")
    assert set(listed) == {b"INBOX", *SPECIAL}
    for name, use in SPECIAL.items():
        assert use in listed[name]


def test_list_selects_special_use(imap):
    """RFC 6154 section 5.2"""
    answer = imap.ok('LIST (SPECIAL-USE) "" "*"')
    assert len(answer.all(b"LIST")) == len(SPECIAL)
    answer = imap.ok('LIST "" "*" RETURN (SPECIAL-USE)')
    assert len(answer.all(b"LIST")) == len(SPECIAL) + 1


def test_list_of_nothing_gives_the_delimiter(imap):
    attributes, delimiter, name = wire.parse(imap.ok('LIST "" ""').one(b"LIST"))
    assert delimiter == b"/" and name == b"" and b"\\noselect" in [one.lower() for one in attributes]


def test_percent_stays_on_one_level_and_star_does_not(imap):
    for name in ("a", "a/b", "a/b/c", "ax"):
        imap.command("CREATE ", wire.quoted(name))
    assert set(imap.list("a%")) == {b"a", b"ax"}
    assert set(imap.list("a*")) == {b"a", b"a/b", b"a/b/c", b"ax"}
    assert set(imap.list("a/%")) == {b"a/b"}
    assert set(imap.list("%/%")) == {b"a/b"}
    assert set(imap.list("b*", reference="a/")) == {b"a/b", b"a/b/c"}
    assert set(imap.list("%/c")) == set()
    assert set(imap.list("inbox")) == {b"INBOX"}


@pytest.mark.parametrize("pattern", ["a&b", "R&D*", "&AO*", "%&", "&!!-"])
def test_a_pattern_need_not_be_modified_utf7(imap, pattern):
    """RFC 3501 section 6.3.8: a pattern may be part of a name, and to match nothing is no error."""
    imap.ok("LIST \"\" ", wire.quoted(pattern))


def test_names_are_listed_in_order_whatever_follows_a_level(imap):
    """A space, a hyphen and others come before the separator: below the name is not behind it."""
    names = ["a/z", "a b/c", "a-b", "a", "a.x/y", "a0", "a/b/c", "a b c/d/e"]
    for name in names:
        imap.command("SUBSCRIBE ", wire.quoted(name))
        imap.command("CREATE ", wire.quoted(name))
    imap.ok("DELETE a")
    imap.command("DELETE ", wire.quoted("a b"))
    listed = [wire.parse(line)[2] for line in imap.ok('LIST "" "a*" RETURN (SUBSCRIBED)').all(b"LIST")]
    parents = {"/".join(name.split("/")[:n]) for name in names for n in range(1, name.count("/") + 1)}
    assert listed == sorted(name.encode() for name in {*names, *parents})
    assert b"\\haschildren" in imap.list("a%")[b"a"]


def test_wildcards_that_follow_each_other_are_one(imap):
    imap.ok("CREATE a/b/c")
    assert set(imap.list("a%%%")) == {b"a"}
    assert set(imap.list("a%*%")) == set(imap.list("a" + "*%" * 300)) == {b"a", b"a/b", b"a/b/c"}
    assert set(imap.list("%%/%%/%*")) == {b"a/b/c"}


def test_children_are_told(imap):
    imap.ok("CREATE parent/child")
    listed = imap.list("*")
    assert b"\\haschildren" in listed[b"parent"] and b"\\hasnochildren" in listed[b"parent/child"]
    assert b"\\hasnochildren" in listed[b"INBOX"]


def test_create_makes_the_levels_above(imap):
    imap.ok("CREATE one/two/three")
    assert {b"one", b"one/two", b"one/two/three"} <= set(imap.list("*"))


def test_create_with_a_trailing_separator(imap):
    imap.ok("CREATE later/")
    imap.ok("CREATE later/one")
    assert b"later/one" in imap.list("*")


def test_create_of_what_exists_is_no(imap):
    imap.ok("CREATE twice")
    imap.no("CREATE twice", code=b"ALREADYEXISTS")
    imap.no("CREATE INBOX")
    imap.no("CREATE iNbOx")


@pytest.mark.parametrize("name", ["", "/", "a//b", "/a", "a\x01b", "x" * 2000, "/".join("d" * 25)])
def test_impossible_names_are_refused(imap, name):
    assert imap.command("CREATE ", wire.quoted(name)).status in (b"NO", b"BAD")
    imap.ok("NOOP")


@pytest.mark.parametrize("name", ["Entw&APw-rfe", "&U,BTFw-/&ZeVnLIqe-", "A &- B", "with space", 'quo"te',
                                  "back\\slash"])
def test_names_come_back_as_they_were_given(imap, name):
    """RFC 3501 section 5.1.3: modified UTF-7."""
    imap.ok("CREATE ", wire.quoted(name))
    assert name.encode() in imap.list("*")
    imap.append(name, message())
    assert imap.status(name, "MESSAGES") == {b"MESSAGES": 1}
    imap.select(name)


@pytest.mark.parametrize("name", [b"a&b", b"&AGE-", b"&", b"&!!-", b"\xff\xfe"])
def test_names_that_are_not_modified_utf7_are_refused(imap, name):
    assert imap.command(b"CREATE ", wire.quoted(name)).status in (b"NO", b"BAD")
    imap.ok("NOOP")


def test_names_are_case_sensitive_but_inbox(imap):
    imap.ok("CREATE Work")
    imap.ok("CREATE work")
    imap.no("SELECT WORK", code=b"NONEXISTENT")
    imap.select("iNBOX")


def test_delete_takes_the_mails_and_the_name(imap):
    imap.ok("CREATE gone")
    imap.append("gone", message())
    validity = imap.status("gone", "UIDVALIDITY")[b"UIDVALIDITY"]
    imap.ok("DELETE gone")
    assert b"gone" not in imap.list("*")
    imap.no("SELECT gone", code=b"NONEXISTENT")
    imap.no("DELETE gone", code=b"NONEXISTENT")
    imap.ok("CREATE gone")
    again = imap.status("gone", "MESSAGES UIDVALIDITY")
    assert again[b"MESSAGES"] == 0 and again[b"UIDVALIDITY"] > validity


def test_inbox_cannot_be_deleted(imap):
    imap.no("DELETE INBOX")
    imap.no("DELETE inbox")


def test_delete_keeps_the_levels_below(imap):
    imap.ok("CREATE up/down")
    imap.append("up/down", message())
    imap.ok("DELETE up")
    listed = imap.list("*")
    assert b"up/down" in listed
    if b"up" in listed:
        assert listed[b"up"] & {b"\\noselect", b"\\nonexistent"}
    assert imap.status("up/down", "MESSAGES") == {b"MESSAGES": 1}


def test_rename_takes_mails_and_levels_below_along(imap):
    imap.ok("CREATE old/sub")
    imap.append("old/sub", message())
    imap.append("old", message())
    before = imap.status("old", "UIDVALIDITY UIDNEXT")
    imap.ok("RENAME old new/place")
    listed = imap.list("*")
    assert {b"new/place", b"new/place/sub"} <= set(listed) and not {b"old", b"old/sub"} & set(listed)
    assert imap.status("new/place/sub", "MESSAGES") == {b"MESSAGES": 1}
    after = imap.status("new/place", "UIDVALIDITY UIDNEXT MESSAGES")
    assert after[b"MESSAGES"] == 1 and after[b"UIDNEXT"] >= before[b"UIDNEXT"]


def test_rename_refuses_what_cannot_be(imap):
    imap.ok("CREATE a/b")
    imap.ok("CREATE c")
    imap.no("RENAME a c", code=b"ALREADYEXISTS")
    imap.no("RENAME nothing else", code=b"NONEXISTENT")
    imap.no("RENAME a a/b/d")
    imap.no("RENAME a INBOX")


def test_rename_takes_no_level_below_over_the_limit(imap):
    imap.ok("CREATE top/" + "/".join("d" * 18))
    imap.ok("RENAME top up/top")
    imap.no("RENAME up one/up", code=b"LIMIT")
    imap.no("RENAME up/top up/to/top", code=b"LIMIT")
    imap.ok("RENAME up/top top")


def test_a_rename_of_ten_thousand_is_seen_whole_or_not_at_all(server, account, imap):
    """RFC 3501 section 6.3.5, RFC 9051 section 6.3.6: up to imap.max_mailboxes. Their rows follow in slices."""
    count = 9900

    def tops(client):
        names = [name for name in client.list() if name[-4:].isdigit()]
        assert len(names) == count
        return {name[:-5] for name in names}

    for start in range(0, count, 900):
        imap.line.send(b"".join(b"c CREATE top/%04d\r\n" % n for n in range(start, start + 900)))
        for _ in range(900):
            assert imap.read_response().startswith(b"c OK")
    imap.append("top/5000", message())
    with server.imap(account) as other:
        other.select("top/5000")
        for old, new, moved in ((b"top", b"else/where", b"else/where"), (b"else", b"top", b"top/where")):
            before = tops(other)
            tag = imap.send(b"RENAME " + old + b" " + new)
            assert tops(other) in (before, {moved})
            other.append("INBOX", message())
            other.ok("CREATE new")
            other.ok("RENAME new newer")
            other.ok("DELETE newer")
            answer = imap.wait(tag)
            assert answer.status == b"OK", answer
            assert tops(other) == tops(imap) == {moved}
        assert other.search("ALL") == [1], "a mailbox that is selected only has another name"
    assert imap.status("top/where/5000", "MESSAGES") == {b"MESSAGES": 1}


def test_rename_of_inbox_moves_its_mails_and_leaves_it(imap):
    """RFC 3501 section 6.3.5"""
    imap.append("INBOX", message())
    imap.ok("CREATE INBOX/kept")
    imap.ok("RENAME INBOX moved")
    assert imap.status("moved", "MESSAGES") == {b"MESSAGES": 1}
    assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 0}
    assert b"INBOX/kept" in imap.list("*")


def test_rename_of_a_large_inbox_is_done_in_slices(server, account, imap):
    """RFC 3501 section 6.3.5; what is delivered meanwhile stays in INBOX"""
    one = message()
    for _ in range(6):
        imap.ok(b"APPEND INBOX" + b"".join(b" (\\Seen) {%d+}\r\n%b" % (len(one), one) for _ in range(2000)))
    imap.no("RENAME INBOX Sent", code=b"ALREADYEXISTS")
    imap.no("RENAME INBOX " + "/".join("x" * 60), code=b"LIMIT")
    imap.select()
    with server.imap(account) as other:
        tag = imap.send("RENAME INBOX down/here")
        other.append("INBOX", message(subject="new"))
        answer = imap.wait(tag)
        assert answer.status == b"OK", answer
        sizes = [imap.status(name, "MESSAGES UNSEEN") for name in ("INBOX", "down/here")]
        assert sum(one[b"MESSAGES"] for one in sizes) == 12001
        assert sizes[1][b"MESSAGES"] - sizes[1][b"UNSEEN"] == 12000
        assert len(imap.search("ALL")) == sizes[0][b"MESSAGES"] and b"down" in other.list()


def test_subscriptions_are_a_list_of_their_own(imap):
    imap.ok("CREATE news/one")
    imap.ok("SUBSCRIBE news/one")
    assert b"news/one" in imap.list("*", command="LSUB")
    imap.ok("UNSUBSCRIBE news/one")
    assert b"news/one" not in imap.list("*", command="LSUB")


def test_a_subscription_outlives_its_mailbox(imap):
    """RFC 3501 section 6.3.6"""
    imap.ok("CREATE brief")
    imap.ok("SUBSCRIBE brief")
    imap.ok("DELETE brief")
    assert imap.list("*", command="LSUB")[b"brief"] == set(), "\\Noselect would say: not subscribed"
    imap.ok("UNSUBSCRIBE brief")
    assert b"brief" not in imap.list("*", command="LSUB")


def test_lsub_percent_shows_the_unsubscribed_parent(imap):
    """RFC 3501 section 6.3.9"""
    imap.ok("CREATE foo/bar")
    imap.ok("SUBSCRIBE foo/bar")
    listed = imap.list("%", command="LSUB")
    assert b"\\noselect" in listed[b"foo"]


def test_select_tells_all_it_must(server, account, imap):
    server.deliver(account, message())
    imap.append("INBOX", message(), flags="\\Seen")
    answer = imap.select()
    codes = answer.codes()
    assert answer.numbered(b"EXISTS") == [2] and len(answer.numbered(b"RECENT")) == 1
    assert {b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Seen",
            b"\\Draft"} <= set(wire.parse(answer.one(b"FLAGS"))[0])
    assert codes[b"UNSEEN"] == b"1" and codes[b"UIDNEXT"] == b"3" and int(codes[b"UIDVALIDITY"]) > 0
    assert b"\\*" in codes[b"PERMANENTFLAGS"] and answer.code == b"READ-WRITE"


def test_examine_changes_nothing(server, account, imap):
    server.deliver(account, message())
    answer = imap.select(command="EXAMINE")
    assert answer.code == b"READ-ONLY" and answer.numbered(b"RECENT") == [1]
    imap.fetch("1", "(BODY[])")
    imap.no("STORE 1 +FLAGS (\\Flagged)")
    imap.no("EXPUNGE")
    imap.ok("CLOSE")
    answer = imap.select()
    assert answer.numbered(b"RECENT") == [1], "EXAMINE takes no \\Recent away"
    assert b"\\Seen" not in imap.flags()[1]


def test_recent_is_told_to_one_session_only(server, account, imap):
    server.deliver(account, message())
    assert imap.select().numbered(b"RECENT") == [1]
    assert b"\\Recent" in imap.flags()[1]
    with server.imap(account) as other:
        assert other.select().numbered(b"RECENT") == [0]
        assert b"\\Recent" not in other.flags()[1]


def test_a_mail_that_examine_hears_of_first_is_recent_and_stays_so(server, account, imap):
    """RFC 3501 section 2.3.2"""
    imap.select(command="EXAMINE")
    server.deliver(account, message())
    answer = imap.ok("NOOP")
    assert answer.numbered(b"EXISTS") == [1] and answer.numbered(b"RECENT") == [1]
    assert b"\\Recent" in imap.flags()[1]
    with server.imap(account) as other:
        assert other.select().numbered(b"RECENT") == [1]


def test_a_failed_select_leaves_nothing_selected(imap):
    imap.select()
    imap.no("SELECT nowhere", code=b"NONEXISTENT")
    imap.bad("FETCH 1 FLAGS")


def test_status_counts_without_selecting(server, account, imap):
    server.deliver(account, message())
    imap.append("INBOX", message(), flags="\\Seen")
    status = imap.status("INBOX", "MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN")
    assert status[b"MESSAGES"] == 2 and status[b"UNSEEN"] == 1 and status[b"UIDNEXT"] == 3
    imap.no("STATUS nowhere (MESSAGES)", code=b"NONEXISTENT")
    imap.bad("STATUS INBOX (FROB)")
    imap.bad("STATUS INBOX ()")
    imap.bad("STATUS INBOX MESSAGES")


def test_unselect_does_not_expunge_and_close_does(imap):
    imap.append("INBOX", message(), flags="\\Deleted")
    imap.select()
    imap.ok("UNSELECT")
    assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 1}
    imap.select()
    answer = imap.ok("CLOSE")
    assert answer.numbered(b"EXPUNGE") == []
    assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 0}


def test_mailboxes_survive_a_restart(fresh_server):
    server = fresh_server()
    account = server.add_account()
    with server.imap(account) as imap:
        imap.ok("CREATE kept/one")
        imap.ok("SUBSCRIBE kept/one")
        imap.append("kept/one", message(), flags="\\Flagged $Label", date="17-Jul-1996 02:44:25 -0700")
        before = imap.status("kept/one", "MESSAGES UIDNEXT UIDVALIDITY UNSEEN")
    server.restart()
    with server.imap(account) as imap:
        assert imap.status("kept/one", "MESSAGES UIDNEXT UIDVALIDITY UNSEEN") == before
        assert b"kept/one" in imap.list("*", command="LSUB")
        imap.select("kept/one")
        one = imap.fetch("1", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]
        assert {b"\\Flagged", b"$Label"} <= set(one[b"FLAGS"]) and one[b"BODY[]"] == message()
        assert one[b"INTERNALDATE"] == b"17-Jul-1996 02:44:25 -0700" or b"1996" in one[b"INTERNALDATE"]


# ---------------------------------------------------------------------- what a mailbox and a mail are, whatever their names

def mailbox_id(answer):
    return answer.codes()[b"MAILBOXID"]


def test_a_mailbox_has_an_id_that_stays(imap):
    """RFC 8474 section 4"""
    made = mailbox_id(imap.ok("CREATE here"))
    assert mailbox_id(imap.select("here")) == made == mailbox_id(imap.select("here", "EXAMINE"))
    imap.ok("RENAME here there")
    assert imap.ok("STATUS there (MAILBOXID)").untagged == [b"* STATUS there (MAILBOXID " + made + b")"]
    listed = imap.ok('LIST "" "*" RETURN (STATUS (MAILBOXID))').all(b"STATUS")
    ids = [line.split()[-1] for line in listed]
    assert len(ids) == len(set(ids)) and len(ids) == len(SPECIAL) + 2
    imap.ok("DELETE there")
    assert mailbox_id(imap.ok("CREATE there")) != made


def test_a_mail_has_an_id_that_its_copies_share(imap):
    """RFC 8474 sections 5 and 6; threads have none here"""
    for number in range(3):
        imap.append("INBOX", message(subject=f"mail {number}"))
    imap.select()
    found = imap.fetch("1:3", "(EMAILID THREADID)")
    ids = [found[number][b"EMAILID"][0] for number in (1, 2, 3)]
    assert len(set(ids)) == 3 and all(found[number][b"THREADID"] is None for number in found)
    assert imap.search(f"EMAILID {ids[1].decode()}") == [2] and imap.search("EMAILID x") == [] == imap.search("EMAILID M0")
    assert imap.search("THREADID T1") == [] and imap.search("NOT THREADID T1") == [1, 2, 3]
    imap.ok("COPY 1 Archive")
    imap.ok("MOVE 2 Archive")
    imap.select("Archive")
    found = imap.fetch("1:2", "(EMAILID)")
    assert [found[number][b"EMAILID"][0] for number in (1, 2)] == ids[:2]


def test_savedate_is_when_a_mail_came_into_the_mailbox(imap):
    """RFC 8514"""
    imap.append("INBOX", message(), date="17-Jul-1996 02:44:25 -0700")
    imap.select()
    one = imap.fetch("1", "(INTERNALDATE SAVEDATE)")[1]
    day = datetime.datetime.strptime(one[b"SAVEDATE"].decode().strip(), "%d-%b-%Y %H:%M:%S %z")
    assert one[b"INTERNALDATE"] == b"17-Jul-1996 02:44:25 -0700"
    assert abs((datetime.datetime.now(datetime.timezone.utc) - day).total_seconds()) < 600
    today, tomorrow = (f"{(day + datetime.timedelta(days=n)):%d-%b-%Y}" for n in (0, 1))
    assert imap.search(f"SAVEDON {today}") == [1] == imap.search(f"SAVEDSINCE {today}") == imap.search("SAVEDATESUPPORTED")
    assert imap.search(f"SAVEDBEFORE {today}") == [] == imap.search(f"SAVEDON {tomorrow}") == imap.search("SAVEDON 17-Jul-1996")
    assert imap.search(f"SAVEDBEFORE {tomorrow}") == [1]


def test_appendlimit_is_the_largest_message(server, imap):
    """RFC 7889"""
    limit = imap.status("INBOX", "APPENDLIMIT")[b"APPENDLIMIT"]
    imap.no(b"APPEND INBOX {%d}" % (limit + 1), code=b"TOOBIG")
    assert b"APPENDLIMIT" in imap.ok("CAPABILITY").one(b"CAPABILITY").split()
