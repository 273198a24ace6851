"""SMTP as a receiver (RFC 5321) and its extensions, as other servers meet it."""

import re
import socket
import threading

import pytest

from harness import wire
from harness.material import message


@pytest.fixture
def smtp(server):
    with server.smtp() as client:
        yield client


def received(server, account):
    """The messages of an account's INBOX, oldest first."""
    with server.imap(account) as imap:
        imap.select()
        if imap.status("INBOX", "MESSAGES")[b"MESSAGES"] == 0:
            return []
        return [one[b"BODY[]"] for _, one in sorted(imap.fetch("1:*", "(BODY.PEEK[])").items())]


@pytest.mark.smoke
def test_mail_arrives_with_its_bytes_unchanged_below_the_trace_headers(server, smtp, account):
    sent = message()
    smtp.send_message("sender@example.net", [account.address], sent)
    stored, = received(server, account)
    assert stored.endswith(sent)
    trace = stored[:-len(sent)].decode()
    assert trace.startswith("Return-Path: <sender@example.net>\r\n")
    assert re.search(r"^Received: from client\.example\.net \(.*127\.0\.0\.1.*\)", trace, re.MULTILINE), trace
    assert re.search(r"by mail\.example\.test", trace) and re.search(r"with E?SMTP", trace), trace


def test_greeting_names_the_host(server):
    with server.smtp(hello=False) as client:
        assert client.greeting[1][0].startswith("mail.example.test ESMTP")


def test_ehlo_offers_exactly_what_is_spoken(server):
    with server.smtp(hello=False) as client:
        lines = client.expect(250, "EHLO client.example.net")
        assert lines[0].startswith("mail.example.test")
        offered = {line.split()[0] for line in lines[1:]}
        assert {"SIZE", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES", "STARTTLS"} <= offered
        assert "CHUNKING" not in offered
        assert f"SIZE {50 * 1024 * 1024}" in lines


def test_helo_offers_nothing(server, account):
    with server.smtp(hello=False) as client:
        assert len(client.expect(250, "HELO client.example.net")) == 1
        client.send_message("sender@example.net", [account.address], message())


@pytest.mark.parametrize("line", ["EHLO", "HELO", "EHLO "])
def test_hello_needs_a_name(server, line):
    with server.smtp(hello=False) as client:
        client.expect(501, line)


def test_hello_takes_an_address_literal(server):
    with server.smtp(hello=False) as client:
        client.expect(250, "EHLO [127.0.0.1]")
        client.expect(250, "EHLO [IPv6:::1]")


def test_verbs_are_known_in_any_case(server, smtp, account):
    smtp.expect(250, "mail from:<sender@example.net>")
    smtp.expect(250, f"rCPT tO:<{account.address}>")
    smtp.expect(250, "rset")


@pytest.mark.parametrize("domain", ["example.org", "sub.example.test", "[127.0.0.1]"])
def test_relaying_is_refused(smtp, domain):
    smtp.expect(250, "MAIL FROM:<sender@example.net>")
    assert smtp.command(f"RCPT TO:<someone@{domain}>")[0] in (550, 554)


def test_an_unknown_local_recipient_is_refused_for_good(smtp):
    smtp.expect(250, "MAIL FROM:<sender@example.net>")
    smtp.expect_status(550, "5.1.1", "RCPT TO:<nobody@example.test>")


def test_source_routes_and_percent_hacks_do_not_relay(smtp):
    smtp.expect(250, "MAIL FROM:<sender@example.net>")
    assert smtp.command("RCPT TO:<someone%example.org@example.test>")[0] == 550
    assert smtp.command("RCPT TO:<@example.test:someone@example.org>")[0] in (550, 554)


def test_a_source_route_to_a_local_account_is_ignored(server, smtp, account):
    smtp.expect(250, "MAIL FROM:<@a.example,@b.example:sender@example.net>")
    smtp.expect(250, f"RCPT TO:<@relay.example:{account.address}>")


@pytest.mark.parametrize("recipient", ["postmaster", "Postmaster", "PostMaster@example.test",
                                       "postmaster@EXAMPLE.TEST"])
def test_postmaster_is_always_accepted(smtp, recipient):
    smtp.begin("", [recipient])
    smtp.line.send(wire.dot_stuffed(message()))
    assert smtp.read()[0] == 250


def test_addresses_are_found_in_any_case(server, smtp):
    account = server.add_account("Mixed.Case")
    smtp.send_message("sender@example.net", ["mIXED.cASE@Example.Test"], message())
    assert len(received(server, account)) == 1


def test_a_quoted_local_part_is_the_same_address(server, smtp, account):
    local, _, domain = account.address.partition("@")
    smtp.expect(250, "MAIL FROM:<\"odd sender\"@example.net>")
    smtp.expect(250, f'RCPT TO:<"{local}"@{domain}>')


def test_detail_after_plus_is_delivered_to_the_user(server, smtp, account):
    local, _, domain = account.address.partition("@")
    smtp.send_message("sender@example.net", [f"{local}+lists@{domain}"], message())
    assert len(received(server, account)) == 1


def test_an_alias_delivers_to_each_of_its_accounts_once(server, smtp):
    first, second = server.add_account(), server.add_account()
    server.cli("alias", "add", "both@example.test", first.address, second.address)
    smtp.send_message("sender@example.net", ["both@example.test", first.address], message())
    assert len(received(server, first)) == 1
    assert len(received(server, second)) == 1


def test_a_bounce_has_an_empty_return_path(server, smtp, account):
    smtp.send_message("", [account.address], message())
    assert received(server, account)[0].startswith(b"Return-Path: <>\r\n")


def test_dots_at_line_starts_are_unstuffed(server, smtp, account):
    sent = message(body=".\r\n..\r\n...three\r\n.x\r\nend\r\n")
    smtp.send_message("sender@example.net", [account.address], sent)
    assert received(server, account)[0].endswith(sent)


def test_an_empty_message_body_is_taken(server, smtp, account):
    sent = b"Subject: nothing below\r\n\r\n"
    smtp.send_message("sender@example.net", [account.address], sent)
    assert received(server, account)[0].endswith(sent)


@pytest.mark.parametrize("lmtp", [True, False])
@pytest.mark.parametrize("first", [b" ", b"\t<forged@id> continuation\r\n"])
def test_a_first_line_that_begins_with_a_blank_changes_no_trace_header(server, account, lmtp, first):
    """RFC 5322, 2.2.3: it would go on with the field before it. It has no header field of its own, so it is body."""
    sent = first + b"Subject: fold\r\n\r\nlast\r\n"
    with server.lmtp() if lmtp else server.smtp() as client:
        client.send_message("sender@example.net", [account.address], sent)
    stored, = received(server, account)
    trace, body = stored.split(b"\r\n\r\n", 1)
    assert body == sent
    assert re.search(rb";\r\n\t[A-Z][a-z]{2}, [0-9]+ [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} \+0000$", trace), trace
    with server.imap(account) as imap:
        imap.select()
        items, = imap.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT])").values()
        assert items[b"BODY[HEADER.FIELDS (SUBJECT)]"] == b"\r\n" and items[b"BODY[TEXT]"] == sent


def test_several_messages_a_connection(server, smtp, account):
    for number in range(3):
        smtp.send_message("sender@example.net", [account.address], message(subject=f"number {number}"))
    assert [b"number %d" % number in one for number, one in enumerate(received(server, account))] == [True] * 3


def test_a_message_to_many_is_stored_for_each(server, smtp):
    accounts = [server.add_account() for _ in range(4)]
    smtp.send_message("sender@example.net", [one.address for one in accounts], message())
    for one in accounts:
        assert len(received(server, one)) == 1


@pytest.mark.parametrize("lines", [
    ["MAIL FROM:<a@example.net>"],
    ["RCPT TO:<postmaster>"],
    ["DATA"],
])
def test_a_transaction_needs_hello_first(server, lines):
    with server.smtp(hello=False) as client:
        for line in lines:
            client.expect(503, line)


def test_commands_out_of_order_are_refused(smtp, account):
    smtp.expect_status(503, "5.5.1", f"RCPT TO:<{account.address}>")
    smtp.expect_status(503, "5.5.1", "DATA")
    smtp.expect(250, "MAIL FROM:<sender@example.net>")
    smtp.expect_status(503, "5.5.1", "MAIL FROM:<sender@example.net>")
    assert smtp.command("DATA")[0] in (503, 554)


def test_rset_and_hello_forget_the_transaction(smtp, account):
    for forget in ("RSET", "EHLO client.example.net"):
        smtp.expect(250, "MAIL FROM:<sender@example.net>")
        smtp.expect(250, f"RCPT TO:<{account.address}>")
        smtp.expect(250, forget)
        smtp.expect(503, "DATA")


@pytest.mark.parametrize("line", [
    "MAIL", "MAIL FROM:", "MAIL FROM", "MAIL FROM:sender", "MAIL FROM:<a@b", "MAIL FROM:<a@@b>", "MAIL FROM:<a b@c>",
    "MAIL TO:<a@example.net>", "MAIL FROM:<a@example.net> SIZE", "MAIL FROM:<a@example.net> SIZE=x",
    "MAIL FROM:<a@example.net>x", "MAIL FROM:<" + "l" * 300 + "@example.net>",
])
def test_broken_mail_syntax_is_501(smtp, line):
    smtp.expect_status(501, "5.", line)


@pytest.mark.parametrize("line", ["RCPT", "RCPT TO:", "RCPT TO:<>", "RCPT TO:<a@b", "RCPT TO:<@>",
                                  "RCPT FROM:<a@example.test>"])
def test_broken_rcpt_syntax_is_501(smtp, line):
    smtp.expect(250, "MAIL FROM:<sender@example.net>")
    smtp.expect_status(501, "5.", line)


def test_unknown_parameters_are_555(smtp, account):
    smtp.expect_status(555, "5.5.4", "MAIL FROM:<sender@example.net> WISH=granted")
    smtp.expect(250, "MAIL FROM:<sender@example.net> BODY=8BITMIME SIZE=1000")
    smtp.expect_status(555, "5.5.4", f"RCPT TO:<{account.address}> NOTIFY=NEVER")


def test_unknown_commands_are_500_and_known_ones_not_spoken_502(smtp):
    smtp.expect_status(500, "5.5.", "FROB")
    assert smtp.command("TURN")[0] in (500, 502)
    assert smtp.command("EXPN list")[0] in (500, 502)


def test_vrfy_tells_nothing(smtp, account):
    smtp.expect(252, f"VRFY {account.address}")
    smtp.expect(252, "VRFY nobody@example.test")


def test_noop_and_quit(server):
    with server.smtp() as client:
        client.expect(250, "NOOP")
        client.expect(250, "NOOP with words")
        client.expect_status(221, "2.0.0", "QUIT")
        assert client.line.closed()


def test_size_announced_too_large_is_refused_at_once(smtp):
    smtp.expect_status(552, "5.3.4", f"MAIL FROM:<sender@example.net> SIZE={50 * 1024 * 1024 + 1}")


def test_a_pipelined_transaction_is_answered_in_order(smtp, account):
    smtp.line.send(f"MAIL FROM:<sender@example.net>\r\nRCPT TO:<{account.address}>\r\n"
                   "RCPT TO:<nobody@example.test>\r\nDATA\r\n".encode())
    assert [smtp.read()[0] for _ in range(4)] == [250, 250, 550, 354]
    smtp.line.send(wire.dot_stuffed(message()) + b"NOOP\r\n")
    assert [smtp.read()[0] for _ in range(2)] == [250, 250]


def test_who_has_said_all_may_still_listen(server, account):
    """As `nc` does at the end of its input."""
    with server.smtp() as client:
        client.line.send(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<" + account.address.encode() + b">\r\nDATA\r\n" +
                         wire.dot_stuffed(message()) + b"QUIT\r\n")
        client.line.sock.shutdown(socket.SHUT_WR)
        assert [client.read()[0] for _ in range(6)] == [250, 250, 250, 354, 250, 221]
        assert client.line.closed()


def test_a_pipelined_data_without_recipients_is_refused(smtp):
    smtp.line.send(b"MAIL FROM:<sender@example.net>\r\nRCPT TO:<nobody@example.test>\r\nDATA\r\nQUIT\r\n")
    codes = [smtp.read()[0] for _ in range(4)]
    assert codes[:2] == [250, 550] and codes[2] in (503, 554) and codes[3] == 221


def test_starttls_then_a_whole_transaction(server, smtp, account):
    smtp.start_tls(server.certificate)
    smtp.expect(503, "MAIL FROM:<sender@example.net>")
    lines = smtp.expect(250, "EHLO client.example.net")
    assert "STARTTLS" not in lines
    smtp.send_message("sender@example.net", [account.address], message())
    assert b"with ESMTPS" in received(server, account)[0]
    smtp.expect(503, "STARTTLS")


def test_what_was_sent_before_tls_is_not_obeyed_after_it(server, smtp):
    """Command injection: the plaintext behind STARTTLS is thrown away, or the connection is. RFC 3207 section 4.2"""
    smtp.line.send(b"STARTTLS\r\nMAIL FROM:<injected@example.net>\r\n")
    answer = smtp.read()
    if answer[0] == 220:
        smtp.line.unread = b""
        try:
            smtp.line.start_tls(server.certificate)
            smtp.expect(250, "EHLO client.example.net")
            smtp.expect(503, "DATA")
            smtp.expect(250, "MAIL FROM:<honest@example.net>")
        except (wire.Closed, OSError):
            pass


@pytest.mark.parametrize("ending", [
    b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r\n\0.\r\n", b"\r.\r\n", b"\n\r.\r\n",
])
def test_only_crlf_dot_crlf_ends_the_data(server, account, ending):
    """Smuggling: what follows a false end is never taken as commands, and the message is refused, not mended."""
    with server.smtp() as client:
        client.begin("sender@example.net", [account.address])
        client.line.send(b"Subject: smuggler\r\n\r\nfirst" + ending +
                         b"MAIL FROM:<smuggled@example.net>\r\nRCPT TO:<" + account.address.encode() +
                         b">\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n")
        answer = client.read()
        assert answer[0] // 100 == 5, answer
        try:
            client.expect(221, "QUIT")
        except wire.Closed:
            pass
    assert received(server, account) == []


@pytest.mark.parametrize("data", [b"a bare \r here", b"a bare \n here", b"a \0 here"])
def test_bare_cr_lf_and_nul_are_refused(server, smtp, account, data):
    smtp.begin("sender@example.net", [account.address])
    smtp.line.send(b"Subject: x\r\n\r\n" + data + b"\r\n.\r\n")
    answer = smtp.read()
    assert answer[0] in (550, 554) and answer[1][0].startswith("5.6."), answer
    assert received(server, account) == []


def test_a_message_in_circles_is_refused(server, smtp, account):
    smtp.begin("sender@example.net", [account.address])
    smtp.line.send(b"Received: from a by b; Mon, 7 Feb 1994 21:52:25 -0800\r\n" * 101 + b"\r\nround\r\n.\r\n")
    answer = smtp.read()
    assert answer[0] == 554 and answer[1][0].startswith("5.4.6"), answer


def test_a_vanished_client_leaves_no_message(server, account):
    client = server.smtp()
    client.begin("sender@example.net", [account.address])
    client.line.send(b"Subject: half\r\n\r\nhalf a mess")
    client.close()
    with server.smtp() as other:
        other.expect(250, "NOOP")
    assert received(server, account) == []


def test_a_large_message_arrives_whole(server, smtp, account):
    sent = message(body="0123456789abcdef" * 4 + "\r\n" + ("x" * 76 + "\r\n") * 40000)
    smtp.send_message("sender@example.net", [account.address], sent)
    assert received(server, account)[0].endswith(sent)


def test_lines_of_any_length_arrive(server, smtp, account):
    sent = message(body="y" * 300_000 + "\r\n")
    smtp.send_message("sender@example.net", [account.address], sent)
    assert received(server, account)[0].endswith(sent)


def test_a_client_that_reads_late_is_not_listened_to_meanwhile_and_misses_nothing(server):
    """Answers that it does not read take no more memory than a pause needs, and come all when it reads."""
    count = 50000
    with server.smtp() as client:
        client.line.sock.settimeout(1)
        commands, sent = b"RSET\r\n" * count, 0
        try:
            while sent < len(commands):
                sent += client.line.sock.send(commands[sent:sent + 65536])
        except TimeoutError:
            pass
        client.line.sock.settimeout(30)
        sender = threading.Thread(target=client.line.sock.sendall, args=(commands[sent:],))
        sender.start()
        for _ in range(count):
            assert client.read()[0] == 250
        sender.join()
        client.expect(250, "NOOP")
