"""Thunderbird, as its users use it: set up, read, reply, file, find and delete by IMAP, and fetch by POP3 in each of
its ways, and the server's, to leave mail there. What it did is looked up on the server."""

import contextlib
import functools
import re

import pytest

from harness.clock import DAY, Clock
from harness.material import message
from harness.programs import need
from thunderbird import Failed, Thunderbird

PASSWORD_OVER_TLS = 3  # nsMsgAuthMethod.passwordCleartext
STARTS_MAX = 4


class Supply:
    """The Thunderbird of a file's tests, and another one where that is of no more use."""

    def __init__(self, make_folder):
        self.make_folder = make_folder
        self.started = []

    def get(self):
        if self.started and self.started[-1].is_of_use():
            return self.started[-1]
        self.close()
        assert len(self.started) < STARTS_MAX, f"Thunderbird was of no use {STARTS_MAX} times"
        self.started.append(Thunderbird(self.make_folder()))
        return self.started[-1].start()

    def close(self):
        for one in self.started:
            one.stop()


@pytest.fixture(scope="module")
def supply(tmp_path_factory):
    need("thunderbird")
    with contextlib.closing(Supply(lambda: tmp_path_factory.mktemp("thunderbird"))) as one:
        yield one
        one.close()
        assert not [complaint for each in one.started if each.ready for complaint in each.complaints()]


@pytest.fixture
def thunderbird(supply):
    return supply.get()


@pytest.fixture
def set_up(server, thunderbird):
    """Makes accounts in Thunderbird: set_up(account, "imap", "TLS"). After the test they are left alone."""
    with contextlib.ExitStack() as made:
        def make(account, kind, tls, **options):
            one = thunderbird.set_up(server, account, kind, tls, **options)
            made.callback(lambda: thunderbird.is_of_use() and one.call("leave"))
            return one

        yield make


def on_server(server, account, mailbox="INBOX"):
    """{subject: flags} of a mailbox, without \\Recent; None where there is no such mailbox."""
    with server.imap(account) as imap:
        if mailbox.encode() not in imap.list():
            return None
        imap.select(mailbox, "EXAMINE")
        found = imap.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])").values()
        return {one[b"BODY[HEADER.FIELDS (SUBJECT)]"].decode().partition(":")[2].strip():
                set(one[b"FLAGS"]) - {b"\\Recent"} for one in found}


def wait_on_server(server, account, expected, mailbox="INBOX"):
    """Waits until a mailbox has exactly these messages, with these flags where a dictionary is given."""
    found = {}

    def is_so():
        found["last"] = on_server(server, account, mailbox) or {}
        return (found["last"] if isinstance(expected, dict) else set(found["last"])) == expected

    try:
        server.wait_for(is_so, f"{expected} in {mailbox}")
    except AssertionError:
        assert found["last"] == expected


def get_messages(server, mine, subjects, folder="INBOX"):
    """Has Thunderbird ask an IMAP server, and waits until it has exactly these messages. A busy folder passes over
    being asked, so it is asked again."""
    for _ in range(30):
        mine.call("askForMessages", folder)
        with contextlib.suppress(AssertionError):
            server.wait_for(lambda: mine.subjects(folder) == sorted(subjects), f"{subjects} in Thunderbird", seconds=2)
            return
    assert mine.subjects(folder) == sorted(subjects)


def stored(server, account, mailbox, subject):
    """A message as the server has it."""
    with server.imap(account) as imap:
        imap.select(mailbox, "EXAMINE")
        number = imap.search(f'SUBJECT "{subject}"')[0]
        return imap.fetch(number, "(BODY.PEEK[])")[number][b"BODY[]"]


def fetched(mine, folder, subject):
    """A message as Thunderbird has it, without the lines that it puts before messages in its own files."""
    lines = mine.call("source", folder, subject).encode("latin-1").splitlines()
    return b"".join(line + b"\r\n" for line in lines if not re.match(rb"X-Mozilla-|From - ", line))


# ---------------------------------------------------------------------- IMAP

@pytest.mark.parametrize("tls", ["TLS", "STARTTLS"])
def test_imap_is_set_up_and_mail_is_received_and_read(server, account, set_up, tls):
    server.deliver(account, message(subject="Good morning", body="Is it raining?\r\n"))
    server.deliver(account, message(subject="=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", body="Hello.\r\n"))
    mine = set_up(account, "imap", tls)
    assert mine.authentication[0] == PASSWORD_OVER_TLS
    get_messages(server, mine, ["Good morning", "Grüße"])
    assert not any(one["read"] for one in mine.messages().values())
    shown = mine.call("open", "INBOX", "Good morning")
    assert "Is it raining?" in shown["body"] and "sender@example.net" in shown["from"]
    wait_on_server(server, account, {"Good morning": {b"\\Seen"}, "=?utf-8?Q?Gr=C3=BC=C3=9Fe?=": set()})
    assert fetched(mine, "INBOX", "Good morning") == stored(server, account, "INBOX", "Good morning")
    assert {"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"} <= set(mine.call("folders"))


def test_a_wrong_password_is_refused_at_set_up(server, account, set_up):
    account.password = "another"
    with pytest.raises(Failed, match="Unable to log in"):
        set_up(account, "imap", "TLS")


@pytest.mark.parametrize("condstore", [False, True], ids=["all flags read", "CONDSTORE"])
def test_flags_go_both_ways(server, account, thunderbird, set_up, condstore):
    for subject in ("one", "two", "three"):
        server.deliver(account, message(subject=subject))
    said_before = len(thunderbird.imap_log.read_bytes())
    mine = set_up(account, "imap", "TLS", use_condstore=condstore)
    get_messages(server, mine, ["one", "two", "three"])
    mine.call("command", "INBOX", ["one", "two"], "cmd_markAsFlagged")
    mine.call("command", "INBOX", ["two", "three"], "cmd_markAsRead")
    mine.call("command", "INBOX", ["three"], "cmd_tag1")
    wait_on_server(server, account, {"one": {b"\\Flagged"}, "two": {b"\\Flagged", b"\\Seen"},
                                     "three": {b"\\Seen", b"$label1"}})
    mine.call("command", "INBOX", ["two"], "cmd_markAsFlagged")
    mine.call("command", "INBOX", ["two"], "cmd_markAsUnread")
    wait_on_server(server, account, {"one": {b"\\Flagged"}, "two": set(), "three": {b"\\Seen", b"$label1"}})
    with server.imap(account) as imap:
        imap.select()
        imap.ok("STORE 1 FLAGS (\\Seen \\Answered)")
    mine.call("askForMessages", "INBOX")
    server.wait_for(lambda: mine.messages()["one"]["replied"], "flags of the server's side in Thunderbird")
    assert mine.messages()["one"]["read"] and not mine.messages()["one"]["flagged"]
    assert (b"CHANGEDSINCE" in thunderbird.imap_log.read_bytes()[said_before:]) == condstore


def test_mail_is_moved_and_deleted_to_trash(server, account, set_up):
    for subject in ("keep", "file", "throw away"):
        server.deliver(account, message(subject=subject))
    mine = set_up(account, "imap", "TLS")
    get_messages(server, mine, ["keep", "file", "throw away"])
    mine.call("createFolder", "Projects")
    mine.call("takeOut", "INBOX", ["file"], "cmd_moveMessage", "Projects")
    wait_on_server(server, account, {"file"}, "Projects")
    mine.call("takeOut", "INBOX", ["throw away"], "cmd_deleteMessage")
    wait_on_server(server, account, {"throw away"}, "Trash")
    wait_on_server(server, account, {"keep"})
    for folder, subjects in (("Projects", ["file"]), ("Trash", ["throw away"]), ("INBOX", ["keep"])):
        get_messages(server, mine, subjects, folder)
    mine.call("takeOut", "Trash", ["throw away"], "cmd_shiftDeleteMessage")
    server.wait_for(lambda: not {subject for subject, flags in on_server(server, account, "Trash").items()
                                 if b"\\Deleted" not in flags}, "an empty Trash")


def test_the_server_searches(server, account, set_up):
    server.deliver(account, message(subject="invoice 17", body="The sum is 4711 euros.\r\n"))
    server.deliver(account, message(subject="invoice 18", body="Nothing to pay.\r\n", sender="shop@example.org"))
    server.deliver(account, message(subject="holidays", body="4711 miles from here.\r\n"))
    mine = set_up(account, "imap", "TLS")
    get_messages(server, mine, ["invoice 17", "invoice 18", "holidays"])

    def search(*terms):
        return sorted(mine.call("search", "INBOX", terms))

    assert search(["Subject", "Contains", "invoice"]) == ["invoice 17", "invoice 18"]
    assert search(["Sender", "Contains", "shop@"]) == ["invoice 18"]
    assert search(["Body", "Contains", "4711"]) == ["holidays", "invoice 17"]
    assert search(["Subject", "Contains", "invoice"], ["Body", "Contains", "4711"]) == ["invoice 17"]
    assert search(["Subject", "Contains", "invoice"], ["Body", "DoesntContain", "4711"]) == ["invoice 18"]
    assert search(["Subject", "Contains", "Nothing"]) == []


def test_what_others_change_is_noticed_by_idle(server, account, tmp_path):
    need("thunderbird")
    server.deliver(account, message(subject="old"))
    with Thunderbird(tmp_path) as alone:  # so that it is this account that idles
        mine = alone.set_up(server, account, "imap", "TLS")
        get_messages(server, mine, ["old"])
        server.wait_for(alone.idles, "IDLE")
        notices_what_others_change(server, account, mine)


def notices_what_others_change(server, account, mine):
    """Without being asked to ask."""
    server.deliver(account, message(subject="new"))
    server.wait_for(lambda: mine.subjects() == ["new", "old"], "the new message in Thunderbird")
    with server.imap(account) as imap:
        imap.select()
        imap.ok("STORE 2 +FLAGS (\\Seen)")
        server.wait_for(lambda: mine.messages()["new"]["read"], "the flag in Thunderbird")
        imap.ok("STORE 1 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    server.wait_for(lambda: mine.subjects() == ["new"], "the end of the old message in Thunderbird")


# ---------------------------------------------------------------------- sending

@pytest.mark.smoke
@pytest.mark.parametrize("service,tls", [("submissions", "TLS"), ("submission", "STARTTLS")])
def test_a_reply_is_submitted(server, account, set_up, service, tls):
    other = server.add_account()
    server.deliver(account, message(subject="A question", body="Are you there?\r\n", sender=other.address))
    mine = set_up(account, "imap", "TLS", outgoing=(service, "smtp", tls))
    assert mine.authentication == (PASSWORD_OVER_TLS, PASSWORD_OVER_TLS)
    get_messages(server, mine, ["A question"])
    mine.call("reply", "INBOX", "A question", "Yes, I am.")
    wait_on_server(server, other, {"Re: A question": set()})
    received = stored(server, other, "INBOX", "Re: A question")
    question = re.search(rb"(?mi)^Message-ID: (\S+)", stored(server, account, "INBOX", "A question")).group(1)
    assert re.search(rb"(?m)^In-Reply-To: " + re.escape(question), received)
    assert re.search(rb"(?m)^From: .*<" + account.address.encode() + rb">", received)
    assert b"Yes, I am." in received and b"> Are you there?" in received
    # what it replied to is marked, and a copy stands in Sent
    wait_on_server(server, account, {"A question": {b"\\Seen", b"\\Answered"}})
    wait_on_server(server, account, {"Re: A question": {b"\\Seen"}}, "Sent")
    assert b"Yes, I am." in stored(server, account, "Sent", "Re: A question")


# ---------------------------------------------------------------------- POP3

LEAVE = "leave_on_server"
DAYS = "num_days_to_leave_on_server"
BY_AGE = "delete_by_age_from_server"
WHEN_DELETED = "delete_mail_left_on_server"

# what is new, and what Thunderbird then has
TWO_ROUNDS = [(["one", "two"], ["one", "two"]), (["three", "four"], ["one", "two", "three", "four"])]


def set_up_pop3(set_up, account, tls="TLS", **settings):
    mine = set_up(account, "pop3", tls)
    mine.call("configure", {LEAVE: False, BY_AGE: False, WHEN_DELETED: False, DAYS: 7, **settings})
    return mine


def fetch_messages(mine, subjects):
    """Has Thunderbird fetch what a POP3 server has, and looks that it then has exactly these messages."""
    mine.call("fetchMessages")
    assert mine.subjects() == sorted(subjects)


def uids(server, account):
    """The unique ids of what POP3 shows."""
    with server.pop3(account) as pop3:
        found = list(pop3.uidl().values())
        pop3.ok("QUIT")
        return [one.decode() for one in found]


def fetched_so_long_ago(mine, uid, days):
    """Tells Thunderbird that it fetched a message so many days ago: it notes when, a line a message."""
    path = mine.local_folder() / "popstate.dat"
    text = path.read_text()
    found = re.search(rf"(?m)^k {re.escape(uid)} (\d+)", text)
    path.write_text(text.replace(found.group(), f"k {uid} {int(found.group(1)) - days * 86400}"))


@pytest.mark.parametrize("tls", ["TLS", "STARTTLS"])
def test_pop3_fetches_and_deletes(server, account, set_up, tls):
    mine = set_up_pop3(set_up, account, tls)
    for new, all_of_them in TWO_ROUNDS:
        for subject in new:
            server.deliver(account, message(subject=subject, body=f".\r\n..\r\n{subject}\r\n"))
        fetch_messages(mine, all_of_them)
        wait_on_server(server, account, {})
    fetch_messages(mine, all_of_them)
    assert fetched(mine, "INBOX", "three").endswith(b"\r\n\r\n.\r\n..\r\nthree\r\n")


def test_pop3_leaves_mail_on_the_server(server, account, set_up):
    mine = set_up_pop3(set_up, account, **{LEAVE: True})
    server.deliver(account, message(subject="one"))
    server.deliver(account, message(subject="two"))
    fetch_messages(mine, ["one", "two"])
    fetch_messages(mine, ["one", "two"])
    before = uids(server, account)
    server.deliver(account, message(subject="three"))
    fetch_messages(mine, ["one", "two", "three"])
    fetch_messages(mine, ["one", "two", "three"])
    assert set(on_server(server, account)) == {"one", "two", "three"} and uids(server, account)[:2] == before


def test_pop3_deletes_on_the_server_what_is_deleted_in_thunderbird(server, account, set_up):
    mine = set_up_pop3(set_up, account, **{LEAVE: True, WHEN_DELETED: True})
    for subject in ("one", "two"):
        server.deliver(account, message(subject=subject))
    fetch_messages(mine, ["one", "two"])
    mine.call("takeOut", "INBOX", ["one"], "cmd_deleteMessage")
    fetch_messages(mine, ["two"])
    wait_on_server(server, account, {"two"})


def test_pop3_leaves_mail_for_days(server, account, set_up):
    mine = set_up_pop3(set_up, account, **{LEAVE: True, BY_AGE: True, DAYS: 3})
    for subject in ("one", "two"):
        server.deliver(account, message(subject=subject))
    fetch_messages(mine, ["one", "two"])
    old, _ = uids(server, account)
    fetched_so_long_ago(mine, old, days=2)
    server.deliver(account, message(subject="three"))
    fetch_messages(mine, ["one", "two", "three"])
    wait_on_server(server, account, {"one", "two", "three"})
    fetched_so_long_ago(mine, old, days=2)
    server.deliver(account, message(subject="four"))
    fetch_messages(mine, ["one", "two", "three", "four"])
    wait_on_server(server, account, {"two", "three", "four"})
    assert old not in uids(server, account)
    fetch_messages(mine, ["one", "two", "three", "four"])


def server_mode(server, account, mode, *options):
    server.cli("account", "pop3", account.address, "--mode", mode, *options)


def test_pop3_where_the_server_deletes_what_was_fetched(server, account, set_up):
    server_mode(server, account, "delete")
    mine = set_up_pop3(set_up, account, **{LEAVE: True})
    for new, all_of_them in TWO_ROUNDS:
        for subject in new:
            server.deliver(account, message(subject=subject))
        fetch_messages(mine, all_of_them)
        wait_on_server(server, account, {})
    fetch_messages(mine, all_of_them)


def test_pop3_where_the_server_keeps_what_is_deleted(server, account, set_up):
    server_mode(server, account, "keep")
    mine = set_up_pop3(set_up, account)
    for new, all_of_them in TWO_ROUNDS:
        for subject in new:
            server.deliver(account, message(subject=subject))
        fetch_messages(mine, all_of_them)
        wait_on_server(server, account, set(all_of_them))
        assert uids(server, account) == []
    fetch_messages(mine, all_of_them)


@pytest.fixture
def clock():
    with contextlib.closing(Clock()) as one:
        yield one


@pytest.mark.plain
@pytest.mark.parametrize("leaves", [True, False], ids=["left", "deleted"])
def test_pop3_where_the_server_keeps_mail_for_days(fresh_server, thunderbird, clock, leaves):
    server = fresh_server({"pop3": {"mode": "days", "days": 14}}, environment=clock.environment)
    account = server.add_account()
    mine = set_up_pop3(functools.partial(thunderbird.set_up, server), account, **{LEAVE: leaves})
    left = ["one", "two"], ["one", "two", "three", "four"], ["three", "four"]
    for (new, all_of_them), day, on_the_server in zip([*TWO_ROUNDS, ([], TWO_ROUNDS[1][1])], (0, 10, 20), left):
        clock.set(day * DAY)
        for subject in new:
            server.deliver(account, message(subject=subject))
        server.cli("store", "compact")  # and with it all that shards do in the background
        fetch_messages(mine, all_of_them)
        wait_on_server(server, account, set(on_the_server))
    clock.set(30 * DAY)
    server.cli("store", "compact")
    wait_on_server(server, account, {})
