"""What docs/users.md says to write into the files of mutt, fetchmail and mbsync works as it stands there, with another
name, port and password, and with the certificate of a test."""

import re
import urllib.parse

import pytest

from harness.material import message
from harness.programs import far_side, need
from harness.server import PROJECT


def documented(account, beginning):
    """The block of the document that begins with this, for an account on localhost."""
    text = (PROJECT / "docs" / "users.md").read_text()
    block, = [one for one in re.findall(r"(?ms)^```\n(.*?)^```$", text) if one.startswith(beginning)]
    for instead, by in (("you@example.org", account.address), ("mail.example.org", "localhost"),
                        ("you%40example.org", urllib.parse.quote(account.address)), ("the password", account.password)):
        block = block.replace(instead, by)
    return block


@pytest.mark.parametrize("program", ["mutt", "neomutt"])
def test_mutt(server, account, home, program):
    need(program)
    server.deliver(account, message(subject="question", sender=account.address))
    rc = documented(account, "set imap_user")
    rc = rc.replace("imaps://localhost/", f"imaps://localhost:{server.ports['imaps']}/")
    rc = re.sub(r"(smtps://.*@localhost)/", rf"\1:{server.ports['submissions']}/", rc)
    rc += f"""
set imap_pass = "{account.password}"
set smtp_pass = "{account.password}"
set ssl_ca_certificates_file = "{server.certificate}"
set certificate_file = "{server.certificate}"
"""
    home.run(program, "-n", "-F", home.write("rc", rc), "-s", "answer", account.address, input=b"Yes.\n")
    server.wait_for(lambda: len(far_side(server, account)["INBOX"]) == 2, "the message that was sent")
    with home.terminal(program, "-n", "-F", home.folder / "rc", "-e", "push '<delete-message><quit>y'") as terminal:
        terminal.wait()
    assert len(far_side(server, account)["INBOX"]) == 1 and len(far_side(server, account)["Trash"]) == 1


def test_fetchmail(server, account, home):
    need("fetchmail")
    rc = documented(account, "poll").replace("service 995", f"service {server.ports['pop3s']}").rstrip()
    rc += f' sslcertfile "{server.certificate}" mda "cat >>{home.folder}/mbox"\n'
    path = home.write("rc", "set no bouncemail\n" + rc)
    for subject in ("one", "two"):
        server.deliver(account, message(subject=subject))
        home.run("fetchmail", "-f", path)
    assert re.findall(r"(?m)^Subject: (.*?)\r?$", (home.folder / "mbox").read_text()) == ["one", "two"]
    assert len(far_side(server, account)["INBOX"]) == 2


def test_mbsync(server, account, home):
    need("mbsync")
    server.deliver(account, message(subject="one"))
    rc = documented(account, "IMAPAccount").replace(
        "Host localhost\n", f"Host localhost\nPort {server.ports['imaps']}\nCertificateFile {server.certificate}\n")
    (home.folder / "Mail").mkdir()
    home.run("mbsync", "-c", home.write("rc", rc), "-a")
    found, = (home.folder / "Mail" / "INBOX" / "new").iterdir()
    assert "Subject: one\n" in found.read_text()
