"""LMTP (RFC 2033): SMTP's words, another greeting, one answer a recipient after the data."""

import pytest

from harness import wire
from harness.material import message
from harness.server import PASSWORD


@pytest.mark.smoke
@pytest.mark.parametrize("over_socket", [False, True], ids=["tcp", "unix"])
def test_each_recipient_has_an_answer_of_its_own(server, over_socket):
    first, second = server.add_account(), server.add_account()
    with server.lmtp(over_socket) as client:
        client.expect(250, "MAIL FROM:<sender@example.net>")
        client.expect(250, f"RCPT TO:<{first.address}>")
        client.expect(550, "RCPT TO:<nobody@example.test>")
        client.expect(250, f"RCPT TO:<{second.address}>")
        client.expect(354, "DATA")
        client.line.send(wire.dot_stuffed(message()))
        assert [client.read()[0] for _ in range(2)] == [250, 250]
        client.expect(250, "NOOP")
    for account in (first, second):
        with server.pop3(account) as pop3:
            assert pop3.stat()[0] == 1


def test_hello_is_lhlo_only(server):
    with server.connect("lmtp") as line:
        client = wire.Smtp(line)
        client.expect(500, "EHLO client.example.net")
        client.expect(500, "HELO client.example.net")
        lines = client.expect(250, "LHLO client.example.net")
        assert {"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"} <= {text.split()[0] for text in lines[1:]}


def test_data_without_recipients_is_503(server):
    """RFC 2033 section 4.2: so that a pipelining client can tell that there are no answers to wait for."""
    with server.lmtp() as client:
        client.expect(250, "MAIL FROM:<sender@example.net>")
        client.expect(550, "RCPT TO:<nobody@example.test>")
        client.expect(503, "DATA")


def test_the_same_recipient_twice_has_two_answers_and_one_message(server, account):
    with server.lmtp() as client:
        client.begin("sender@example.net", [account.address, account.address])
        client.line.send(wire.dot_stuffed(message()))
        assert [client.read()[0] for _ in range(2)] == [250, 250]
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 1


def test_a_refused_message_is_refused_for_each_recipient(server):
    first, second = server.add_account(), server.add_account()
    with server.lmtp() as client:
        client.begin("sender@example.net", [first.address, second.address])
        client.line.send(b"Subject: x\r\n\r\na bare \n here\r\n.\r\n")
        assert [client.read()[0] // 100 for _ in range(2)] == [5, 5]


def test_return_path_and_received_stand_on_top(server, account):
    sent = message()
    server.deliver(account, sent, sender="path@example.net")
    with server.pop3(account) as pop3:
        stored = pop3.multiline("RETR 1")
    assert stored.startswith(b"Return-Path: <path@example.net>\r\n") and stored.endswith(sent)
    assert b"with LMTP" in stored


def test_many_recipients_are_stored_in_slices_and_answered_once(fresh_server):
    """Others are served in between; every recipient has the message, once."""
    server = fresh_server({"server": {"shards": 1}})
    names = [f"many{number}@example.test" for number in range(150)]
    server.cli("account", "add", "--from", "-", input="".join(f"{name} {PASSWORD}\n" for name in names))
    watcher = server.add_account()
    big = message(body="A line of a message that is not small.\r\n" * 20000)
    with server.imap(watcher) as imap, server.lmtp() as client:
        client.begin("sender@example.net", names)
        client.line.send(wire.dot_stuffed(big))
        imap.ok("NOOP")
        assert [client.read()[0] for _ in names] == [250] * len(names)
    shown = [server.cli_json("account", "show", name) for name in (names[0], names[77], names[149])]
    assert [one["messages"] for one in shown] == [1, 1, 1]
    assert server.cli_json("store", "check")["damaged"] == 0
