"""Python's own clients: smtplib, imaplib, poplib."""

import email.message
import email.policy
import imaplib
import poplib
import smtplib
import ssl

import pytest

from harness.material import NESTED, message
from harness.programs import Mail, bodies, far_side
from harness.wire import quoted


@pytest.fixture
def context(server):
    return ssl.create_default_context(cafile=server.certificate)


@pytest.fixture(params=["STARTTLS", "TLS"])
def imap(request, server, account, context):
    if request.param == "TLS":
        client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=context, timeout=30)
    else:
        client = imaplib.IMAP4("localhost", server.ports["imap"], timeout=30)
        client.starttls(context)
    with client:
        client.login(account.address, account.password)
        yield client


@pytest.fixture(params=["STLS", "TLS"])
def pop3(request, server, account, context):
    if request.param == "TLS":
        client = poplib.POP3_SSL("localhost", server.ports["pop3s"], timeout=30, context=context)
    else:
        client = poplib.POP3("localhost", server.ports["pop3"], timeout=30)
        client.stls(context)
    yield client
    client.close()


def test_smtplib_sends_what_email_makes(server, account, context):
    letter = email.message.EmailMessage(policy=email.policy.SMTP)
    letter["From"], letter["To"], letter["Subject"] = account.address, account.address, "Grüße"
    letter.set_content("Zeile eins\n.\nÜber\n" + "x" * 2000 + "\n")
    data = bytes(range(256)) * 300
    letter.add_attachment(data, maintype="application", subtype="octet-stream", filename="Straße.bin")
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], timeout=30, context=context) as smtp:
        smtp.login(account.address, account.password)
        assert smtp.send_message(letter) == {}
        assert smtp.noop()[0] == 250 and smtp.rset()[0] == 250
    body, = bodies(far_side(server, account)["INBOX"])
    got = email.message_from_bytes(body, policy=email.policy.SMTP)
    assert got["Subject"] == "Grüße"
    assert got.get_body().get_content().splitlines() == letter.get_body().get_content().splitlines()
    attachment, = got.iter_attachments()
    assert attachment.get_filename() == "Straße.bin" and attachment.get_content() == data


@pytest.mark.smoke
def test_imaplib_works_on_an_account(server, account, imap):
    mails = [NESTED] + [message(subject=f"number {number}") for number in range(4)]
    for data in mails:
        status, (answer,) = imap.append("INBOX", "(\\Flagged)", '"07-Feb-1994 21:52:25 -0800"', data)
        assert status == "OK" and answer.startswith(b"[APPENDUID ")
    assert imap.select() == ("OK", [b"5"])
    assert imap.status("INBOX", "(MESSAGES UNSEEN)") == ("OK", [b'INBOX (MESSAGES 5 UNSEEN 5)'])
    assert imap.fetch("1", "(RFC822)")[1][0][1] == NESTED
    assert imap.uid("FETCH", "2:*", "(BODY.PEEK[])")[1][0::2][0][1] == mails[1]
    assert imap.search(None, "SUBJECT", quoted("number 2").decode()) == ("OK", [b"4"])
    imap.literal = "Grüße".encode()
    assert imap.search("UTF-8", "SUBJECT") == ("OK", [b"1"])
    assert imap.store("1", "+FLAGS", "(\\Deleted \\Answered)")[0] == "OK"
    assert imap.expunge() == ("OK", [b"1"])
    assert imap.create("made")[0] == imap.subscribe("made")[0] == "OK" and imap.copy("1:2", "made")[0] == "OK"
    assert imap.rename("made", "renamed")[0] == "OK"
    assert any(b"renamed" in line for line in imap.list()[1]) and imap.namespace()[0] == "OK"
    assert imap.uid("MOVE", "3", "renamed")[0] == "OK" and imap.unselect()[0] == "OK"
    after = far_side(server, account)
    assert after["INBOX"] == sorted(Mail(mails[number], "F") for number in (1, 3, 4))
    assert after["renamed"] == sorted(Mail(mails[number], "F") for number in (1, 2, 2))
    assert imap.delete("renamed")[0] == "OK" and "renamed" not in far_side(server, account)


@pytest.mark.parametrize("service", ["imap", "imaps"])
def test_imaplib_authenticates_with_plain(server, account, context, service):
    with (imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=context) if service == "imaps" else
          imaplib.IMAP4("localhost", server.ports["imap"])) as imap:
        if service == "imap":
            imap.starttls(context)
        assert "AUTH=PLAIN" in imap.capabilities
        secret = f"\0{account.address}\0{account.password}".encode()
        assert imap.authenticate("PLAIN", lambda _: secret)[0] == "OK"
        assert imap.noop()[0] == "OK"


def test_poplib_reads_an_account(server, account, pop3):
    mails = [NESTED, message(body=".\r\n..\r\n"), message(body="")]
    for data in mails:
        server.deliver(account, data)
    stored = bodies(far_side(server, account)["INBOX"])
    assert "UIDL" in pop3.capa() and "TOP" in pop3.capa()
    pop3.user(account.address)
    pop3.pass_(account.password)
    assert pop3.stat() == (3, sum(map(len, stored)))
    assert len({line.split()[1] for line in pop3.uidl()[1]}) == 3
    got = [b"".join(line + b"\r\n" for line in pop3.retr(number)[1]) for number in (1, 2, 3)]
    assert sorted(got) == stored
    assert [int(line.split()[1]) for line in pop3.list()[1]] == [len(data) for data in got]
    assert b"".join(line + b"\r\n" for line in pop3.top(2, 0)[1]) == got[1].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    pop3.dele(1)
    pop3.rset()
    pop3.dele(3)
    pop3.quit()
    assert bodies(far_side(server, account)["INBOX"]) == sorted(got[:2])
