"""What an account may hold: the command line, the answers of LMTP, SMTP and IMAP (RFC 9208), and what counts."""

import json
import socket

import pytest

from harness import wire
from harness.material import message
from harness.server import Server


def of_size(size, subject="x"):
    """A message of exactly that many bytes."""
    head = f"From: a@example.net\r\nSubject: {subject}\r\n\r\n".encode()
    return head + b"y" * (size - len(head) - 2) + b"\r\n"


def quota(server, account, *options):
    return server.cli_json("account", "quota", account.address, *options)


def limited(server, **limits):
    account = server.add_account()
    quota(server, account, *(f"--{name}={value}" for name, value in limits.items()))
    return account


@pytest.fixture(scope="module")
def temporary():
    """Limits by default, senders are to try again; the shard's rest is as ever."""
    with Server({"quota": {"messages": 3, "full_answer": "temporary"}}) as server:
        server.add_domain()
        yield server


# ---------------------------------------------------------------------- the command line

def test_limits_are_set_shown_and_kept(server, account):
    nothing = quota(server, account)
    assert (nothing["messages"], nothing["bytes"], nothing["limit_messages"], nothing["limit_bytes"]) == (0, 0, 0, 0)
    assert nothing["quota_messages"] is None and nothing["quota_bytes"] is None
    now = quota(server, account, "--bytes", "2M", "--messages", "10")
    assert (now["limit_messages"], now["limit_bytes"], now["quota_bytes"]) == (10, 2 << 20, 2 << 20)
    now = quota(server, account, "--messages", "none")
    assert (now["limit_messages"], now["quota_messages"], now["limit_bytes"]) == (0, 0, 2 << 20)
    now = quota(server, account, "--bytes=default")
    assert now["quota_bytes"] is None and now["limit_bytes"] == 0


def test_a_table_for_people(server):
    account = limited(server, messages=5)
    server.deliver(account, message())
    text = server.cli("account", "quota", account.address).stdout
    assert "1 of 5 (its own limit)" in text and "of no limit (the server's default)" in text


@pytest.mark.parametrize("options", [["--bytes", "0"], ["--bytes", "5X"], ["--bytes", "x"], ["--messages", "5K"],
                                     ["--messages", "-1"], ["--bytes", "99999999999999T"]])
def test_wrong_limits_are_refused(server, account, options):
    done = server.cli("account", "quota", account.address, *options, check=False)
    assert done.returncode == 2 and options[1] in done.stderr


def test_no_such_account(server):
    done = server.cli("account", "quota", "nobody@example.test", "--bytes", "1M", check=False)
    assert done.returncode != 0 and "nobody@example.test" in done.stderr


def test_limits_survive_a_restart_and_can_be_set_while_the_server_is_down():
    with Server() as server:
        server.add_domain()
        account = limited(server, messages=1)
        server.deliver(account, message())
        server.restart()
        with server.lmtp() as client:
            client.begin("a@example.net", [account.address])
            client.line.send(wire.dot_stuffed(message()))
            assert client.read()[0] == 552
        server.stop()
        down = quota(server, account, "--messages", "2")
        assert down["messages"] is None and down["quota_messages"] == 2
        server.start()
        server.wait_for(lambda: quota(server, account)["limit_messages"] == 2, "the shard's new limit")
        assert quota(server, account)["messages"] == 1
        server.deliver(account, message())


# ---------------------------------------------------------------------- LMTP and SMTP

def test_lmtp_refuses_for_good_and_for_each_recipient(server):
    full, free = limited(server, messages=1), server.add_account()
    server.deliver(full, message())
    with server.lmtp() as client:
        client.begin("a@example.net", [full.address, free.address])
        client.line.send(wire.dot_stuffed(message()))
        first, second = client.read(), client.read()
    assert first[0] == 552 and "5.2.2" in first[1][0] and second[0] == 250
    assert quota(server, full)["messages"] == 1 and quota(server, free)["messages"] == 1


def test_the_limit_of_bytes_is_strict(server):
    account = limited(server, bytes=3000)
    with server.imap(account) as imap:
        imap.append("INBOX", of_size(1000))
        imap.no("APPEND INBOX ", wire.Literal(of_size(2001)), code=b"OVERQUOTA")
        imap.append("INBOX", of_size(2000))
        assert quota(server, account)["bytes"] == 3000
        imap.no("APPEND INBOX ", wire.Literal(of_size(60)), code=b"OVERQUOTA")
    with server.lmtp() as client:
        client.begin("a@example.net", [account.address])
        client.line.send(wire.dot_stuffed(message()))
        assert client.read()[0] == 552


def test_senders_are_asked_to_come_again_where_it_is_set_so(temporary):
    account = temporary.add_account()
    for _ in range(3):
        temporary.deliver(account, message())
    with temporary.lmtp() as client:
        client.begin("a@example.net", [account.address])
        client.line.send(wire.dot_stuffed(message()))
        code, lines = client.read()
        assert code == 452 and "4.2.2" in lines[0]
    with temporary.imap(account) as imap:
        imap.select()
        imap.ok("STORE 1 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    temporary.deliver(account, message())
    assert quota(temporary, account, "--messages", "none")["limit_messages"] == 0
    temporary.deliver(account, message())
    assert quota(temporary, account, "--messages", "default")["limit_messages"] == 3


def test_smtp_says_it_after_the_data(server):
    full, free = limited(server, messages=1), server.add_account()
    server.deliver(full, message())
    with server.smtp() as client:
        client.begin("a@example.net", [full.address])
        client.line.send(wire.dot_stuffed(message()))
        code, lines = client.read()
        assert code == 552 and "5.2.2" in lines[0]
        client.begin("a@example.net", [full.address, free.address])
        client.line.send(wire.dot_stuffed(message()))
        code, lines = client.read()
        assert code == 452 and "4.2.2" in lines[0]
    assert quota(server, free)["messages"] == 1


def test_a_retry_of_what_is_there_is_not_refused():
    """The answer was lost, the message is there: it counts once, and the sender hears 250."""
    with Server({"server": {"shards": 1}}) as server:
        server.add_domain()
        account = limited(server, messages=1)
        with server.lmtp() as client:
            client.begin("a@example.net", [account.address])
            # the connection is cut while its message is being stored
            client.line.send(wire.dot_stuffed(message()))
            client.line.sock.shutdown(socket.SHUT_RDWR)
        server.wait_for(lambda: quota(server, account)["messages"] == 1, "the delivery")
        with server.lmtp() as client:
            client.begin("a@example.net", [account.address])
            client.line.send(wire.dot_stuffed(message()))
            assert client.read()[0] in (250, 552)  # 552: the reply was written in time, so the key was forgotten
        assert quota(server, account)["messages"] == 1


# ---------------------------------------------------------------------- IMAP

def test_capabilities(server, account):
    with server.imap(account) as imap:
        offered = imap.ok("CAPABILITY").one(b"CAPABILITY").split()
        assert {b"QUOTA", b"QUOTA=RES-STORAGE", b"QUOTA=RES-MESSAGE", b"STATUS=SIZE"} <= set(offered)
        assert b"QUOTASET" not in offered


def test_getquota_and_getquotaroot(server):
    account = limited(server, bytes="1M", messages=10)
    with server.imap(account) as imap:
        imap.append("INBOX", of_size(1025))
        imap.append("Sent", of_size(1000))
        answer = imap.ok('GETQUOTA ""')
        assert answer.one(b"QUOTA") == b'"" (STORAGE 2 1024 MESSAGE 2 10)'
        answer = imap.ok("GETQUOTAROOT INBOX")
        assert answer.one(b"QUOTAROOT") == b'INBOX ""'
        assert answer.one(b"QUOTA") == b'"" (STORAGE 2 1024 MESSAGE 2 10)'
        # RFC 9208, 4.1.2: the mailbox need not exist
        assert imap.ok('GETQUOTAROOT "not there"').one(b"QUOTAROOT") == b'"not there" ""'
        imap.no("GETQUOTA other", code=b"NONEXISTENT")
        imap.bad("GETQUOTA")
        imap.bad('SETQUOTA "" (STORAGE 5)')


def test_without_limits_there_is_no_quota_root(server, account):
    """RFC 9208, 7: a QUOTA names one resource at least, and a QUOTAROOT may name no root."""
    with server.imap(account) as imap:
        imap.no('GETQUOTA ""', code=b"NONEXISTENT")
        answer = imap.ok("GETQUOTAROOT INBOX")
        assert answer.one(b"QUOTAROOT") == b"INBOX" and not answer.all(b"QUOTA")


def test_status_tells_sizes_and_what_an_expunge_frees(server, account):
    with server.imap(account) as imap:
        for size in (100, 200, 400):
            imap.append("INBOX", of_size(size))
        imap.select()
        imap.ok("STORE 2:3 +FLAGS (\\Deleted)")
        found = imap.status("INBOX", "SIZE DELETED DELETED-STORAGE")
        assert found == {b"SIZE": 700, b"DELETED": 2, b"DELETED-STORAGE": 600}
        fetched = imap.fetch("1:*", "(RFC822.SIZE)")
        assert [int(one[b"RFC822.SIZE"]) for _, one in sorted(fetched.items())] == [100, 200, 400]
        assert imap.search("LARGER 100 SMALLER 400") == [2]


def test_copies_count_and_moves_do_not(server):
    account = limited(server, messages=3)
    with server.imap(account) as imap:
        imap.append("INBOX", message())
        imap.append("INBOX", message())
        imap.select()
        imap.no("COPY 1:2 Archive", code=b"OVERQUOTA")
        assert imap.status("Archive", "MESSAGES")[b"MESSAGES"] == 0
        imap.ok("COPY 1 Archive")
        imap.no("COPY 1 Archive", code=b"OVERQUOTA")
        imap.ok("MOVE 1:2 Trash")
        assert quota(server, account)["messages"] == 3
        imap.no("APPEND INBOX ", wire.Literal(message()), code=b"OVERQUOTA")
        imap.ok("DELETE Trash")
        assert quota(server, account)["messages"] == 1


def test_what_counts_is_what_stands_in_mailboxes(server, account):
    with server.imap(account) as imap:
        for _ in range(4):
            imap.append("INBOX", of_size(500))
        imap.ok("RENAME INBOX old")
        imap.select("old")
        imap.ok("STORE 1:2 +FLAGS (\\Deleted)")
        imap.ok("CLOSE")
        now = quota(server, account)
        assert (now["messages"], now["bytes"]) == (2, 1000)
    server.cli("undelete", "restore", account.address)
    now = quota(server, account)
    assert (now["messages"], now["bytes"]) == (4, 2000)
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 0
    shown = json.loads(server.cli("account", "show", account.address, "--json").stdout)
    assert (shown["messages"], shown["bytes"]) == (4, 2000)
    assert server.cli_json("store", "check")["damaged"] == 0
