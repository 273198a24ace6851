"""Python's own clients: smtplib, imaplib, poplib."""

import imaplib
import poplib
import smtplib
import ssl

from harness.material import message


def test_smtplib_imaplib_poplib(server, account):
    context = ssl.create_default_context(cafile=server.certificate)
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=30) as smtp:
        smtp.starttls(context=context)
        assert smtp.sendmail("sender@example.net", [account.address], message()) == {}
    with imaplib.IMAP4("127.0.0.1", server.ports["imap"], timeout=30) as imap:
        imap.starttls(context)
        imap.login(account.address, account.password)
        assert imap.select()[1] == [b"1"]
        assert imap.fetch("1", "(RFC822)")[1][0][1].endswith(message())
        assert imap.append("Sent", "\\Seen", imaplib.Time2Internaldate(800000000), message())[0] == "OK"
        assert imap.store("1", "+FLAGS", "\\Deleted")[0] == "OK" and imap.expunge()[1] == [b"1"]
    pop3 = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=30)
    pop3.stls(context)
    pop3.user(account.address)
    pop3.pass_(account.password)
    assert pop3.stat() == (0, 0)
    pop3.quit()
