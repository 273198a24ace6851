"""What becomes of messages that POP3 clients retrieve and delete: base/pop3_policy.h, docs/pop3.md. Settings of server,
domain, account and app password; what other clients see; and time, which is moved from outside."""

import re

import pytest

from harness.clock import DAY, Clock
from harness.material import message
from harness.server import DOMAIN, Account


def policy(server, account, *options):
    return server.cli_json("account", "pop3", account.address, *options)


def app_password(server, account, name):
    answer = server.cli_json("account", "app-password", "add", account.address, name)
    return Account(address=account.address, password=answer["password"])


def fill(server, account, count=3):
    for n in range(count):
        server.deliver(account, message(f"message {n}"))


def uids(server, account, mailbox="INBOX"):
    with server.imap(account) as imap:
        imap.select(mailbox)
        return imap.search("ALL", "UID SEARCH")


def count(server, account):
    with server.pop3(account) as pop3:
        found = pop3.stat()[0]
        pop3.ok("QUIT")
        return found


def session(server, account, *commands, end="QUIT"):
    """One session that says these commands; RETR's answers are read."""
    with server.pop3(account) as pop3:
        for command in commands:
            if command.startswith("RETR") or command.startswith("TOP"):
                pop3.multiline(command)
            else:
                pop3.ok(command)
        if end:
            pop3.ok(end)


def expire(pop3):
    return [line for line in pop3.multiline("CAPA").decode().splitlines() if line.startswith("EXPIRE")]


# ---------------------------------------------------------------------- client decides

def test_by_default_dele_deletes_and_nothing_else(server, account):
    fill(server, account)
    session(server, account, "RETR 1", "RETR 2", "DELE 2")
    assert count(server, account) == 2
    assert len(uids(server, account)) == 2


# ---------------------------------------------------------------------- delete mode

def test_delete_mode_deletes_what_was_retrieved_at_quit(server, account):
    policy(server, account, "--mode", "delete")
    fill(server, account, 4)
    session(server, account, "RETR 1", "TOP 2 0", "TOP 3 100", "DELE 4")
    assert count(server, account) == 2
    assert len(uids(server, account)) == 2


def test_delete_mode_deletes_nothing_without_quit(server, account):
    policy(server, account, "--mode", "delete")
    fill(server, account)
    session(server, account, "RETR 1", "RETR 2", "DELE 3", end=None)
    assert count(server, account) == 3


def test_in_delete_mode_who_goes_away_before_much_of_it_has_arrived_keeps_it(server, account):
    policy(server, account, "--mode", "delete")
    server.deliver(account, b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 300_000)
    with server.pop3(account) as pop3:
        pop3.line.send(b"RETR 1\r\nQUIT\r\n")
        assert pop3.line.read_line().startswith(b"+OK")
    server.wait_for(lambda: account.address not in server.cli("who").stdout, "the session to end")
    assert len(uids(server, account)) == 1


def test_in_delete_mode_rset_takes_back_what_retr_has_marked(server, account):
    policy(server, account, "--mode", "delete")
    fill(server, account)
    session(server, account, "RETR 1", "RSET", "RETR 2")
    assert count(server, account) == 2


def test_in_delete_mode_what_was_retrieved_can_be_retrieved_again(server, account):
    policy(server, account, "--mode", "delete")
    fill(server, account, 1)
    with server.pop3(account) as pop3:
        assert pop3.multiline("RETR 1") == pop3.multiline("RETR 1")
        assert pop3.stat()[0] == 1
        pop3.ok("QUIT")
    assert count(server, account) == 0


def test_a_refused_retr_deletes_nothing(server, account):
    policy(server, account, "--mode", "delete")
    fill(server, account, 1)
    with server.pop3(account) as pop3:
        pop3.error("RETR 2")
        pop3.ok("QUIT")
    assert count(server, account) == 1


# ---------------------------------------------------------------------- keep mode

def test_keep_mode_hides_from_this_login_and_keeps_for_others(server, account):
    office, phone = app_password(server, account, "office"), app_password(server, account, "phone")
    policy(server, account, "--mode", "keep")
    fill(server, account)
    session(server, office, "RETR 1", "DELE 1", "DELE 2")
    assert count(server, office) == 1
    assert count(server, phone) == 3 and count(server, account) == 3
    assert len(uids(server, account)) == 3
    session(server, phone, "DELE 3")
    assert (count(server, office), count(server, phone), count(server, account)) == (1, 2, 3)


def test_keep_mode_hides_nothing_without_quit(server, account):
    policy(server, account, "--mode", "keep")
    fill(server, account)
    session(server, account, "DELE 1", end=None)
    assert count(server, account) == 3


def test_what_is_hidden_keeps_no_number_and_the_others_keep_their_ids(server, account):
    policy(server, account, "--mode", "keep")
    fill(server, account)
    with server.pop3(account) as pop3:
        before = pop3.uidl()
        pop3.ok("DELE 1")
        pop3.ok("QUIT")
    with server.pop3(account) as pop3:
        assert pop3.uidl() == {1: before[2], 2: before[3]}
        assert pop3.stat()[0] == 2
        pop3.error("RETR 3")


def test_new_mail_is_seen_and_hidden_mail_stays_hidden_after_a_restart(fresh_server):
    server = fresh_server({"pop3": {"mode": "keep"}})
    account = server.add_account()
    fill(server, account)
    session(server, account, "DELE 1", "DELE 2", "DELE 3")
    server.stop()
    server.start()
    fill(server, account, 2)
    assert count(server, account) == 2
    assert len(uids(server, account)) == 5


def test_hidden_mail_is_seen_again_where_the_mode_is_another(server, account):
    policy(server, account, "--mode", "keep")
    fill(server, account)
    session(server, account, "DELE 1")
    policy(server, account, "--mode", "client")
    assert count(server, account) == 3
    policy(server, account, "--mode", "keep")
    assert count(server, account) == 2


def test_an_app_password_that_is_made_anew_has_hidden_nothing(server, account):
    policy(server, account, "--mode", "keep")
    fill(server, account)
    session(server, app_password(server, account, "phone"), "DELE 1", "DELE 2")
    server.cli("account", "app-password", "remove", account.address, "phone")
    assert count(server, app_password(server, account, "phone")) == 3


# ---------------------------------------------------------------------- where deleted mail goes, \Seen, which mailbox

@pytest.mark.parametrize("mode,command", [("client", "DELE 1"), ("delete", "RETR 1")])
def test_deleted_mail_goes_to_the_trash_where_that_is_said(server, account, mode, command):
    policy(server, account, "--mode", mode, "--deleted", "trash")
    fill(server, account)
    session(server, account, command)
    assert count(server, account) == 2
    assert len(uids(server, account, "Trash")) == 1


def test_a_trash_that_is_missing_is_made(server, account):
    with server.imap(account) as imap:
        imap.ok("DELETE Trash")
    policy(server, account, "--deleted", "trash")
    fill(server, account, 1)
    session(server, account, "DELE 1")
    assert len(uids(server, account, "Trash")) == 1
    with server.imap(account) as imap:
        assert b"\\Trash" in imap.ok('LIST "" Trash').untagged[0]


def test_the_trash_is_the_mailbox_with_that_use_whatever_it_is_called(server, account):
    with server.imap(account) as imap:
        imap.ok("RENAME Trash Papierkorb")
    policy(server, account, "--deleted", "trash")
    fill(server, account, 1)
    session(server, account, "DELE 1")
    assert len(uids(server, account, "Papierkorb")) == 1


def test_from_the_trash_itself_mail_is_deleted(server, account):
    policy(server, account, "--deleted", "trash", "--mailbox", "Trash")
    with server.imap(account) as imap:
        imap.append("Trash", message("x"))
    session(server, account, "DELE 1")
    assert uids(server, account, "Trash") == []


def test_what_is_gone_can_be_undeleted(server, account):
    policy(server, account, "--mode", "delete")
    fill(server, account)
    session(server, account, "RETR 1", "RETR 2", "RETR 3")
    assert count(server, account) == 0
    server.cli("undelete", "restore", account.address)
    assert count(server, account) == 3


@pytest.mark.parametrize("seen", ["yes", "no"])
def test_whether_retrieval_sets_seen(server, account, seen):
    policy(server, account, "--seen", seen)
    fill(server, account)
    session(server, account, "RETR 1", "TOP 2 5")
    with server.imap(account) as imap:
        imap.select()
        assert len(imap.search("SEEN")) == (1 if seen == "yes" else 0)


def test_mail_in_the_trash_that_was_retrieved_is_seen(server, account):
    policy(server, account, "--seen", "yes", "--deleted", "trash", "--mode", "delete")
    fill(server, account, 2)
    session(server, account, "RETR 1", "DELE 2")
    with server.imap(account) as imap:
        imap.select("Trash")
        assert len(imap.search("SEEN")) == 1 and len(imap.search("UNSEEN")) == 1


def test_which_mailbox_is_shown(server, account):
    policy(server, account, "--mailbox", "Archive/2026")
    fill(server, account)
    with server.imap(account) as imap:
        imap.ok("CREATE Archive/2026")
        imap.append("Archive/2026", message("one that is shown"))
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 1
        assert b"one that is shown" in pop3.multiline("RETR 1")


def test_a_mailbox_that_is_not_there_is_said(server, account):
    policy(server, account, "--mailbox", "Nowhere")
    with server.pop3() as pop3:
        pop3.ok(f"USER {account.address}")
        pop3.error(f"PASS {account.password}", code="SYS/PERM")


# ---------------------------------------------------------------------- nearest wins

def test_the_nearest_place_decides_each_thing_by_itself(fresh_server):
    server = fresh_server({"pop3": {"mode": "keep", "days": 90, "deleted": "trash"}})
    account, other = server.add_account(), server.add_account()
    app_password(server, account, "office")
    office = ("--app-password", "office")

    def told(*options, who=account):
        answer = policy(server, who, *options)
        return {key: (one["value"], one["from"]) for key, one in answer.items() if isinstance(one, dict)}

    assert told() == {"mode": ("keep", "server"), "days": (90, "server"), "deleted": ("trash", "server"),
                      "seen": (False, "server"), "mailbox": ("INBOX", "server")}
    server.cli("domain", "pop3", DOMAIN, "--mode", "days", "--seen", "yes")
    assert told()["mode"] == ("days", "domain") and told()["seen"] == (True, "domain")
    told("--days", "7")
    assert told()["days"] == (7, "account") and told()["mode"] == ("days", "domain")
    assert told(who=other)["days"] == (90, "server")
    assert told(*office, "--mode", "delete")["mode"] == ("delete", "app-password")
    assert told(*office)["days"] == (7, "account") and told()["mode"] == ("days", "domain")
    told(*office, "--mode", "inherit")
    assert told(*office)["mode"] == ("days", "domain")
    server.cli("domain", "pop3", DOMAIN, "--mode", "inherit", "--seen", "inherit")
    assert told()["mode"] == ("keep", "server") and told()["seen"] == (False, "server")


def test_the_office_downloads_and_deletes_and_the_phone_only_looks(server, account):
    office, phone = app_password(server, account, "office"), app_password(server, account, "phone")
    policy(server, account, "--mode", "delete", "--app-password", "office")
    policy(server, account, "--mode", "keep", "--app-password", "phone")
    fill(server, account)
    session(server, phone, "RETR 1", "DELE 1", "RETR 2")
    assert count(server, phone) == 2 and len(uids(server, account)) == 3
    session(server, office, "RETR 1", "RETR 2")
    assert count(server, office) == 1 and count(server, phone) == 1
    assert len(uids(server, account)) == 1


@pytest.mark.parametrize("options", [("--mode", "never"), ("--days", "0"), ("--days", "3651"), ("--days", "x"),
                                     ("--deleted", "yes"), ("--seen", "maybe"), ("--mailbox", "a\tb"),
                                     ("--mailbox", "x" * 256), ("--mode", ""),
                                     ("--mode", "delete", "--app-password", "")])
def test_values_that_are_none_are_refused(server, account, options):
    before = policy(server, account)
    assert server.cli("account", "pop3", account.address, *options, check=False).returncode == 2
    assert policy(server, account) == before


def test_who_is_not_there_is_said(server, account):
    assert server.cli("account", "pop3", "nobody@example.test", check=False).returncode == 3
    assert server.cli("account", "pop3", account.address, "--app-password", "x", check=False).returncode == 3
    assert server.cli("domain", "pop3", "nowhere.test", check=False).returncode == 3


# ---------------------------------------------------------------------- EXPIRE (RFC 2449 section 6.7)

@pytest.mark.parametrize("options,said", [
    ((), "EXPIRE NEVER"), (("--mode", "delete"), "EXPIRE 0"), (("--mode", "keep"), "EXPIRE NEVER"),
    (("--mode", "days", "--days", "14"), "EXPIRE 14"),
])
def test_expire_is_true_for_this_login(server, account, options, said):
    if options:
        policy(server, account, *options)
    with server.pop3(account) as pop3:
        assert expire(pop3) == [said]


def test_before_login_expire_is_the_smallest_of_anybody(fresh_server):
    server = fresh_server()
    account, other = server.add_account(), server.add_account()

    def said():
        with server.pop3() as pop3:
            return expire(pop3)

    assert said() == ["EXPIRE NEVER"]
    policy(server, account, "--mode", "keep")
    assert said() == ["EXPIRE NEVER"]
    policy(server, account, "--mode", "days", "--days", "20")
    assert said() == ["EXPIRE 20 USER"]
    server.cli("domain", "pop3", DOMAIN, "--days", "10")
    assert said() == ["EXPIRE 10 USER"]
    policy(server, other, "--mode", "delete")
    assert said() == ["EXPIRE 0 USER"]
    server.stop()
    server.start()
    assert said() == ["EXPIRE 0 USER"]
    server.cli("account", "remove", other.address, "--yes")
    assert said() == ["EXPIRE 10 USER"]


def test_expire_of_a_server_where_all_are_the_same(fresh_server):
    server = fresh_server({"pop3": {"mode": "days", "days": 31}})
    with server.pop3() as pop3:
        assert expire(pop3) == ["EXPIRE 31"]


def test_a_reload_takes_over_what_the_configuration_says(fresh_server):
    server = fresh_server()
    account = server.add_account()
    fill(server, account)
    server.settings["pop3"] = {"mode": "delete", "seen": True}
    server.write_config()
    server.cli("reload")
    with server.pop3() as pop3:
        server.wait_for(lambda: expire(pop3) == ["EXPIRE 0"], "the news to come to access")
    session(server, account, "RETR 1")
    assert count(server, account) == 2
    assert policy(server, account)["mode"] == {"value": "delete", "from": "server"}


# ---------------------------------------------------------------------- keep N days

@pytest.fixture
def moving_clock():
    clock = Clock()
    yield clock
    clock.close()


def at(server, clock, days):
    """It is so many days later, and the background work of all shards was done."""
    clock.set(days * DAY)
    server.cli("store", "compact")


def test_what_was_retrieved_is_deleted_some_days_later_by_the_server(fresh_server, moving_clock):
    server = fresh_server(environment=moving_clock.environment)
    account = server.add_account()
    policy(server, account, "--mode", "days", "--days", "7")
    fill(server, account, 4)
    session(server, account, "RETR 1", "DELE 2", "TOP 3 0")
    assert count(server, account) == 3, "DELE hides, RETR does not"
    assert len(uids(server, account)) == 4
    with server.imap(account) as watching:
        watching.select()
        at(server, moving_clock, 6)
        assert watching.ok("NOOP").untagged == []
        at(server, moving_clock, 8)
        server.wait_for(lambda: len(uids(server, account)) == 2, "two messages to be deleted")
        gone = [line for line in watching.ok("NOOP").untagged if line.endswith(b" EXPUNGE")]
        assert len(gone) == 2, "other sessions are told"
    assert count(server, account) == 2
    server.cli("undelete", "restore", account.address)
    at(server, moving_clock, 9)
    assert len(uids(server, account)) == 4, "what came back has no date any more"


def test_what_is_moved_away_or_unread_stays(fresh_server, moving_clock):
    server = fresh_server({"pop3": {"mode": "days", "days": 3, "deleted": "trash"}}, environment=moving_clock.environment)
    account = server.add_account()
    fill(server, account, 3)
    session(server, account, "RETR 1", "RETR 2")
    with server.imap(account) as imap:
        imap.select()
        imap.ok("UID MOVE 1 Archive")
    at(server, moving_clock, 4)
    server.wait_for(lambda: len(uids(server, account)) == 1, "one message to be moved to the trash")
    assert len(uids(server, account, "Archive")) == 1 and len(uids(server, account, "Trash")) == 1


def test_dates_go_along_and_stand_after_a_restart_and_the_first_counts(fresh_server, moving_clock):
    server = fresh_server({"pop3": {"mode": "days", "days": 10}}, environment=moving_clock.environment)
    account = server.add_account()
    fill(server, account, 2)
    session(server, account, "RETR 1")
    at(server, moving_clock, 5)
    session(server, account, "RETR 1")
    shard = server.cli_json("account", "show", account.address)["shard"]
    server.cli("account", "move", account.address, "--shard", 1 - shard)
    server.stop()
    server.start()
    at(server, moving_clock, 9)
    assert len(uids(server, account)) == 2
    at(server, moving_clock, 11)
    server.wait_for(lambda: len(uids(server, account)) == 1, "the message to be deleted")


def test_a_session_that_ends_without_quit_sets_no_date(fresh_server, moving_clock):
    server = fresh_server({"pop3": {"mode": "days", "days": 1}}, environment=moving_clock.environment)
    account = server.add_account()
    fill(server, account, 2)
    session(server, account, "RETR 1", "DELE 2", end=None)
    at(server, moving_clock, 3)
    assert count(server, account) == 2


# ---------------------------------------------------------------------- what reports say

def said_in_list(server, account):
    return {one["name"]: one["pop3"] for one in server.cli_json("account", "app-password", "list", account.address)}


def test_reports_tell_who_has_said_something(server, account):
    for name in ("office", "phone"):
        app_password(server, account, name)
    shown = server.cli_json("account", "show", account.address)
    assert (shown["pop3"], shown["pop3_app_passwords"]) == (None, [])
    assert said_in_list(server, account) == {"office": None, "phone": None}
    assert "pop3" not in server.cli("account", "show", account.address).stdout
    policy(server, account, "--mode", "days", "--days", "14", "--seen", "no")
    policy(server, account, "--app-password", "office", "--mode", "delete", "--deleted", "trash", "--mailbox", "Invoices")
    shown = server.cli_json("account", "show", account.address)
    assert shown["pop3"] == {"mode": "days", "days": 14, "seen": False} and shown["pop3_app_passwords"] == ["office"]
    office = {"mode": "delete", "deleted": "trash", "mailbox": "Invoices"}
    assert said_in_list(server, account) == {"office": office, "phone": None}
    text = server.cli("account", "show", account.address).stdout
    assert "mode days, days 14, seen no\n" in text and "of the app password office" in text
    office_line, phone_line = server.cli("account", "app-password", "list", account.address).stdout.splitlines()
    assert office_line.endswith("pop3: mode delete, deleted trash, mailbox Invoices") and "pop3:" not in phone_line


def updates(server, account, since):
    """What the log tells of the sessions that ended from there on: [(removed, hidden, dated, seen)]"""
    text = server.log_text()[since:]
    sessions = re.findall(rf"event=session session=(\w+) user={account.address} ", text)
    return [tuple(int(number) for number in numbers) for session, *numbers in re.findall(
        r"level=info \S+ event=pop3-update session=(\w+) removed=(\d+) hidden=(\d+) dated=(\d+) seen=(\d+)", text)
            if session in sessions]


def test_the_log_tells_what_a_session_has_done(server, account):
    fill(server, account, 6)
    since = len(server.log_text())
    session(server, account, "RETR 1")
    session(server, account, "DELE 1", end=None)
    assert not updates(server, account, since)
    session(server, account, "DELE 1", "DELE 2")
    policy(server, account, "--mode", "keep", "--seen", "yes")
    session(server, account, "RETR 1", "RETR 2", "DELE 2")
    policy(server, account, "--mode", "days")
    session(server, account, "RETR 1", "DELE 3")
    server.wait_for(lambda: updates(server, account, since) == [(2, 0, 0, 0), (0, 1, 0, 2), (0, 1, 2, 1)], "the log")


def test_the_name_of_the_mailbox_is_as_imap_takes_it(server, account):
    with server.imap(account) as imap:
        imap.ok("CREATE inbox/Sub")
        imap.ok("CREATE inboxes")
    for given, meant in (("inbox/Sub", "INBOX/Sub"), ("Inbox", "INBOX"), ("inboxes", "inboxes")):
        assert policy(server, account, "--mailbox", given)["mailbox"]["value"] == meant
        assert count(server, account) == 0


def test_an_app_password_has_a_name_that_can_be_seen(server, account):
    for name in (" ", " phone", "phone "):
        answer = server.cli("account", "app-password", "add", account.address, name, check=False)
        assert answer.returncode != 0 and "without a space" in answer.stderr


def test_no_trash_is_made_for_nothing(server, account):
    fill(server, account, 1)
    with server.imap(account) as imap:
        imap.ok("DELETE Trash")
    policy(server, account, "--deleted", "trash")
    with server.pop3(account) as pop3, server.imap(account) as imap:
        pop3.ok("DELE 1")
        imap.select()
        imap.ok("STORE 1 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        pop3.ok("QUIT")
        assert not imap.ok('LIST "" Trash').all(b"LIST")
