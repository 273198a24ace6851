"""mbsync (isync) keeps a tree of folders the same on both sides: first all of it, then what changed on either side."""

import re
import subprocess

import pytest

from harness.material import message

FLAGS = {b"\\Seen": "S", b"\\Answered": "R", b"\\Flagged": "F", b"\\Draft": "D"}

CONFIG = """
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


class Sync:
    """A Maildir tree, and mbsync between it and an account."""

    def __init__(self, server, account, folder, tls):
        self.server, self.account = server, account
        self.near = folder / "near"
        self.near.mkdir()
        self.config = folder / "mbsyncrc"
        self.config.write_text(CONFIG.format(port=server.ports["imaps" if tls == "IMAPS" else "imap"],
                                             user=account.address,
                                             password=account.password, tls=tls, certificate=server.certificate,
                                             near=self.near))

    def run(self):
        done = subprocess.run(["mbsync", "-c", self.config, "-a"], capture_output=True, text=True, timeout=120,
                              check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def near_side(self):
        """{folder: {message id: flags}}"""
        found = {}
        for cur in self.near.rglob("cur"):
            mails = {}
            for path in [*cur.iterdir(), *(cur.parent / "new").iterdir()]:
                flags = path.name.partition(":2,")[2]
                mails[message_id(path.read_bytes())] = "".join(sorted(flags))
            found[cur.parent.relative_to(self.near).as_posix()] = mails
        return found

    def far_side(self):
        found = {}
        with self.server.imap(self.account) as imap:
            for name in imap.list("*"):
                imap.select(name.decode(), "EXAMINE")
                mails = {}
                for one in imap.uid_fetch("1:*", "(FLAGS BODY.PEEK[HEADER])").values():
                    flags = sorted(FLAGS[flag] for flag in one[b"FLAGS"] if flag in FLAGS)
                    mails[message_id(one[b"BODY[HEADER]"])] = "".join(flags)
                found[name.decode()] = mails
        return found

    def uids(self):
        """{folder: uids}: a sync that does nothing leaves them alone."""
        with self.server.imap(self.account) as imap:
            return {name: imap.select(name.decode(), "EXAMINE") and sorted(imap.uid_fetch("1:*", "(UID)"))
                    for name in imap.list("*")}

    def store_near(self, folder, data, flags):
        for part in ("cur", "new", "tmp"):
            (self.near / folder / part).mkdir(parents=True, exist_ok=True)
        path = self.near / folder / "cur" / f"1700000000.{abs(hash(data))}.here:2,{flags}"
        path.write_bytes(data.replace(b"\r\n", b"\n"))

    def path_near(self, folder, subject):
        return next(path for part in ("cur", "new") for path in (self.near / folder / part).iterdir()
                    if b"Subject: " + subject in path.read_bytes())


def message_id(data):
    return re.search(rb"(?mi)^Message-ID: <([^>]*)>", data).group(1).decode()


@pytest.mark.parametrize("tls", ["None", "STARTTLS", "IMAPS"])
def test_a_tree_of_folders_stays_the_same_on_both_sides(server, account, tmp_path, tls):
    sync = Sync(server, account, tmp_path, tls)
    with server.imap(account) as imap:
        for folder in ("work/2026", "work/old", "Entw&APw-rfe", "with space"):
            imap.ok(f'CREATE "{folder}"')
        for number, flags in enumerate(("", "\\Seen", "\\Seen \\Answered", "\\Flagged", "\\Draft")):
            for folder in ("INBOX", "work/2026", "with space"):
                imap.append(folder, message(subject=f"{folder} {number}"), flags)

    sync.run()
    assert sync.near_side() == sync.far_side()
    before = sync.uids()
    sync.run()
    assert sync.near_side() == sync.far_side() and sync.uids() == before

    # changes on the server
    with server.imap(account) as imap:
        imap.ok("CREATE later/deep")
        imap.append("later/deep", message(subject="later"), "\\Seen")
        imap.append("INBOX", message(subject="fresh"))
        imap.select()
        imap.ok("STORE 1 +FLAGS (\\Flagged)")
        imap.ok("STORE 3 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    # changes here
    sync.store_near("INBOX", message(subject="local"), "FS")
    sync.store_near("made here", message(subject="elsewhere"), "S")
    answered = sync.path_near("work/2026", b"work/2026 1")
    answered.rename(answered.with_name(answered.name.partition(":2,")[0] + ":2,RS"))
    sync.path_near("with space", b"with space 4").unlink()

    sync.run()
    near, far = sync.near_side(), sync.far_side()
    assert near == far
    assert {"later/deep", "made here"} <= set(far) and len(far["INBOX"]) == 6 and len(far["with space"]) == 4
    assert "RS" in far["work/2026"].values()
    before = sync.uids()
    sync.run()
    assert sync.near_side() == sync.far_side() == far and sync.uids() == before
