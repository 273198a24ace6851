"""Programs that send mail: from elsewhere to port 25, with and without STARTTLS, and as somebody who lives here by
submission, with STARTTLS and with TLS from the start. What they send arrives byte for byte."""

import collections
import re
import smtplib
import ssl

import pytest

from harness.material import AWKWARD_BODIES, message
from harness.programs import bodies, far_side, need
from harness.wire import dot_stuffed

MSMTP = """
account default
host localhost
port {port}
tls {tls}
tls_starttls {starttls}
tls_trust_file {certificate}
auth {auth}
user {user}
password {password}
set_date_header off
set_from_header off
remove_bcc_headers off
"""

# Wrong passwords of one test must not slow down the next, which comes from the same address.
SETTINGS = {"login": {"failure_delay": "0ms"}}

# mechanism: "" is without a login
Way = collections.namedtuple("Way", "service tls mechanism")
PUBLIC = [Way("smtp", "", ""), Way("smtp", "STARTTLS", "")]
SUBMISSION = [Way(service, tls, mechanism) for service, tls in (("submission", "STARTTLS"), ("submissions", "TLS"))
              for mechanism in ("PLAIN", "LOGIN")]


class Program:
    """A program that sends; one way, one message."""

    NEEDS = ()

    def __init__(self, home, server):
        need(*self.NEEDS)
        self.home, self.server = home, server

    def send(self, way, account, recipients, data, sender=None):
        """Logs in as the account, and sends in its name or another; whether the program says that it was sent."""
        raise NotImplementedError

    def run(self, *command, input=b""):
        return self.home.finish(*command, input=input).returncode == 0


class Curl(Program):
    NEEDS = ("curl",)

    def send(self, way, account, recipients, data, sender=None):
        login = ["-u", f"{account.address}:{account.password}", "--login-options", f"AUTH={way.mechanism}"]
        scheme = "smtps" if way.tls == "TLS" else "smtp"
        return self.run("curl", "-sS", "--cacert", self.server.certificate,
                         *(["--ssl-reqd"] if way.tls == "STARTTLS" else []), *(login if way.mechanism else []),
                         "--mail-from", sender or account.address,
                         *[word for one in recipients for word in ("--mail-rcpt", one)],
                         "-T", self.home.write("mail", data),
                         f"{scheme}://localhost:{self.server.ports[way.service]}/client.example.net")


class Swaks(Program):
    NEEDS = ("swaks",)

    def send(self, way, account, recipients, data, sender=None):
        login = ["--auth", way.mechanism, "--auth-user", account.address, "--auth-password", account.password]
        # ready for the wire, so that swaks leaves it alone; it ends the line with the dot itself
        data = dot_stuffed(data).removesuffix(b"\r\n")
        tls = {"": [], "STARTTLS": ["--tls"], "TLS": ["--tls-on-connect"]}[way.tls]
        return self.run("swaks", "--silent", "2", "--server", "localhost",
                         "--port", self.server.ports[way.service], *tls,
                         *(["--tls-verify", "--tls-ca-path", self.server.certificate] if tls else []),
                         *(login if way.mechanism else []),
                         "--ehlo", "client.example.net", "--from", sender or account.address,
                         "--to", ",".join(recipients),
                         "--no-data-fixup", "--data", f"@{self.home.write('mail', data)}")


class Msmtp(Program):
    NEEDS = ("msmtp",)

    def send(self, way, account, recipients, data, sender=None):
        config = self.home.write("msmtprc", MSMTP.format(
            port=self.server.ports[way.service], tls="on" if way.tls else "off",
            starttls="on" if way.tls == "STARTTLS" else "off", certificate=self.server.certificate,
            auth=way.mechanism.lower() or "off", user=account.address, password=account.password))
        return self.run("msmtp", "-C", config, "-f", sender or account.address, "--", *recipients, input=data)


class Smtplib(Program):
    def send(self, way, account, recipients, data, sender=None):
        context = ssl.create_default_context(cafile=self.server.certificate)
        port = self.server.ports[way.service]
        smtp = (smtplib.SMTP_SSL("localhost", port, timeout=30, context=context) if way.tls == "TLS" else
                smtplib.SMTP("localhost", port, timeout=30))
        with smtp:
            if way.tls == "STARTTLS":
                smtp.starttls(context=context)
            smtp.ehlo()
            smtp.user, smtp.password = account.address, account.password
            try:
                if way.mechanism:
                    smtp.auth(way.mechanism, getattr(smtp, f"auth_{way.mechanism.lower()}"))
                return smtp.sendmail(sender or account.address, recipients, data) == {}
            except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused):
                return False


PROGRAMS = (Curl, Swaks, Msmtp, Smtplib)


@pytest.fixture(params=PROGRAMS, ids=lambda one: one.__name__.lower())
def program(request, home, server):
    return request.param(home, server)


def ways(*which):
    return pytest.mark.parametrize("way", which, ids=lambda one: "-".join(word for word in one if word))


def arrived(server, account):
    """The messages of an INBOX without what the server wrote before them."""
    return sorted(body[body.index(b"\r\nFrom: ") + 2:] for body in bodies(far_side(server, account)["INBOX"]))


@pytest.mark.smoke
@ways(*PUBLIC, *SUBMISSION)
def test_what_is_sent_arrives(server, account, program, way):
    friends = [server.add_account(), server.add_account()]
    sent = [message(subject=f"number {number}", body=body, sender=account.address)
            for number, body in enumerate(AWKWARD_BODIES)]
    for data in sent:
        assert program.send(way, account, [friend.address for friend in friends], data)
    for friend in friends:
        assert arrived(server, friend) == sorted(sent)


@ways(SUBMISSION[0], SUBMISSION[-1])
def test_refusals_are_understood_and_nothing_is_delivered(server, account, program, way):
    friend, stranger = server.add_account(), server.add_account()
    data = message(sender=account.address)
    wrong = type(account)(address=account.address, password="wrong")
    assert not program.send(way, wrong, [friend.address], data)
    assert not program.send(way._replace(mechanism=""), account, [friend.address], data)
    assert not program.send(way, account, [friend.address], data, sender=stranger.address)
    assert not program.send(way, account, ["somebody@elsewhere.example.org"], data)
    assert arrived(server, friend) == []
    assert program.send(way, account, [friend.address], data)
    assert arrived(server, friend) == [data]


@ways(SUBMISSION[0])
def test_submission_completes_the_header_and_hides_blind_copies(server, account, program, way):
    shown, hidden = server.add_account(), server.add_account()
    data = (f"From: Me <{account.address}>\r\nTo: {shown.address}\r\nBcc: {hidden.address}\r\nSubject: bare\r\n\r\n"
            "Hello.\r\n").encode()
    assert program.send(way, account, [shown.address, hidden.address], data)
    for friend in (shown, hidden):
        body, = bodies(far_side(server, friend)["INBOX"])
        header = body.partition(b"\r\n\r\n")[0] + b"\r\n"
        assert b"\r\nDate: " in header and b"\r\nMessage-ID: <" in header and b"\r\nSubject: bare\r\n" in header
        assert hidden.address.encode() not in re.sub(rb"(?m)^Received: .*\r\n(?:[ \t].*\r\n)*", b"", header)
        assert body.endswith(b"\r\n\r\nHello.\r\n")
