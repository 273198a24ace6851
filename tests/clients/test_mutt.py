"""neomutt and mutt: a person reads, answers, files and deletes mail; each step is one run at a terminal, with its keys
given."""

import pytest

from harness.material import message
from harness.programs import Mail, far_side, need

RC = """
set folder = "{url}"
set spoolfile = "+INBOX"
set record = "+Sent"
set imap_user = "{user}"
set imap_pass = "{password}"
set ssl_starttls = yes
set ssl_force_tls = yes
set ssl_ca_certificates_file = "{certificate}"
set certificate_file = "{certificate}"
set smtp_url = "{smtp}"
set smtp_pass = "{password}"
set smtp_authenticators = "plain"
set from = "{user}"
set realname = "A Person"
set send_charset = "us-ascii:utf-8"
set editor = "{editor}"
set fast_reply = yes
set include = yes
set confirmappend = no
set delete = yes
set quit = yes
set mark_old = no
set sleep_time = 0
set wait_key = no
set sort = mailbox-order
set alias_file = "{home}/aliases"
unset header_cache
unset save_name
unset signature
"""
QRESYNC = """
set header_cache = "~/headers"
set imap_condstore = yes
set imap_qresync = yes
"""
EDITOR = """#!/bin/sh
printf '\\nMy answer.\\n' >>"$1"
"""


class Mutt:
    def __init__(self, program, home, server, account, tls, more=""):
        need(program)
        self.program, self.home = program, home
        url = (f"imaps://localhost:{server.ports['imaps']}/" if tls else
               f"imap://localhost:{server.ports['imap']}/")
        user = account.address.replace("@", "%40")
        smtp = (f"smtps://{user}@localhost:{server.ports['submissions']}/" if tls else
                f"smtp://{user}@localhost:{server.ports['submission']}/")
        self.rc = home.write("rc", RC.format(
            url=url, smtp=smtp, user=account.address, password=account.password, certificate=server.certificate,
            editor=home.write("editor", EDITOR, 0o700), home=home.folder) + more)

    def keys(self, *functions, options=()):
        """A run in which somebody presses these, and <quit> at the end, which saves what was changed."""
        push = "".join(functions) + "<quit>"
        with self.home.terminal(self.program, *options, "-n", "-F", self.rc, "-e", f"push '{push}'") as terminal:
            terminal.wait()


@pytest.fixture(params=["neomutt", "mutt"])
def program(request):
    return request.param


def subject(mail):
    return mail.body.partition(b"\r\nSubject: ")[2].partition(b"\r\n")[0].decode()


def subjects(mails):
    return {subject(mail): mail.flags for mail in mails}


@pytest.mark.smoke
@pytest.mark.parametrize("tls", [False, True], ids=["STARTTLS", "IMAPS"])
def test_a_person_reads_answers_files_and_deletes(server, account, home, program, tls):
    mutt = Mutt(program, home, server, account, tls)
    friend = server.add_account()
    for about in ("question", "to file", "to delete", "later"):
        server.deliver(account, message(subject=about, sender=friend.address, recipient=account.address,
                                        extra="MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n",
                                        body=f"About {about}, and Grüße.\r\n"))
    delivered = {subject(mail): mail.body for mail in far_side(server, account)["INBOX"]}

    mutt.keys("<first-entry><display-message><exit>")
    assert subjects(far_side(server, account)["INBOX"]) == {"question": "S", "to file": "", "to delete": "",
                                                            "later": ""}

    mutt.keys("<first-entry><reply><send-message>")
    answer, = far_side(server, friend)["INBOX"]
    assert b"\r\nSubject: Re: question\r\n" in answer.body and answer.body.endswith(b"\r\nMy answer.\r\n")
    assert b"> About question, and Gr\xc3\xbc\xc3\x9fe.\r\n" in answer.body and b"\r\nIn-Reply-To: <" in answer.body
    sent, = far_side(server, account)["Sent"]
    assert sent.flags == "S" and sent.body.endswith(b"\r\nMy answer.\r\n")
    assert subjects(far_side(server, account)["INBOX"])["question"] == "RS"

    mutt.keys("<first-entry><next-entry><save-message>=Archive<enter>")
    mutt.keys("<first-entry><next-entry><delete-message>")
    mutt.keys("<last-entry><flag-message><copy-message>=Drafts<enter>")
    after = far_side(server, account)
    assert subjects(after["INBOX"]) == {"question": "RS", "later": "F"}
    assert after["Archive"] == [Mail(delivered["to file"], "")]
    assert after["Drafts"] == [Mail(delivered["later"], "F")]

    mutt.keys("<search>~s question<enter><toggle-new>",
              "<tag-pattern>~A<enter><tag-prefix><save-message>=Archive<enter>")
    after = far_side(server, account)
    assert after["INBOX"] == []
    assert subjects(after["Archive"]) == {"to file": "", "question": "R", "later": "F"}
    assert {mail.body for mail in after["Archive"]} == {delivered[one] for one in ("question", "to file", "later")}


def test_neomutt_catches_up_with_what_changed_meanwhile(server, account, home):
    """It keeps headers and flags, and asks only for what is new (QRESYNC, RFC 7162)."""
    mutt = Mutt("neomutt", home, server, account, True, QRESYNC)
    log = home.folder / "log"  # to which neomutt adds a number
    with server.imap(account) as imap:
        for number in range(8):
            imap.append("INBOX", message(subject=f"number {number}"))
    mutt.keys("<last-entry>")

    with server.imap(account) as imap:
        imap.select()
        imap.ok("UID STORE 2,5 +FLAGS (\\Flagged)")
        imap.ok("UID STORE 4,6 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.append("INBOX", message(subject="new"), "\\Flagged")
    mutt.keys("<tag-pattern>~F<enter><tag-prefix><save-message>=Archive<enter>", options=["-d", "2", "-l", log])
    assert " VANISHED)" in log.with_name("log0").read_text(errors="replace")
    after = far_side(server, account)
    assert subjects(after["Archive"]) == {"number 1": "F", "number 4": "F", "new": "F"}
    assert subjects(after["INBOX"]) == {f"number {number}": "" for number in (0, 2, 6, 7)}

    mutt.keys("<tag-pattern>~A<enter><tag-prefix><save-message>=Archive<enter>")
    after = far_side(server, account)
    assert after["INBOX"] == [] and len(subjects(after["Archive"])) == 7
