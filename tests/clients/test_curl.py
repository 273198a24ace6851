"""curl: what scripts do with it by SMTP, IMAP and POP3, in the clear, with STARTTLS, and with TLS from the start."""

import pytest

from harness.material import message
from harness.programs import Mail, far_side, need

IMAP = [("imap", ()), ("imap", ("--ssl-reqd",)), ("imaps", ())]
POP3 = [("pop3", ()), ("pop3", ("--ssl-reqd",)), ("pop3s", ())]


class Curl:
    def __init__(self, home, server, account):
        need("curl")
        self.home, self.server, self.account = home, server, account

    def run(self, service, path="", *options, user=True):
        login = ("-u", f"{self.account.address}:{self.account.password}") if user else ()
        return self.home.run("curl", "-sS", "--cacert", self.server.certificate, *login, *options,
                             f"{service}://localhost:{self.server.ports[service]}/{path}")


@pytest.fixture
def curl(home, server, account):
    return Curl(home, server, account)


@pytest.fixture
def mail(curl, server, account):
    """A message sent with curl to the account, as it is stored there."""
    data = message(subject="by curl", body=".\r\nHello, Grüße.\r\n")
    curl.run("smtp", "client.example.net", "--mail-from", "sender@example.net", "--mail-rcpt", account.address, "-T",
             curl.home.write("mail", data), user=False)
    stored, = far_side(server, account)["INBOX"]
    assert stored.body.endswith(data)
    return stored.body


@pytest.mark.smoke
@pytest.mark.parametrize("service,options", IMAP)
def test_sent_mail_is_read_by_imap(curl, mail, service, options):
    assert curl.run(service, "INBOX;MAILINDEX=1", *options) == mail
    assert curl.run(service, "INBOX;UID=1", *options) == mail


@pytest.mark.parametrize("service,options", POP3)
def test_sent_mail_is_read_by_pop3(curl, server, account, mail, service, options):
    server.deliver(account, message(subject="another"))
    another = next(one.body for one in far_side(server, account)["INBOX"] if one.body != mail)
    assert curl.run(service, "1", *options) == mail and curl.run(service, "2", *options) == another
    sizes = [len(mail), len(another)]
    listed = [f"{number} {size}".encode() for number, size in enumerate(sizes, 1)]
    assert curl.run(service, "", *options).splitlines() == listed
    uids = dict(line.split() for line in curl.run(service, "", "-X", "UIDL", *options).strip().splitlines())
    with server.pop3(account) as pop3:
        assert {int(number): uid for number, uid in uids.items()} == pop3.uidl()
    head, _, body = mail.partition(b"\r\n\r\n")
    assert curl.run(service, "", "-X", "TOP 1 1", *options) == head + b"\r\n\r\n" + body.partition(b"\r\n")[0] + b"\r\n"
    curl.run(service, "1", "-X", "DELE", "-l", *options)
    assert [one.body for one in far_side(server, account)["INBOX"]] == [another]


@pytest.mark.parametrize("service,options", IMAP)
def test_an_account_is_worked_on_by_imap(curl, server, account, service, options):
    path = curl.home.write("mail", message(subject="needle"))
    assert b"INBOX" in curl.run(service, "", *options)
    curl.run(service, "", "-X", 'CREATE "some folder"', *options)
    curl.run(service, "some%20folder", "-T", path, *options)
    assert curl.run(service, "some%20folder;MAILINDEX=1", *options) == message(subject="needle")
    assert curl.run(service, "some%20folder?SUBJECT%20needle", *options).split()[-1] == b"1"
    assert curl.run(service, "some%20folder?SUBJECT%20nothing", *options).split()[-1] == b"SEARCH"
    assert curl.run(service, "some%20folder;MAILINDEX=1;SECTION=TEXT", *options) == b"Hello.\r\n"
    curl.run(service, "some%20folder", "-X", "STORE 1 +FLAGS (\\Flagged)", *options)
    curl.run(service, "some%20folder", "-X", "COPY 1 Archive", *options)
    curl.run(service, "some%20folder", "-X", "MOVE 1 Trash", *options)
    assert b"MESSAGES 1" in curl.run(service, "", "-X", "STATUS Trash (MESSAGES)", *options)
    after = far_side(server, account)
    needle = Mail(message(subject="needle"), "FS")  # curl appends with \Seen
    assert after["some folder"] == [] and after["Archive"] == after["Trash"] == [needle]
    curl.run(service, "Trash", "-X", "STORE 1 +FLAGS (\\Deleted)", *options)
    curl.run(service, "Trash", "-X", "EXPUNGE", *options)
    assert far_side(server, account)["Trash"] == []


@pytest.mark.parametrize("service,options,mechanisms", [("imap", ("--ssl-reqd",), ("PLAIN", "LOGIN")),
                                                        ("pop3", ("--ssl-reqd",), ("PLAIN", "LOGIN"))])
def test_each_mechanism_logs_in(curl, service, options, mechanisms):
    for mechanism in mechanisms:
        curl.run(service, "", *options, "--login-options", f"AUTH={mechanism}")
    assert curl.home.finish("curl", "-sS", "--ssl-reqd", "--cacert", curl.server.certificate, "-u",
                            f"{curl.account.address}:wrong",
                            f"{service}://localhost:{curl.server.ports[service]}/").returncode == 67  # login denied
