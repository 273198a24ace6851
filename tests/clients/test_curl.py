"""curl sends by SMTP and reads by IMAP and POP3, in the clear, with STARTTLS, and over TLS."""

import subprocess

import pytest

from harness.material import message


def curl(server, *arguments, input=None):
    """curl's standard output; `{imap}` and the like in the arguments become ports."""
    done = subprocess.run(["curl", "-sS", "--max-time", "30", "--cacert", server.certificate,
                           *[str(one).format(**server.ports) for one in arguments]],
                          input=input, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def login(account):
    return "-u", f"{account.address}:{account.password}"


TRANSPORTS = [("imap://127.0.0.1:{imap}", []), ("imap://127.0.0.1:{imap}", ["--ssl-reqd"]),
              ("imaps://127.0.0.1:{imaps}", [])]


@pytest.fixture
def mail(server, account, tmp_path):
    """A message sent with curl to the account."""
    path = tmp_path / "mail"
    path.write_bytes(message(subject="by curl"))
    curl(server, "smtp://127.0.0.1:{smtp}", "--mail-from", "sender@example.net", "--mail-rcpt", account.address,
         "-T", path)
    return message(subject="by curl")


@pytest.mark.smoke
@pytest.mark.parametrize("url,options", TRANSPORTS)
def test_sent_mail_is_read_by_imap(server, account, mail, url, options):
    assert curl(server, *options, *login(account), url + "/INBOX;MAILINDEX=1").endswith(mail)
    assert curl(server, *options, *login(account), url + "/INBOX;UID=1").endswith(mail)


@pytest.mark.parametrize("url,options", [("pop3://127.0.0.1:{pop3}", []), ("pop3://127.0.0.1:{pop3}", ["--ssl-reqd"]),
                                         ("pop3s://127.0.0.1:{pop3s}", [])])
def test_sent_mail_is_read_by_pop3(server, account, mail, url, options):
    assert curl(server, *options, *login(account), url + "/1").endswith(mail)
    assert curl(server, *options, *login(account), url + "/").startswith(b"1 ")


def test_mail_is_sent_with_starttls(server, account, tmp_path):
    path = tmp_path / "mail"
    path.write_bytes(message())
    curl(server, "--ssl-reqd", "smtp://127.0.0.1:{smtp}", "--mail-from", "sender@example.net", "--mail-rcpt",
         account.address,
         "-T", path)
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 1


def test_folders_are_listed_and_mail_is_appended_and_found(server, account, tmp_path):
    path = tmp_path / "mail"
    path.write_bytes(message(subject="needle"))
    base = "imap://127.0.0.1:{imap}/"
    assert b"INBOX" in curl(server, *login(account), base)
    curl(server, *login(account), base, "-X", "CREATE \"some folder\"")
    curl(server, *login(account), base + "some%20folder", "-T", path)
    assert curl(server, *login(account), base + "some%20folder;MAILINDEX=1") == message(subject="needle")
    assert curl(server, *login(account), base + "some%20folder?SUBJECT%20needle").split()[-1] == b"1"
    assert curl(server, *login(account), base + "some%20folder;MAILINDEX=1;SECTION=TEXT") == b"Hello.\r\n"
