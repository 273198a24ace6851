"""Submission (RFC 6409) with AUTH (RFC 4954), and addresses in UTF-8 (RFC 6531) on every port that takes mail."""

import base64
import contextlib
import email
import email.message
import email.policy
import email.utils
import re
import smtplib
import socket
import ssl
import time

import pytest

from harness import server as harness_server
from harness import wire
from harness.material import message

WRONG = harness_server.Account(address="nobody@example.test", password="wrong")
HEAD = b"From: somebody@example.test\r\nTo: somebody@example.test\r\nSubject: a subject\r\n"


def b64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def writer(server):
    return server.add_account("writer")


@pytest.fixture
def reader(server):
    return server.add_account()


@pytest.fixture
def client(server, writer):
    with server.submission(writer) as client:
        yield client


@pytest.fixture
def stranger(server):
    with server.submission() as client:
        yield client


def submit(client, sender, recipients, data, options=""):
    client.begin(sender, recipients, options)
    client.line.send(wire.dot_stuffed(data))
    answer = client.read()
    assert answer[0] == 250, answer


def received(server, account):
    """The one message of an account's INBOX: (lines of its trace header, all that stands below)."""
    with server.imap(account) as imap:
        imap.select()
        (_, one), = imap.fetch("1:*", "(BODY.PEEK[])").items()
    trace = re.match(rb"Return-Path: .*\r\nReceived: .*\r\n(?:[ \t].*\r\n)*", one[b"BODY[]"])
    return trace.group().decode(), one[b"BODY[]"][trace.end():]


def tls_context(server):
    return ssl.create_default_context(cafile=server.certificate)


# ---------------------------------------------------------------------- by Python's client

@pytest.mark.smoke
def test_smtplib_sends_over_tls(server, writer, reader):
    mail = email.message.EmailMessage(policy=email.policy.SMTP)
    mail["From"], mail["To"], mail["Bcc"], mail["Subject"] = writer.address, reader.address, writer.address, "Hello"
    mail.set_content("Hello.\n")
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=tls_context(server)) as client:
        client.login(writer.address, writer.password)
        assert client.sendmail(writer.address, [reader.address], mail.as_bytes()) == {}
    trace, below = received(server, reader)
    assert "with ESMTPSA" in trace
    assert email.message_from_bytes(below)["Subject"] == "Hello"
    assert b"Bcc" not in below


@pytest.mark.parametrize("mechanism", ["auth_plain", "auth_login"])
@pytest.mark.parametrize("initial", [True, False])
def test_smtplib_sends_after_starttls(server, writer, reader, mechanism, initial):
    with smtplib.SMTP("localhost", server.ports["submission"]) as client:
        client.starttls(context=tls_context(server))
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        client.user, client.password = writer.address, writer.password
        method = getattr(client, mechanism)
        assert client.auth(mechanism[5:].upper(), method, initial_response_ok=initial)[0] == 235
        assert client.sendmail(writer.address, [reader.address], message()) == {}
    assert "with ESMTPSA" in received(server, reader)[0]


def test_smtplib_sends_addresses_in_utf8(server, writer, reader):
    server.cli("alias", "add", "jörg@example.test", writer.address)
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=tls_context(server)) as client:
        client.login(writer.address, writer.password)
        client.sendmail("jörg@example.test", [reader.address], message(), mail_options=["SMTPUTF8"])
    trace, _ = received(server, reader)
    assert trace.startswith("Return-Path: <jörg@example.test>\r\n") and "with UTF8SMTPSA" in trace


# ---------------------------------------------------------------------- who may send

def test_the_greeting_offers_login_only_under_tls(fresh_server):
    server = fresh_server({"login": {"allow_plain_without_tls": "never"}})
    account = server.add_account()
    with wire.Smtp(server.connect("submission")) as client:
        offered = client.expect(250, "EHLO client.example.net")
        assert "STARTTLS" in offered and not any(line.startswith("AUTH") for line in offered)
        client.expect_status(530, "5.7.0", f"MAIL FROM:<{account.address}>")
        client.expect_status(538, "5.7.11", "AUTH PLAIN " + b64(f"\0{account.address}\0{account.password}"))
        client.start_tls(server.certificate)
        assert "AUTH PLAIN LOGIN" in client.expect(250, "EHLO client.example.net")
        client.login(account)


def test_nothing_is_taken_before_a_login(stranger, reader):
    stranger.expect_status(530, "5.7.0", "MAIL FROM:<>")
    stranger.expect_status(530, "5.7.0", f"MAIL FROM:<{reader.address}>")
    stranger.expect(503, f"RCPT TO:<{reader.address}>")
    stranger.expect(503, "DATA")
    stranger.expect(250, "NOOP")
    stranger.expect(250, "RSET")


def test_other_ports_have_no_login(server, writer):
    for client in (server.smtp(), server.lmtp()):
        with client:
            client.expect_status(502, "5.5.1", "AUTH PLAIN " + b64(f"\0{writer.address}\0{writer.password}"))
            client.expect_status(555, "5.5.4", "MAIL FROM:<a@example.net> AUTH=<>")


@pytest.mark.parametrize("password", ["wrong", "correct horse battery "])
def test_a_wrong_password_is_535(server, stranger, writer, password):
    stranger.expect_status(535, "5.7.8", "AUTH PLAIN " + b64(f"\0{writer.address}\0{password}"))
    stranger.login(writer)
    assert "result=denied protocol=smtp" in server.log_text()


def test_too_many_wrong_passwords_end_the_connection(server, stranger):
    for _ in range(2):
        stranger.expect_status(535, "5.7.8", "AUTH PLAIN " + b64("\0nobody@example.test\0wrong"))
    stranger.line.send(b"AUTH PLAIN " + b64("\0nobody@example.test\0wrong").encode() + b"\r\n")
    assert [stranger.read()[0] for _ in range(2)] == [535, 421]
    with pytest.raises(wire.Closed):
        stranger.read()


def test_auth_needs_hello_and_comes_once_and_outside_of_transactions(server, writer, client):
    client.expect_status(503, "5.5.1", "AUTH PLAIN")
    client.expect(250, f"MAIL FROM:<{writer.address}>")
    client.expect_status(503, "5.5.1", "AUTH PLAIN")
    with wire.Smtp(server.connect("submissions")) as other:
        other.expect_status(503, "5.5.1", "AUTH PLAIN")
        other.expect(250, "HELO client.example.net")
        other.expect_status(503, "5.5.1", "AUTH PLAIN")


@pytest.mark.parametrize("line, code, status", [
    ("AUTH", 501, "5.5.4"), ("AUTH PLAIN a b", 501, "5.5.4"), ("AUTH CRAM-MD5", 504, "5.5.4"),
    ("AUTH GSSAPI =", 504, "5.5.4"),
    ("AUTH PLAIN =", 501, "5.5.2"), ("AUTH PLAIN ====", 501, "5.5.2"), ("AUTH PLAIN =AAA", 501, "5.5.2"),
    ("AUTH PLAIN " + b64("\0someone"), 501, "5.5.2"), ("AUTH PLAIN " + b64("other\0someone\0password"), 535, "5.7.8"),
    ("AUTH LOGIN =", 501, "5.5.2"), ("AUTH LOGIN " + b64("x" * 400), 535, "5.7.8"),
])
def test_broken_logins_are_refused(stranger, writer, line, code, status):
    stranger.expect_status(code, status, line)
    stranger.login(writer)


def test_login_can_be_cancelled_in_each_step(stranger, writer):
    for lines in (["AUTH PLAIN"], ["AUTH LOGIN"], ["AUTH LOGIN", b64(writer.address)]):
        for line in lines:
            stranger.expect(334, line)
        stranger.expect_status(501, "5.7.0", "*")
    assert stranger.expect(334, "AUTH LOGIN") == [b64("Username:")]
    assert stranger.expect(334, b64(writer.address)) == [b64("Password:")]
    stranger.expect_status(235, "2.7.0", b64(writer.password))


def test_a_response_may_be_long_but_not_endless(stranger, writer):
    stranger.expect(334, "AUTH PLAIN")
    stranger.expect_status(535, "5.7.8", "A" * 12288)
    stranger.expect(334, "AUTH PLAIN")
    stranger.expect_status(500, "5.5.6", "A" * 12292)
    stranger.login(writer)


def test_a_login_may_be_pipelined_with_the_mail(server, stranger, writer, reader):
    stranger.line.send(b"AUTH PLAIN " + b64(f"\0{writer.address}\0{writer.password}").encode() +
                       f"\r\nMAIL FROM:<{writer.address}>\r\nRCPT TO:<{reader.address}>\r\nDATA\r\n".encode())
    assert [stranger.read()[0] for _ in range(4)] == [235, 250, 250, 354]
    stranger.line.send(wire.dot_stuffed(message()))
    assert stranger.read()[0] == 250


def submitters(server):
    return [one["account"] for one in server.cli_json("who", "--all") if one["protocol"] == "submission"]


@pytest.mark.parametrize("right", [True, False])
def test_who_has_said_all_may_still_listen_for_the_login(server, writer, right):
    with wire.Smtp(server.connect("submission")) as client:
        client.line.send(b"EHLO c\r\nAUTH PLAIN " +
                         b64(f"\0{writer.address}\0{writer.password if right else 'wrong'}").encode() + b"\r\nQUIT\r\n")
        client.line.sock.shutdown(socket.SHUT_WR)
        assert [client.read()[0] for _ in range(3)] == [250, 235 if right else 535, 221]


def test_starttls_forgets_what_came_before(server):
    writer = server.add_account()
    with wire.Smtp(server.connect("submission")) as client:
        client.expect(250, "EHLO client.example.net")
        client.login(writer)  # the test's settings allow it without TLS
        assert writer.address in submitters(server)
        client.start_tls(server.certificate)
        assert writer.address not in submitters(server)
        client.expect(250, "EHLO client.example.net")
        client.expect_status(530, "5.7.0", f"MAIL FROM:<{writer.address}>")


def test_a_login_that_was_slipped_in_before_tls_does_not_count(server, writer):
    """Command injection (RFC 3207 section 4.2): what stands in the clear behind STARTTLS is thrown away."""
    with wire.Smtp(server.connect("submission")) as client:
        client.expect(250, "EHLO client.example.net")
        client.line.send(b"STARTTLS\r\nEHLO x\r\nAUTH PLAIN " + b64(f"\0{writer.address}\0{writer.password}").encode() +
                         b"\r\n")
        assert client.read()[0] == 220
        client.line.unread = b""
        client.line.start_tls(server.certificate)
        client.expect(503, "AUTH PLAIN")
        client.expect(250, "EHLO client.example.net")
        client.expect_status(530, "5.7.0", f"MAIL FROM:<{writer.address}>")


def test_app_passwords_are_for_the_protocols_they_were_made_for(server, reader):
    made = {protocols: server.cli_json("account", "app-password", "add", reader.address, name, "--protocols", protocols)
            for name, protocols in (("phone", "smtp"), ("reader", "imap,pop3"))}
    for protocols, answer in made.items():
        login = harness_server.Account(address=reader.address, password=answer["password"])
        with server.submission() as client:
            code = 235 if protocols == "smtp" else 535
            client.expect(code, "AUTH PLAIN " + b64(f"\0{login.address}\0{login.password}"))
        with server.imap() as imap:
            (imap.no if protocols == "smtp" else imap.ok)(b"LOGIN ", wire.quoted(login.address), b" ",
                                                          wire.quoted(login.password))


def test_wrong_passwords_count_for_all_protocols(fresh_server):
    """Who guesses here is slowed down everywhere: the throttle is auth's. No answer is waited for, only what was done."""
    server = fresh_server({"login": {"failure_delay": "1m", "failure_delay_max": "1m"}})
    reader = server.add_account()
    with contextlib.ExitStack() as connections:
        def say(service, text, hello=b""):
            line = connections.enter_context(server.connect(service))
            line.read_line()
            line.send(hello + text.encode() + b"\r\n")

        def compared(result):
            return server.sum_of("passwords_" + result)

        for _ in range(3):
            say("submission", "AUTH PLAIN " + b64(f"\0{reader.address}\0wrong"), b"EHLO client.example.net\r\n")
        server.wait_for(lambda: compared("wrong") == 3, "three wrong passwords")
        assert server.sum_of("logins_put_off") == 0
        say("imap", f"a LOGIN {reader.address} {wire.quoted(reader.password).decode()}")
        server.wait_for(lambda: server.sum_of("logins_put_off") == 1, "a login that is put off")
        say("pop3", f"USER {reader.address}\r\nPASS {reader.password}")
        server.wait_for(lambda: server.sum_of("logins_put_off") == 2, "another")
        assert (compared("right"), compared("wrong")) == (0, 3)


def test_a_login_works_while_auth_is_started_again(server, writer):
    with server.submission() as client:
        server.kill_role("auth")
        client.login(writer)


def test_submissions_speaks_no_plaintext(server):
    line = wire.Line.open("127.0.0.1", server.ports["submissions"])
    line.send(b"EHLO client.example.net\r\n")
    try:
        assert not line.sock.recv(100).startswith(b"220")
    except OSError:
        pass
    line.sock.close()


# ---------------------------------------------------------------------- in whose name

def test_the_sender_is_an_address_of_the_account(server, client, writer, reader):
    for address in (reader.address, "nobody@example.test", "someone@example.org", "postmaster@example.org"):
        client.expect_status(553, "5.7.1", f"MAIL FROM:<{address}>")
        client.expect(503, f"RCPT TO:<{reader.address}>")
    for address in (writer.address, "WRITER@Example.Test", "writer+list@example.test", '"writer"@example.test', ""):
        client.expect(250, f"MAIL FROM:<{address}>")
        client.expect(250, "RSET")
    assert "event=sender-refused" in server.log_text()


def test_an_alias_of_the_account_alone_may_send(server, client, writer, reader):
    server.cli("alias", "add", "alone@example.test", writer.address)
    server.cli("alias", "add", "second@example.test", "alone@example.test")
    server.cli("alias", "add", "shared@example.test", writer.address, reader.address)
    server.cli("alias", "add", "others@example.test", reader.address)
    for address, code in (("alone", 250), ("second", 250), ("shared", 553), ("others", 553)):
        client.expect(code, f"MAIL FROM:<{address}@example.test>")
        client.expect(250, "RSET")


def test_a_removed_account_sends_no_more(server, reader):
    gone = server.add_account()
    with server.submission(gone) as client:
        client.expect(250, f"MAIL FROM:<{gone.address}>")
        client.expect(250, "RSET")
        server.cli("account", "remove", gone.address, "--yes")
        client.expect_status(421, "4.7.0", "MAIL FROM:<>")
        assert client.line.closed()


def test_a_removed_app_password_sends_no_more(server, reader):
    made = server.cli_json("account", "app-password", "add", reader.address, "phone")
    with server.submission(harness_server.Account(address=reader.address, password=made["password"])) as client:
        submit(client, reader.address, [reader.address], message())
        server.cli("account", "app-password", "remove", reader.address, "phone")
        client.expect_status(421, "4.7.0", f"MAIL FROM:<{reader.address}>")
        assert client.line.closed()


# ---------------------------------------------------------------------- no relay

RELAY = ["someone@example.org", "someone@sub.example.test", "someone@[127.0.0.1]", "someone@[192.0.2.1]",
         "someone%example.org@example.test", "example.org!someone@example.test", '"someone@example.org"@example.test',
         "@example.test:someone@example.org", "@example.test,@example.org:someone@example.org", "someone@example.org.",
         '"someone@example.org"', "someone@EXAMPLE.TEST.example.org"]


@pytest.mark.parametrize("recipient", RELAY)
@pytest.mark.parametrize("port", ["smtp", "lmtp", "submission", "submissions"])
def test_nobody_relays(server, writer, port, recipient):
    with (getattr(server, port)() if port in ("smtp", "lmtp") else server.submission(writer, port)) as client:
        client.expect(250, f"MAIL FROM:<{writer.address}>")
        code, text = client.command(f"RCPT TO:<{recipient}>")
        assert code // 100 == 5, (recipient, text)
        if recipient == "someone@example.org":
            assert code == 550 and text[0].startswith("5.7.1"), text
        assert client.command("DATA")[0] // 100 == 5


# ---------------------------------------------------------------------- what becomes of the message

def test_what_is_whole_is_stored_byte_for_byte(server, client, writer, reader):
    data = HEAD + (b"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nmessage-id: <1@example.test>\r\n\r\n"
                   b"Bcc: of the body\r\n.\r\n\r\n")
    submit(client, writer.address, [reader.address], data)
    assert received(server, reader)[1] == data


def test_date_and_message_id_are_added_where_they_are_missing(server, client, writer, reader):
    submit(client, writer.address, [reader.address], HEAD + b"\r\ntext\r\n")
    _, below = received(server, reader)
    added = email.message_from_bytes(below)
    assert below.endswith(HEAD + b"\r\ntext\r\n")
    assert abs(email.utils.parsedate_to_datetime(added["Date"]).timestamp() - time.time()) < 3600
    assert re.fullmatch(r"<[0-9a-f.]+@mail\.example\.test>", added["Message-ID"])


def test_message_ids_differ(server, client, writer, reader):
    for _ in range(2):
        submit(client, writer.address, [reader.address], HEAD + b"\r\ntext\r\n")
    with server.imap(reader) as imap:
        imap.select()
        found = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])").values()
    assert len({str(one) for one in found}) == 2


def test_bcc_is_taken_out_whole(server, client, writer, reader):
    data = (b"Bcc: secret-one@example.test,\r\n secret-two@example.test\r\n" + HEAD +
            b"bcc : secret-three@example.test\r\nResent-Bcc: secret-four@example.test\r\nX-Bcc: stays\r\n\r\ntext\r\n")
    submit(client, writer.address, [reader.address, writer.address], data)
    _, below = received(server, reader)
    assert b"secret" not in below and below.endswith(HEAD + b"X-Bcc: stays\r\n\r\ntext\r\n")


def test_large_messages_are_filtered_on_their_way_too(server, client, writer, reader):
    data = HEAD + b"X-Long: " + b"x" * 200000 + b"\r\nBcc: secret@example.test\r\n\r\n" + b"y" * 70 + b"\r\n" * 100000
    submit(client, writer.address, [reader.address], data)
    _, below = received(server, reader)
    assert below.endswith(data.replace(b"Bcc: secret@example.test\r\n", b""))


def test_other_ports_change_no_message(server, reader):
    data = b"Bcc: someone@example.test\r\nSubject: x\r\n\r\ntext\r\n"
    with server.smtp() as client:
        client.send_message("sender@example.net", [reader.address], data)
    assert received(server, reader)[1] == data


# ---------------------------------------------------------------------- UTF-8

@pytest.fixture(scope="module")
def jörg(server):
    server.add_domain("bücher.example")
    return server.add_account("jörg", domain="bücher.example")


def offered(server, port):
    if port in ("smtp", "lmtp"):
        return getattr(server, port)()
    return server.submission(service=port)


@pytest.mark.parametrize("port", ["smtp", "lmtp", "submission", "submissions"])
def test_smtputf8_is_offered_everywhere(server, port):
    with offered(server, port) as client:
        lines = client.expect(250, ("LHLO" if port == "lmtp" else "EHLO") + " client.example.net")
        assert "SMTPUTF8" in lines and "8BITMIME" in lines


@pytest.mark.parametrize("port", ["smtp", "lmtp"])
@pytest.mark.parametrize("recipient", ["jörg@bücher.example", "JÖRG@BÜCHER.EXAMPLE", "jo\u0308rg@bu\u0308cher.example",
                                       "jörg@xn--bcher-kva.example", "jörg+detail@bücher.example",
                                       '"jörg"@bücher.example',
                                       "jörg@bücher。example"])
def test_spellings_of_an_address_are_one(server, jörg, port, recipient):
    with offered(server, port) as client:
        client.begin("käthe@пример.example", [recipient], " SMTPUTF8 BODY=8BITMIME")
        client.line.send(wire.dot_stuffed("Subject: Grüße\r\n\r\nGrüße\r\n".encode()))
        answer = client.read()
        assert answer[0] == 250 and (port == "smtp" or f"<{recipient}>" in answer[1][0])
    with server.imap(jörg) as imap:
        imap.select()
        newest = [one[b"BODY[]"] for _, one in sorted(imap.fetch("1:*", "(BODY.PEEK[])").items())][-1]
    text = newest.decode()
    assert text.startswith("Return-Path: <käthe@пример.example>\r\n")
    assert f"with UTF8{port.upper()}" in text and f"for <{recipient}>;" in text and "Subject: Grüße" in text


def test_without_smtputf8_addresses_are_ascii(server, jörg):
    with server.smtp() as client:
        client.expect_status(550, "5.6.7", "MAIL FROM:<käthe@example.net>")
        client.expect(250, "MAIL FROM:<kate@example.net>")
        client.expect_status(553, "5.6.7", f"RCPT TO:<{jörg.address}>")
        client.expect(250, "RSET")
        client.expect(501, "MAIL FROM:<kate@example.net> SMTPUTF8=yes")
        client.expect(501, b"MAIL FROM:<k\xe4the@example.net> SMTPUTF8")
        client.expect(252, "VRFY jörg SMTPUTF8")
        # the domain alone has an ASCII form, which needs nothing
        client.expect(250, "MAIL FROM:<kate@example.net>")
        client.expect_status(550, "5.1.1", "RCPT TO:<nobody@xn--bcher-kva.example>")


def test_an_unknown_address_in_utf8_is_refused_like_any(server, jörg):
    with server.smtp() as client:
        client.expect(250, "MAIL FROM:<kate@example.net> SMTPUTF8")
        client.expect_status(550, "5.1.1", "RCPT TO:<käthe@bücher.example>")
        client.expect_status(550, "5.7.1", "RCPT TO:<jörg@пример.example>")
        client.expect_status(550, "5.7.1", "RCPT TO:<jörg@☃.example>")


def test_a_domain_is_one_domain_however_it_is_written(server, jörg):
    done = server.cli("domain", "add", "xn--bcher-kva.example", check=False)
    assert done.returncode != 0
    assert "xn--bcher-kva.example" in server.cli("domain", "list").stdout
    assert server.cli("account", "list", "--domain", "bücher.example", check=False).returncode in (0, 2)


def test_logins_have_their_spellings_too(server, jörg):
    for user in ("jörg@bücher.example", "Jörg@XN--BCHER-KVA.example"):
        with server.submission(harness_server.Account(address=user, password=jörg.password)) as client:
            client.expect(250, f"MAIL FROM:<{user}> SMTPUTF8")
