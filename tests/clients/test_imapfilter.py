"""imapfilter sorts an account by rules: it searches on the server, files, flags, copies and deletes, and waits for new
mail."""

import pytest

from harness.material import message
from harness.programs import Mail, far_side, need

CONNECT = """
options.timeout = 30
options.info = false
options.certificates = false
options.create = true
options.starttls = {starttls}
account = IMAP {{ server = 'localhost', port = {port}, username = '{user}', password = '{password}'{ssl} }}
"""
RULES = """
inbox = account.INBOX
lists = inbox:contain_field('List-Id', 'makers') + inbox:contain_subject('[makers]')
lists:move_messages(account['lists/makers'])
urgent = inbox:contain_from('boss@example.net') * inbox:is_unseen()
urgent:mark_flagged()
urgent:copy_messages(account['Archive'])
inbox:is_larger(50000):mark_seen()
inbox:is_larger(50000):add_flags({ '$Large' })
old = inbox:sent_before('01-Jan-2000') - inbox:is_flagged()
old:delete_messages()
for _, one in ipairs(inbox:select_all()) do
    local mailbox, uid = table.unpack(one)
    print((string.gsub(mailbox[uid]:fetch_field('subject'), '%s+$', '')))
end
body = inbox:match_body('needle [0-9]+')
body:move_messages(account['found'])
account:create_mailbox('by hand')
account:rename_mailbox('by hand', 'renamed')
account:subscribe_mailbox('renamed')
"""
WAIT = """
print('waiting')
io.stdout:flush()
local update = account.INBOX:enter_idle()
if update then account.INBOX:is_unseen():move_messages(account['Archive']) end
"""


class Filter:
    def __init__(self, home, server, account, tls):
        need("imapfilter")
        self.home, self.server = home, server
        self.connect = CONNECT.format(port=server.ports["imaps" if tls == "IMAPS" else "imap"], user=account.address,
                                      password=account.password, starttls="true" if tls == "STARTTLS" else "false",
                                      ssl=", ssl = 'auto'" if tls == "IMAPS" else "")

    def command(self, rules):
        return "imapfilter", "-t", self.server.certificate, "-c", self.home.write("config.lua", self.connect + rules)

    def run(self, rules):
        return self.home.run(*self.command(rules)).decode()


@pytest.fixture(params=["", "STARTTLS", "IMAPS"], ids=lambda one: one or "plain")
def imapfilter(request, home, server, account):
    return Filter(home, server, account, request.param)


LETTERS = {  # subject: what is special about it
    "announcement": dict(extra="List-Id: makers <makers.example.net>\r\nDate: Sat, 5 Feb 2022 10:00:00 +0000\r\n"),
    "[makers] more": dict(),
    "answer me": dict(sender="boss@example.net"),
    "large": dict(extra="Sender: x@example.net\r\n", body="0123456789abcdef\r\n" * 5000),
    "young": dict(body="a needle 42 in it\r\n"),
}


def fill(server, account):
    """{subject: the message as stored}"""
    for subject, special in LETTERS.items():
        data = message(subject=subject, **{"body": f"Body of {subject}, Grüße.\r\n", **special})
        if subject in ("large", "young"):
            data = data.replace(b"Date: Mon, 7 Feb 1994", b"Date: Mon, 7 Feb 2022")
        server.deliver(account, data)
    server.deliver(account, message(subject="forgotten"))
    return {one.body.partition(b"\r\nSubject: ")[2].partition(b"\r\n")[0].decode(): one.body
            for one in far_side(server, account)["INBOX"]}


@pytest.mark.smoke
def test_rules_sort_an_account(server, account, imapfilter):
    stored = fill(server, account)
    printed = imapfilter.run(RULES)
    after = far_side(server, account)
    assert after["lists/makers"] == sorted(Mail(stored[one], "") for one in ("announcement", "[makers] more"))
    assert after["Archive"] == [Mail(stored["answer me"], "F")]
    assert after["found"] == [Mail(stored["young"], "")]
    assert after["INBOX"] == sorted([Mail(stored["answer me"], "F"), Mail(stored["large"], "S")])
    assert printed.splitlines() == [f"Subject: {one}" for one in ("answer me", "large", "young")]
    with server.imap(account) as imap:
        assert b"renamed" in imap.list(command="LSUB") and b"by hand" not in imap.list()
        imap.select()
        assert any(b"$Large" in flags for flags in imap.flags().values())


def test_new_mail_wakes_it(server, account, home, imapfilter):
    with home.terminal(*imapfilter.command(WAIT)) as terminal:
        terminal.wait_for("waiting")

        def filed():
            server.deliver(account, message(subject="wake up"))  # again, should it not have been listening yet
            return far_side(server, account)["Archive"]
        server.wait_for(filed, "mail filed by imapfilter")
        terminal.wait()
