"""mbsync (isync) and offlineimap keep a tree of folders the same on both sides: first all of it, then what changed on
either side, then what changed on both at once."""

import concurrent.futures
import re

import pytest

from harness import material
from harness.material import message
from harness.programs import bodies, far_side, maildirs, need
from harness.wire import quoted

MBSYNC = """
FSync no

IMAPAccount account
Host localhost
Port {port}
User {user}
Pass "{password}"
SSLType {tls}
SSLVersions TLSv1.2 TLSv1.3
CertificateFile {certificate}
AuthMechs LOGIN

IMAPStore far
Account account

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
"""
OFFLINEIMAP = """
[general]
accounts = account
metadata = {home}/offlineimap
ui = basic
fsync = false

[Account account]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {near}
sep = /
sync_deletes = yes

[Repository far]
type = IMAP
remotehost = localhost
remoteport = {port}
remoteuser = {user}
remotepass = {password}
auth_mechanisms = PLAIN, LOGIN
ssl = {ssl}
starttls = {starttls}
sslcacertfile = {certificate}
sync_deletes = yes
"""
OLD_TLS = """
openssl_conf = one
[one]
ssl_conf = two
[two]
system_default = three
[three]
MaxProtocol = TLSv1.2
"""


class Sync:
    """A Maildir tree, and a program between it and an account."""

    def __init__(self, home, server, account, tls):
        need(*self.NEEDS)
        self.home, self.server, self.account = home, server, account
        self.near = home.folder / "near"
        self.near.mkdir()
        self.config = home.write("config", self.configuration(tls).format(
            port=server.ports["imaps" if tls == "IMAPS" else "imap"], user=account.address, password=account.password,
            tls=tls, ssl="yes" if tls == "IMAPS" else "no", starttls="yes" if tls == "STARTTLS" else "no",
            certificate=server.certificate, near=self.near, home=home.folder))

    def run(self):
        raise NotImplementedError

    def settle(self):
        """One run makes both sides the same; another one leaves everything alone, uids too. What they are then."""
        self.run()
        near, far = self.both_sides()
        assert near == far
        before = self.uids()
        self.run()
        assert self.both_sides() == (near, far) and self.uids() == before
        return far

    def both_sides(self):
        return tuple({name: sorted(mail._replace(body=self.unmarked(mail.body)) for mail in mails)
                      for name, mails in side.items()}
                     for side in (maildirs(self.near), far_side(self.server, self.account)))

    @staticmethod
    def unmarked(body):
        """A message without what the program itself put into it."""
        return body

    def uids(self):
        with self.server.imap(self.account) as imap:
            return {name: [one.uid for one in mails] for name, mails in imap.contents().items()}

    def add_near(self, folder, data, flags):
        for part in ("cur", "new", "tmp"):
            (self.near / folder / part).mkdir(parents=True, exist_ok=True)
        path = self.near / folder / "cur" / f"1700000000.{abs(hash(data))}.here:2,{flags}"
        path.write_bytes(data.replace(b"\r\n", b"\n"))

    def path_near(self, folder, subject):
        return next(path for part in ("cur", "new") for path in (self.near / folder / part).iterdir()
                    if f"Subject: {subject}\n".encode() in path.read_bytes().replace(b"\r\n", b"\n"))

    def flag_near(self, folder, subject, add):
        path = self.path_near(folder, subject)
        base, _, flags = path.name.partition(":2,")
        path.rename(self.near / folder / "cur" / f"{base}:2,{''.join(sorted(set(flags) | set(add)))}")

    def remove_near(self, folder, subject):
        self.path_near(folder, subject).unlink()


class Mbsync(Sync):
    NEEDS = ("mbsync",)

    def configuration(self, _tls):
        return MBSYNC

    def run(self):
        self.home.run("mbsync", "-c", self.config, "-a")

    @staticmethod
    def unmarked(body):
        return re.sub(rb"(?m)^X-TUID: .*\r\n", b"", body, count=1)


class Offlineimap(Sync):
    NEEDS = ("offlineimap",)

    def configuration(self, tls):
        if tls == "STARTTLS":
            # imaplib2 reads and writes one TLS session from two threads: after STARTTLS the session tickets of TLS 1.3
            # meet its first command, which then at times never leaves.
            self.home.environment["OPENSSL_CONF"] = str(self.home.write("openssl.cnf", OLD_TLS))
        return OFFLINEIMAP

    def run(self):
        self.home.run("offlineimap", "-c", self.config, "-o")


@pytest.fixture
def sync(request, home, server, account):
    kind, tls = request.param
    return kind(home, server, account, tls)


def programs(*transports):
    return pytest.mark.parametrize("sync", [(program, tls) for program in (Mbsync, Offlineimap) for tls in transports],
                                   ids=lambda one: f"{one[0].__name__.lower()}-{one[1]}", indirect=True)


@pytest.fixture
def far(server, account):
    with server.imap(account) as imap:
        yield imap


def flag_far(imap, folder, subject, flag, mode="+"):
    imap.select(folder)
    uid, = imap.search(f'SUBJECT "{subject}"', "UID SEARCH")
    imap.ok(f"UID STORE {uid} {mode}FLAGS ({flag})")
    return uid


def remove_far(imap, folder, subject):
    uid = flag_far(imap, folder, subject, "\\Deleted")
    imap.ok(f"UID EXPUNGE {uid}")


def subjects(mails):
    """{subject: flags}; a message that is there twice fails."""
    found = [(re.search(rb"(?m)^Subject: (.*)\r$", one.body).group(1).decode(), one.flags) for one in mails]
    assert len(dict(found)) == len(found), found
    return dict(found)


FOLDERS = ("INBOX", "work/2026", "with space")
FLAGS = ("", "\\Seen", "\\Seen \\Answered", "\\Flagged", "\\Draft", "\\Seen", "", "", "")


def fill(imap):
    for folder in ("work/2026", "work/old", "Entw&APw-rfe", "with space"):
        imap.ok("CREATE ", quoted(folder))
    for folder in FOLDERS:
        for number, flags in enumerate(FLAGS):
            imap.append(folder, message(subject=f"{folder} {number}", body="line\r\n" * 50 + "Grüße\r\n"), flags)


@pytest.mark.smoke
@programs("STARTTLS", "IMAPS")
def test_a_tree_of_folders_stays_the_same_on_both_sides(sync, far):
    fill(far)
    agreed = sync.settle()
    assert set(FOLDERS) | {"work/old", "Entw&APw-rfe"} <= set(agreed)

    # on the server
    far.ok("CREATE later/deep")
    far.append("later/deep", message(subject="later"), "\\Seen")
    far.append("INBOX", message(subject="fresh"))
    flag_far(far, "INBOX", "INBOX 0", "\\Flagged")
    remove_far(far, "INBOX", "INBOX 2")
    # here
    sync.add_near("INBOX", message(subject="local"), "FS")
    sync.add_near("made here", message(subject="elsewhere"), "S")
    sync.flag_near("work/2026", "work/2026 1", "R")
    sync.remove_near("with space", "with space 4")

    agreed = {name: subjects(mails) for name, mails in sync.settle().items()}
    assert agreed["later/deep"] == {"later": "S"} and agreed["made here"] == {"elsewhere": "S"}
    assert agreed["INBOX"] == {"INBOX 0": "F", "INBOX 1": "S", "INBOX 3": "F", "INBOX 4": "D", "INBOX 5": "S",
                               "INBOX 6": "", "INBOX 7": "", "INBOX 8": "", "fresh": "", "local": "FS"}
    assert agreed["work/2026"]["work/2026 1"] == "RS"
    assert "with space 4" not in agreed["with space"] and len(agreed["with space"]) == 8


@programs("IMAPS")
def test_changes_of_both_sides_at_once_meet(sync, far):
    fill(far)
    sync.settle()

    # different flags, the same flag, one flag set where another goes
    flag_far(far, "INBOX", "INBOX 0", "\\Flagged")
    sync.flag_near("INBOX", "INBOX 0", "R")
    flag_far(far, "INBOX", "INBOX 1", "\\Flagged")
    sync.flag_near("INBOX", "INBOX 1", "F")
    flag_far(far, "INBOX", "INBOX 2", "\\Seen", "-")
    sync.flag_near("INBOX", "INBOX 2", "F")
    # removed on both sides; each removes another one; removed here, flagged there
    remove_far(far, "INBOX", "INBOX 3")
    sync.remove_near("INBOX", "INBOX 3")
    remove_far(far, "INBOX", "INBOX 4")
    sync.remove_near("INBOX", "INBOX 5")
    flag_far(far, "INBOX", "INBOX 6", "\\Flagged")
    sync.remove_near("INBOX", "INBOX 6")
    # new mail on both sides in a folder that lost mail on both
    far.append("INBOX", message(subject="new there"), "\\Seen")
    sync.add_near("INBOX", message(subject="new here"), "S")
    # a folder of the same name made on both
    far.ok("CREATE both")
    far.append("both", message(subject="there"))
    sync.add_near("both", message(subject="here"), "")

    agreed = {name: subjects(mails) for name, mails in sync.settle().items()}
    assert agreed["INBOX"] == {"INBOX 0": "FR", "INBOX 1": "FS", "INBOX 2": "FR", "INBOX 7": "", "INBOX 8": "",
                               "new there": "S", "new here": "S"}
    assert agreed["both"] == {"there": "", "here": ""}


@programs("IMAPS")
def test_mail_that_arrives_meanwhile_is_there_once(server, account, sync, far):
    """Deliveries and another session go on while it runs."""
    def deliver():
        for number in range(40):
            server.deliver(account, message(subject=f"delivered {number}"))
            far.append("Archive", message(subject=f"filed {number}"), "\\Seen")

    with concurrent.futures.ThreadPoolExecutor() as pool:
        delivered = pool.submit(deliver)
        while not delivered.done():
            sync.run()
        delivered.result()
    agreed = sync.settle()
    assert len(subjects(agreed["INBOX"])) == len(subjects(agreed["Archive"])) == 40


@pytest.mark.parametrize("sync", [(Mbsync, "IMAPS")], ids=["mbsync"], indirect=True)
def test_mail_of_all_kinds_comes_through_unchanged(server, account, sync, far):
    """What others have collected; offlineimap writes headers in its own way."""
    mails = [data for data in material.corpus().values()  # where mbsync finds a place for a header of its own
             if material.with_crlf(data) == data and b"\0" not in data and b"\r\n\r\n" in data]
    for number, data in enumerate(mails):
        far.append("INBOX" if number % 2 else "Archive", data)
    agreed = sync.settle()
    assert sorted(bodies(agreed["INBOX"]) + bodies(agreed["Archive"])) == sorted(mails)
