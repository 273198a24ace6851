"""The life of a session: how it begins, how several go side by side, and that QUIT alone removes mail (RFC 1939
sections 4 to 6). What each command is answered stands in pop3_specification.py.

How sessions of one account live together is told in mansio.toml(5), at pop3.one_session, and in docs/pop3.md ("Several
sessions at once"): there is no lock of the maildrop, but each session sees it as it was at its login."""

import base64
import contextlib
import socket
import struct
import time

import pytest

from harness import wire
from harness.material import message

MARK_TWO_AND_QUIT = b"STAT\r\nDELE 1\r\nDELE 2\r\nQUIT\r\n"


def deliver(server, account, *subjects):
    for subject in subjects:
        server.deliver(account, message(subject=subject))


def count(server, account):
    with server.pop3(account) as pop3:
        return pop3.stat()[0]


# ---------------------------------------------------------------------- the end

@pytest.mark.smoke
def test_dele_takes_effect_at_quit_and_only_there(server, account):
    deliver(server, account, "one", "two")
    with server.pop3(account) as pop3:
        pop3.ok("DELE 1")
        assert count(server, account) == 2
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 2
        pop3.ok("DELE 1")
        pop3.ok("QUIT")
        assert pop3.line.closed()
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 1
        assert b"Subject: two" in pop3.multiline("RETR 1")


def test_rset_takes_every_mark_back(server, account):
    deliver(server, account, "one", "two")
    with server.pop3(account) as pop3:
        pop3.ok("DELE 1")
        pop3.ok("DELE 2")
        pop3.ok("RSET")
        assert pop3.stat()[0] == 2
        pop3.ok("DELE 2")
        pop3.ok("QUIT")
    with server.pop3(account) as pop3:
        assert b"Subject: one" in pop3.multiline("RETR 1") and pop3.stat()[0] == 1


def end_in_order(pop3):
    """The client closes its side, and reads until the server does."""
    pop3.line.sock.shutdown(socket.SHUT_WR)
    assert pop3.line.closed()


def end_with_reset(pop3):
    pop3.line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pop3.line.close()


def end_without_a_word(pop3):
    """TLS: closed without its close_notify."""
    pop3.line.close()


@pytest.mark.parametrize("service, end", [("pop3", end_in_order), ("pop3", end_with_reset),
                                          ("pop3s", end_without_a_word)])
def test_a_session_that_ends_without_quit_deletes_nothing_at_whatever_byte(server, account, service, end):
    """RFC 1939 section 6: only QUIT enters UPDATE; a QUIT without its CR LF is none."""
    deliver(server, account, "one", "two")
    for length in range(len(MARK_TWO_AND_QUIT)):  # the last LF is never among them
        with server.pop3(account, service) as pop3:
            pop3.line.send(MARK_TWO_AND_QUIT[:length])
            end(pop3)
    time.sleep(0.1)  # whatever would still be done is done
    assert count(server, account) == 2


def test_a_quit_whose_answer_was_lost_has_deleted(server, account):
    deliver(server, account, "one", "two", "three")
    with server.pop3(account) as pop3:
        for number in (1, 2):
            pop3.ok(f"DELE {number}")
        pop3.line.send(b"QUIT\r\n")  # and nobody reads on
    server.wait_for(lambda: count(server, account) == 1, "QUIT to be carried out")
    with server.pop3(account) as pop3:
        assert b"Subject: three" in pop3.multiline("RETR 1")


def test_a_quit_that_meets_a_reset_deletes_all_or_nothing(server, account):
    deliver(server, account, "one", "two")
    with server.pop3(account) as pop3:
        pop3.line.send(MARK_TWO_AND_QUIT)
        end_with_reset(pop3)
    time.sleep(0.1)
    assert count(server, account) in (0, 2)


def test_after_quit_nothing_is_heard(server, account):
    deliver(server, account, "one")
    with server.pop3(account) as pop3:
        pop3.line.send(b"QUIT\r\nDELE 1\r\nQUIT\r\n")
        assert pop3.line.read_line().startswith(b"+OK")
        assert not pop3.line.unread and pop3.line.closed()
    assert count(server, account) == 1


@pytest.mark.parametrize("death", ["stop", "kill"])
def test_a_server_that_ends_under_a_session_deletes_nothing(fresh_server, death):
    server = fresh_server()
    account = server.add_account()
    deliver(server, account, "one")
    with server.pop3(account) as pop3:
        pop3.ok("DELE 1")
        if death == "stop":
            server.process.terminate()
        else:
            server.kill_everything()
        assert pop3.line.closed()
    if death == "stop":
        server.wait_for(lambda: server.process.poll() is not None, "the end of the server")
        server.stop()
    server.start()
    assert count(server, account) == 1


def test_a_login_that_does_not_come_in_time_ends_without_a_word(fresh_server):
    """RFC 1939 section 3: an answer would be taken for that of the next command."""
    server = fresh_server({"login": {"timeout": "1s"}})
    with server.pop3() as pop3:
        pop3.line.send(b"USER x\r\n")
        said = []
        with pytest.raises(wire.Closed, match="^b''$"):
            while True:
                said.append(pop3.line.read_line())
        # on a busy machine the time may be over before USER comes
        assert len(said) <= 1 and all(line.startswith(b"+OK") for line in said), said


# ---------------------------------------------------------------------- side by side

def test_marks_are_seen_by_their_session_alone(server, account):
    deliver(server, account, "one", "two")
    with server.pop3(account) as first, server.pop3(account) as second:
        first.ok("DELE 1")
        assert first.stat()[0] == 1 and second.stat()[0] == 2
        assert b"Subject: one" in second.multiline("RETR 1")
        second.ok("DELE 1")
        second.ok("RSET")
        first.error("RETR 1")


def listings(pop3):
    """All that a session is told of its messages without reading one."""
    singles = [pop3.ok(f"{command} {number}") for command in ("LIST", "UIDL") for number in pop3.uidl()]
    return pop3.stat(), pop3.multiline("LIST"), pop3.multiline("UIDL"), singles


def remove_by_pop3(server, account):
    with server.pop3(account) as pop3:
        pop3.ok("DELE 1")
        pop3.ok("DELE 3")
        pop3.ok("QUIT")


def remove_by_imap(server, account):
    with server.imap(account) as imap:
        imap.select()
        imap.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")


def move_by_imap(server, account):
    with server.imap(account) as imap:
        imap.select()
        imap.ok("MOVE 1,3 Archive")


@pytest.mark.parametrize("remove", [remove_by_pop3, remove_by_imap, move_by_imap])
def test_what_others_remove_stays_for_a_session_until_its_end(server, account, remove):
    """RFC 1939 sections 3 and 5: message-numbers, sizes and unique-ids hold for the session, which would have kept
    others away by a lock. What can still be read (here within store.undelete_window) is sent."""
    deliver(server, account, "one", "two", "three")
    with server.pop3(account) as pop3:
        before = listings(pop3)
        assert before[0][0] == 3
        remove(server, account)
        deliver(server, account, "four")
        assert listings(pop3) == before
        for number, subject in enumerate((b"one", b"two", b"three"), 1):
            assert b"Subject: " + subject in pop3.multiline(f"RETR {number}")
            assert b"Subject: " + subject in pop3.multiline(f"TOP {number} 0")
        pop3.ok("DELE 1")
        assert pop3.stat()[0] == 2 and sorted(pop3.uidl()) == [2, 3]
        pop3.error("RETR 1")
        pop3.ok("RSET")
        assert listings(pop3) == before
        pop3.ok("DELE 1")
        pop3.ok("DELE 2")
        pop3.ok("QUIT")
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 1 and b"Subject: four" in pop3.multiline("RETR 1")


def forgotten(server, pop3):
    """Whether message 1 has no bytes any more, and so none of those that were removed with it has."""
    server.cli("store", "compact")
    if pop3.command("TOP 1 0").startswith(b"-ERR"):
        return True
    pop3.read_multiline()
    return False


def test_what_cannot_be_read_any_more_is_an_error_and_is_listed_still(forgetful):
    account = forgetful.add_account()
    deliver(forgetful, account, "one", "two", "three")
    with forgetful.pop3(account) as pop3:
        before = listings(pop3)
        remove_by_imap(forgetful, account)
        forgetful.wait_for(lambda: forgotten(forgetful, pop3), "the store to forget what was removed")
        for line in ("RETR 1", "TOP 3 0"):
            assert b"removed meanwhile" in pop3.error(line)
        assert listings(pop3) == before
        assert b"Subject: two" in pop3.multiline("RETR 2")
        pop3.ok("DELE 1")
        pop3.ok("QUIT")
    assert count(forgetful, account) == 1


def test_a_message_that_has_moved_is_not_removed_where_it_went(fresh_server):
    """It is another mailbox's: DELE and delete mode have nothing to remove."""
    server = fresh_server()
    account = server.add_account()
    server.cli("account", "pop3", account.address, "--mode", "delete")
    deliver(server, account, "one", "two", "three")
    with server.pop3(account) as pop3:
        move_by_imap(server, account)
        pop3.multiline("RETR 1")
        pop3.ok("DELE 3")
        pop3.ok("QUIT")
    with server.imap(account) as imap:
        assert imap.status("Archive", "MESSAGES")[b"MESSAGES"] == 2 and imap.status("INBOX", "MESSAGES")[b"MESSAGES"] == 1


def test_what_two_sessions_have_marked_is_removed_once_and_both_are_told_well(server, account):
    deliver(server, account, "one", "two")
    with server.pop3(account) as first, server.pop3(account) as second:
        for pop3 in (first, second):
            pop3.ok("DELE 1")
        for pop3 in (first, second):
            pop3.ok("QUIT")
    assert count(server, account) == 1


def test_imap_goes_on_side_by_side(server, account):
    deliver(server, account, "one", "two", "three")
    with server.pop3(account) as pop3, server.imap(account) as imap:
        imap.select()
        imap.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
        assert pop3.stat()[0] == 3 and b"Subject: two" in pop3.multiline("RETR 2")
        pop3.ok("DELE 2")
        pop3.ok("QUIT")
        assert imap.ok("NOOP").numbered(b"EXPUNGE") == [1]
        assert imap.search("SUBJECT three") == [1]


def test_each_session_sees_what_was_there_at_its_login(server, account):
    with server.pop3(account) as before:
        deliver(server, account, "one")
        with server.pop3(account) as after:
            assert before.stat()[0] == 0 and after.stat()[0] == 1
            assert before.uidl() == {} and len(after.uidl()) == 1


# ---------------------------------------------------------------------- the beginning

def test_the_greeting_offers_no_apop(server):
    with server.pop3() as pop3:
        assert b"<" not in pop3.greeting


@pytest.mark.parametrize("service", ["pop3", "pop3s"])
def test_capa_is_true_in_both_states(server, account, service):
    both = {"TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER", "LANG", "USER", "SASL PLAIN LOGIN",
            "IMPLEMENTATION Mansio"}
    with server.pop3(None, service) as pop3:
        before = pop3.multiline("CAPA").decode().splitlines()
        pop3.login(account)
        after = pop3.multiline("CAPA").decode().splitlines()
    assert len(set(before)) == len(before) and len(set(after)) == len(after)
    assert set(before) == both | ({"STLS"} if service == "pop3" else set()) and set(after) == both


@pytest.mark.parametrize("initial", [False, True])
def test_sasl_login_asks_for_name_and_password(server, account, initial):
    """draft-murchison-sasl-login section 2, in lines of RFC 5034 section 4"""
    def b64(text):
        return base64.b64encode(text.encode())

    with server.pop3() as pop3:
        if initial:
            pop3.line.send(b"AUTH LOGIN " + b64(account.address) + b"\r\n")
        else:
            pop3.line.send(b"AUTH LOGIN\r\n")
            assert pop3.line.read_line() == b"+ " + b64("Username:")
            pop3.line.send(b64(account.address) + b"\r\n")
        assert pop3.line.read_line() == b"+ " + b64("Password:")
        pop3.line.send(b64(account.password) + b"\r\n")
        assert pop3.line.read_line().startswith(b"+OK")
        pop3.ok("STAT")


def test_a_wrong_password_is_answered_as_no_such_user_is(server, account):
    answers = set()
    for user in (account.address, "nobody@example.test"):
        with server.pop3() as pop3:
            pop3.ok(f"USER {user}")
            answers.add(pop3.error("PASS wrong", code="AUTH"))
    assert len(answers) == 1


@pytest.mark.parametrize("line", ["LANG *", "FROB", "PASS", "AUTH FROB", "USER", "NOOP", "USER " + "x" * 100_000])
def test_only_pass_may_follow_user(server, account, line):
    """RFC 1939 section 7: immediately."""
    with server.pop3() as pop3:
        pop3.ok(f"USER {account.address}")
        pop3.command(line)
        pop3.error(f"PASS {account.password}")
        pop3.ok("USER somebody")
        pop3.login(account)


def test_stls_forgets_what_was_said_before(server, account):
    with server.pop3() as pop3:
        pop3.ok(f"USER {account.address}")
        pop3.line.send(f"STLS\r\nPASS {account.password}\r\n".encode())
        assert pop3.line.read_line().startswith(b"+OK")
        pop3.line.start_tls(server.certificate)
        pop3.error(f"PASS {account.password}")
        pop3.login(account)
        assert pop3.stat() == (0, 0)


@pytest.mark.parametrize("service", ["pop3", "pop3s"])
def test_pipelined_commands_are_answered_in_order(server, account, service):
    deliver(server, account, "one", "two")
    with server.pop3(None, service) as pop3:
        pop3.line.send(f"USER {account.address}\r\nPASS {account.password}\r\n".encode() +
                       b"STAT\r\nRETR 1\r\nDELE 1\r\nRETR 2\r\nQUIT\r\n")
        for _ in range(3):
            assert pop3.line.read_line().startswith(b"+OK")
        for subject in (b"one", b"two"):
            assert pop3.line.read_line().startswith(b"+OK")
            assert b"Subject: " + subject in pop3.read_multiline()
            assert pop3.line.read_line().startswith(b"+OK")
        assert pop3.line.closed()
    assert count(server, account) == 1


def test_many_commands_at_once_and_each_byte_alone_are_the_same(server, account):
    deliver(server, account, "one")
    with server.pop3(account) as pop3:
        pop3.line.send(b"NOOP\r\n" * 3000)
        for _ in range(3000):
            assert pop3.line.read_line().startswith(b"+OK")
        for byte in b"LIST 1\r\nRETR 1\r\n":
            pop3.line.send(bytes([byte]))
        assert pop3.line.read_line().startswith(b"+OK 1 ")
        assert pop3.line.read_line().startswith(b"+OK")
        assert b"Subject: one" in pop3.read_multiline()


def test_many_sessions_of_one_account(server, account):
    deliver(server, account, "one")
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(server.pop3(account)) for _ in range(20)]
        assert {pop3.stat()[0] for pop3 in sessions} == {1}
