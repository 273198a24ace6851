"""mansio export into folders that have mail already, of mailboxes whose names no file can have, with dates of long ago,
and while the account moves."""

import fcntl
import json
import os
import signal
import subprocess

import pytest

from harness.server import binary

SETTINGS = {"server": {"shards": 2}}


def export(server, account, to, *options, status=0):
    done = server.cli("export", account.address, "--to", to, *options, "--json", check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout), done.stderr


def import_(server, path, tmp_path):
    """An account that has got what is there."""
    account = server.add_account()
    server.cli("import", account.address, path, "--state", tmp_path / f"state of {account.address}")
    return account


def letter(subject):
    return f"Subject: {subject}\r\n\r\nx\r\n".encode()


def filled(server, letters):
    """An account with messages (mailbox, subject, flags)."""
    account = server.add_account()
    with server.imap(account) as imap:
        for mailbox in dict.fromkeys(where for where, _, _ in letters):
            if mailbox != "INBOX":
                imap.ok(f'CREATE "{mailbox}"')
        for where, subject, flags in letters:
            imap.append(where, letter(subject), flags)
    return account


def contents(server, account):
    """{mailbox: {subject: (flags, internal date)}}"""
    with server.imap(account) as imap:
        return {name.decode(): {one.body.split(b"\r\n")[0].decode().partition(": ")[2]:
                                (" ".join(sorted(flag.decode() for flag in one.flags)), one.date.decode())
                                for one in mails}
                for name, mails in imap.contents().items()}


def flags(server, account, mailbox="INBOX"):
    return {subject: flags for subject, (flags, _) in contents(server, account)[mailbox].items()}


# ---------------------------------------------------------------- keywords that are there


def test_keywords_of_mail_that_is_there_stay_what_they_are(server, tmp_path):
    box = tmp_path / "box"
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True)
    (box / "cur/1.x:2,a").write_bytes(b"Subject: precious\n\nx\n")
    (box / "cur/2.x:2,d").write_bytes(b"Subject: nameless\n\nx\n")  # whose keyword nobody knows
    (box / "dovecot-keywords").write_text("0 Precious\n2 Third")
    (box / "dovecot-keywords").chmod(0o640)
    account = filled(server, [("INBOX", "one", "Other"), ("INBOX", "two", "Third precious"),
                              ("INBOX", "three", "More")])
    for _ in range(2):
        export(server, account, box)
        lines = (box / "dovecot-keywords").read_text().split("\n")
        assert lines == ["0 Precious", "2 Third", "1 Other", "4 More", ""]
        assert (box / "dovecot-keywords").stat().st_mode & 0o777 == 0o640
    assert flags(server, import_(server, box, tmp_path)) == {
        "precious": "Precious", "nameless": "", "one": "Other", "two": "Precious Third", "three": "More"}


def test_several_accounts_may_go_to_one_folder(server, tmp_path):
    first = filled(server, [("INBOX", "first", "$Work"), ("Old", "first, old", "one two")])
    second = filled(server, [("INBOX", "second", "$Play $Work"), ("Old", "second, old", "two three")])
    for account in (first, second, first):
        export(server, account, tmp_path / "box")
    target = import_(server, tmp_path / "box", tmp_path)
    assert flags(server, target) == {"first": "$Work", "second": "$Play $Work"}
    assert flags(server, target, "Old") == {"first, old": "one two", "second, old": "three two"}


def test_what_has_no_letter_left_is_told(server, tmp_path):
    box = tmp_path / "box"
    account = filled(server, [("INBOX", "one", "new z3")])
    (box / "cur").mkdir(parents=True)
    (box / "dovecot-keywords").write_text("".join(f"{n} z{n}\n" for n in range(26)))
    _, errors = export(server, account, box)
    assert "1 of its 2 keywords" in errors
    assert (box / "dovecot-keywords").read_text() == "".join(f"{n} z{n}\n" for n in range(26))
    assert flags(server, import_(server, box, tmp_path)) == {"one": "z3"}


def as_written(path):
    """Its inode, but for when it was read."""
    facts = path.lstat()
    return facts.st_ino, facts.st_mode, facts.st_uid, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def test_keywords_that_cannot_be_read_are_not_written_over(server, tmp_path):
    account = filled(server, [("INBOX", "one", "new")])
    for name, make, words in (("fifo", os.mkfifo, "a pipe"),
                              ("link", lambda path: path.symlink_to("/etc/hostname"), "a link"),
                              ("large", lambda path: path.write_text("0 a\n" * 20000), "too large")):
        (tmp_path / name / "cur").mkdir(parents=True)
        file = tmp_path / name / "dovecot-keywords"
        make(file)
        before = as_written(file)
        told, _ = export(server, account, tmp_path / name, status=1)
        assert "dovecot-keywords" in told["error"]["message"] and words in told["error"]["message"]
        assert as_written(file) == before
        assert not os.listdir(tmp_path / name / "cur")


def test_a_lock_of_somebody_else_is_not_waited_for_without_a_word(server, tmp_path):
    account = filled(server, [("INBOX", "one", "new")])
    (tmp_path / "box").mkdir()
    held = os.open(tmp_path / "box", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    told, _ = export(server, account, tmp_path / "box", status=1)
    assert "holds a lock on the folder" in told["error"]["message"]
    os.close(held)
    export(server, account, tmp_path / "box")


# ---------------------------------------------------------------- a folder of somebody else


def test_links_that_lie_where_files_are_made_are_not_followed(server, tmp_path):
    account = filled(server, [("INBOX", "one", "new")])
    precious = tmp_path / "precious"
    precious.write_text("precious")
    precious.chmod(0o600)
    export(server, account, tmp_path / "first")
    name, = os.listdir(tmp_path / "first/cur")
    box, mbox = tmp_path / "box", tmp_path / "mbox"
    for folder in ("cur", "new", "tmp"):
        (box / folder).mkdir(parents=True)
    (box / "dovecot-keywords").touch(0o644)
    mbox.mkdir()
    links = [box / "tmp/dovecot-keywords", box / "tmp" / name.partition(",")[0], mbox / "INBOX.mbox.partial"]
    for link in links:
        link.symlink_to(precious)
    export(server, account, box)
    export(server, account, mbox, "--format", "mbox")
    assert not any(link.is_symlink() for link in links)
    assert precious.read_text() == "precious" and precious.stat().st_mode & 0o777 == 0o600
    assert flags(server, import_(server, box, tmp_path)) == {"one": "new"}
    assert not (mbox / "INBOX.mbox").is_symlink() and "Subject: one" in (mbox / "INBOX.mbox").read_text()


# ---------------------------------------------------------------- names


def test_a_mailbox_without_a_name_for_a_file_is_not_called_damaged(server, tmp_path):
    name = "/".join(letter * 100 for letter in "abc")
    account = filled(server, [("INBOX", "here", ""), (name, "one", ""), (name, "two", ""), ("zz", "behind it", "")])
    with server.imap(account) as imap:
        imap.select(name)
        imap.ok("COPY 1 zz")  # a message that both have
        others = len(imap.list()) - 1
    told, errors = export(server, account, tmp_path / "out", status=1)
    assert (told["damaged"], told["damage"], told["messages"]) == (0, [], 3)
    assert told["mailboxes"] == others
    assert told["left_out"] == [{"mailbox": name, "messages": 2}]
    assert errors.count("--layout nested") == 1 and "damaged" not in errors
    assert len(os.listdir(tmp_path / "out/.zz/cur")) == 2
    done = server.cli("export", account.address, "--to", tmp_path / "out", check=False)
    assert "left out: 2 messages" in done.stdout and "salvage" not in done.stdout + done.stderr
    told, _ = export(server, account, tmp_path / "nested", "--layout", "nested")
    assert (told["left_out"], told["messages"], told["mailboxes"]) == ([], 5, others + 1)
    with server.imap(account) as imap:
        imap.ok(f"CREATE {'y' * 245}")
    told, errors = export(server, account, tmp_path / "mbox", "--format", "mbox", status=1)
    assert told["left_out"] == [{"mailbox": "y" * 245, "messages": 0}] and told["damaged"] == 0
    assert "--format maildir --layout nested" in errors
    export(server, account, tmp_path / "nested", "--layout", "nested")
    target = import_(server, tmp_path / "nested", tmp_path)
    assert contents(server, target) == contents(server, account)


def test_names_of_files_of_a_maildir_may_be_names_of_mailboxes(server, tmp_path):
    letters = [("X", "with keywords", "$Work")]
    letters += [("X/" + name, name, "") for name in ("dovecot-keywords", "dovecot-uidlist", "courierpop3dsizelist",
                                                    "courierimapuiddb", "maildirfolder")]
    account = filled(server, letters)
    export(server, account, tmp_path / "out", "--layout", "nested")
    target = import_(server, tmp_path / "out", tmp_path)
    assert contents(server, target) == contents(server, account)


def test_inbox_has_any_case_below_it_too(server, tmp_path):
    account = filled(server, [("INBOX/x", "one", ""), ("INBOX", "two", "")])
    told, _ = export(server, account, tmp_path / "out", "--mailbox", "inbox/x")
    assert (told["mailboxes"], told["messages"]) == (1, 1)


# ---------------------------------------------------------------- dates


@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_dates_before_1970_come_back(server, tmp_path, form):
    account = server.add_account()
    dates = ["24-Apr-1938 12:00:01 +0000", "31-Dec-1969 23:59:59 +0000", " 1-Jan-1970 00:00:01 +0000",
             " 1-Jan-1970 12:00:01 +0000", " 2-Jan-1970 00:00:00 +0000"]
    with server.imap(account) as imap:
        for n, date in enumerate(dates):
            imap.append("INBOX", letter(n), "", date)
    export(server, account, tmp_path / "out", "--format", form)
    target = import_(server, tmp_path / "out", tmp_path)
    assert {subject: date for subject, (_, date) in contents(server, target)["INBOX"].items()} == {
        str(n): date for n, date in enumerate(dates)}


# ---------------------------------------------------------------- an account that moves


@pytest.mark.parametrize("until", ["the end", "the beginning"])
def test_an_export_whose_account_moves_is_to_be_tried_again(server, tmp_path, request, until):
    """It goes on when the move has begun, or is over."""
    account = server.add_account()
    with server.imap(account) as imap:
        for n in range(20):  # more than what waits between server and command
            imap.append("INBOX", letter(n) + b"0123456789abcdef\r\n" * 30000)
        imap.append("Archive", letter("keywords"), " ".join(f"k{n}" for n in range(27)))  # of which it has something to say
    before = server.cli_json("account", "show", account.address)
    held, full = os.pipe()  # there the export waits for a reader
    os.write(full, bytes(fcntl.fcntl(full, fcntl.F_GETPIPE_SZ)))

    def begin(*command, stderr=subprocess.PIPE):
        process = subprocess.Popen([binary(), *command, "-c", server.config, "--json"], stdout=subprocess.PIPE,
                                   stderr=stderr, text=True, env=server.environment)
        request.addfinalizer(process.wait)
        request.addfinalizer(process.kill)  # first, where it has not ended
        return process

    process = begin("export", account.address, "--to", tmp_path / "out", stderr=full)
    os.close(full)
    server.wait_for((tmp_path / "out/.Archive/dovecot-keywords").exists, "the beginning of the export")
    other = server.processes("shard")[1 - before["shard"]]
    try:
        if until == "the beginning":
            os.kill(other, signal.SIGSTOP)  # it takes nothing of the account
        move = begin("account", "move", account.address, "--shard", str(1 - before["shard"]))
        if until == "the end":
            move.wait(60)
        else:
            server.wait_for(lambda: server.cli_json("account", "show", account.address) != before, "the move's beginning")
        with open(held, "rb") as reader:
            errors = reader.read().strip(b"\0").decode()
        out, _ = process.communicate(timeout=60)
        if until == "the beginning":
            for command in (("export", account.address, "--to", tmp_path / "other"), ("undelete", "list", account.address)):
                done = server.cli(*command, check=False)
                assert done.returncode == 5 and "try again" in done.stderr, done.stderr
    finally:
        os.kill(other, signal.SIGCONT)
    assert process.returncode == 5, out + errors
    error = json.loads(out)["error"]
    assert error["code"] == "unavailable" and "run the same command again" in error["message"]
    _, errors = move.communicate(timeout=60)
    assert move.returncode == 0, errors
    told, _ = export(server, account, tmp_path / "out")
    assert told["messages"] == 21 and len(os.listdir(tmp_path / "out/cur")) == 20
