"""mansio export and mansio import: an account's mail to Maildir and mbox and back, with nothing lost on the way and nothing
twice, and as other programs read and write these."""

import datetime
import json
import mailbox
import os
import pty
import select
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from harness import material
from harness.server import Server, binary
from harness.wire import quoted

SYSTEM_FLAGS = {b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Draft"}
FORMS = [("maildir", "maildir++"), ("maildir", "nested"), ("mbox", None)]
LARGE = 3 * 1024 * 1024


def mail(subject, body="Hello.\r\n", extra=""):
    return (f"Return-Path: <sender@example.net>\r\nFrom: Sender <sender@example.net>\r\nSubject: {subject}\r\n"
            f"{extra}\r\n{body}").encode()


TRICKY = "From here on\r\n>From there\r\n>>From far\r\n\r\nFrom a@b Thu Nov 24 18:22:48 1986\r\n.\r\n..\r\n\r\n"
LETTERS = [  # mailbox, message, flags, date
    ("INBOX", mail("plain"), "", "01-Jan-2001 10:00:00 +0000"),
    ("INBOX", mail("seen"), "\\Seen", "02-Feb-2002 23:59:59 +0500"),
    ("INBOX", mail("all flags", TRICKY), "\\Seen \\Answered \\Flagged \\Deleted \\Draft", "31-Dec-1999 23:59:59 -0800"),
    ("INBOX", mail("keywords"), "$Forwarded $Work later", "03-Mar-2003 03:03:03 +0000"),
    ("INBOX", mail("empty body", ""), "later", "04-Apr-2004 04:04:04 +0000"),
    ("Sent", mail("8 bit", "Grüße\r\n"), "\\Seen", "05-May-2005 05:05:05 +0000"),
    ("Work/v1.2", mail("below a dot"), "$Work", "06-Jun-2006 06:06:06 +0000"),
    ("R&D/cur", mail("names"), "", "07-Jul-2007 07:07:07 +0000"),
    ("Work", mail("large", "x" * 998 + "\r\n" + "0123456789abcdef\r\n" * (LARGE // 18)), "", "08-Aug-2008 08:08:08 +0000"),
]
EMPTY = "Empty one"


def fill(server, account):
    with server.imap(account) as imap:
        for name in ("Work", "Work/v1.2", "R&-D", "R&-D/cur", EMPTY):
            imap.ok("CREATE ", quoted(name))
        for where, message, flags, date in LETTERS:
            imap.append(where.replace("&", "&-"), message, flags, date)
        imap.select("INBOX")
        imap.ok("COPY 3:4 ", quoted("Work"))
        imap.ok("COPY 1 ", quoted("INBOX"))


def moment(internal_date):
    return datetime.datetime.strptime(internal_date.decode().strip(), "%d-%b-%Y %H:%M:%S %z").timestamp()


def contents(server, account):
    """{mailbox: sorted [(date, flags, bytes)]}"""
    with server.imap(account) as imap:
        return {name: sorted((moment(one.date), tuple(sorted(one.flags)), one.body) for one in mails)
                for name, mails in imap.contents().items()}


def count(server, account, name="INBOX"):
    with server.imap(account) as imap:
        return imap.status(name, "MESSAGES")[b"MESSAGES"]


@pytest.fixture(scope="module")
def source(server):
    account = server.add_account()
    fill(server, account)
    return account


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def export(server, account, to, *options, check=True):
    done = server.cli("export", account.address, "--to", to, "--json", *options, check=check)
    return json.loads(done.stdout) if check else done


def import_(server, account, path, *options, check=True):
    done = server.cli("import", account.address, path, "--json", *options, check=check)
    return json.loads(done.stdout) if check else done


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("form, layout", FORMS)
def test_what_is_exported_comes_back_as_it_was(server, source, tmp_path, state, form, layout):
    wanted = contents(server, source)
    options = ["--format", form, *(["--layout", layout] if layout else [])]
    told = export(server, source, tmp_path / "out", *options)
    assert told["messages"] == sum(map(len, wanted.values())) and told["damaged"] == 0
    target = server.add_account()
    told = import_(server, target, tmp_path / "out", "--state", state)
    assert told["messages"] == sum(map(len, wanted.values()))
    assert told["format"] == form
    assert contents(server, target) == wanted
    assert noted(state)["complete"]


def test_chosen_mailboxes_are_exported_alone(server, source, tmp_path):
    told = export(server, source, tmp_path / "out", "--mailbox", "Work", "--mailbox", "inbox")
    assert told["mailboxes"] == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".Work", "cur", "dovecot-keywords", "new", "tmp"]


def test_a_chosen_mailbox_that_is_not_there_is_named_and_the_others_are_exported(server, source, tmp_path):
    done = export(server, source, tmp_path / "out", "--mailbox", "Work", "--mailbox", "No & Pe", check=False)
    assert (done.returncode, done.stderr) == (3, "mansio: there is no mailbox No & Pe\n")
    told = json.loads(done.stdout)
    assert told["mailboxes"] == 1 and told["missing"] == ["No & Pe"]


def test_one_mailbox_becomes_one_file(server, source, tmp_path, state):
    export(server, source, tmp_path / "work.mbox", "--format", "mbox", "--mailbox", "Work")
    assert (tmp_path / "work.mbox").is_file()
    again = export(server, source, tmp_path / "work.mbox", "--format", "mbox", "--mailbox", "Work", check=False)
    assert again.returncode == 4 and "--yes" in again.stdout and json.loads(again.stdout)["error"]["code"] == "exists"
    export(server, source, tmp_path / "work.mbox", "--format", "mbox", "--mailbox", "Work", "--yes")
    target = server.add_account()
    import_(server, target, tmp_path / "work.mbox", "--mailbox", "Old/Work", "--state", state)
    assert contents(server, target)[b"Old/Work"] == contents(server, source)[b"Work"]
    assert not list(tmp_path.glob("*.partial"))


def test_a_second_export_adds_what_is_new(server, tmp_path):
    account = server.add_account()
    with server.imap(account) as imap:
        imap.append("INBOX", mail("one"))
    export(server, account, tmp_path / "out")
    [first] = os.listdir(tmp_path / "out" / "cur")
    os.rename(tmp_path / "out" / "cur" / first, tmp_path / "out" / "cur" / (first + "S"))  # read there meanwhile
    with server.imap(account) as imap:
        imap.append("INBOX", mail("two"))
    told = export(server, account, tmp_path / "out")
    assert (told["messages"], told["there_already"]) == (2, 1)
    assert len(os.listdir(tmp_path / "out" / "cur")) == 2
    assert not os.listdir(tmp_path / "out" / "tmp")


def test_mail_goes_below_a_mailbox_that_is_named(server, source, tmp_path, state):
    export(server, source, tmp_path / "out")
    target = server.add_account()
    import_(server, target, tmp_path / "out", "--mailbox", "Old", "--state", state)
    found = contents(server, target)
    wanted = contents(server, source)
    assert found[b"Old"] == wanted[b"INBOX"] and found[b"Old/Sent"] == wanted[b"Sent"]
    assert found[b"INBOX"] == [] and found[b"Sent"] == []


# ---------------------------------------------------------------- other programs


def unix(message):
    return message.replace(b"\r\n", b"\n")


def test_python_reads_an_exported_maildir(server, source, tmp_path):
    export(server, source, tmp_path / "out")
    found = mailbox.Maildir(tmp_path / "out", create=False)
    wanted = contents(server, source)
    assert set(found.list_folders()) == {"Sent", "Drafts", "Trash", "Junk", "Archive", "Work", "Work.v1\\2e2", "R&-D",
                                         "R&-D.cur", EMPTY}
    assert sorted(found.get_bytes(key) for key in found.keys()) == sorted(unix(body) for _, _, body in wanted[b"INBOX"])
    for message in found:
        if message["Subject"] == "all flags":
            assert message.get_flags() == "DFRST" and message.get_date() == moment(b"31-Dec-1999 23:59:59 -0800")
        if message["Subject"] == "keywords":
            assert message.get_flags().startswith("P")
    assert len(found.get_folder(EMPTY)) == 0


def test_python_reads_an_exported_mbox(server, source, tmp_path):
    export(server, source, tmp_path / "out", "--format", "mbox", "--mailbox", "INBOX")
    found = mailbox.mbox(tmp_path / "out", create=False)
    by_subject = {message["Subject"]: message for message in found}
    assert len(found) == len(contents(server, source)[b"INBOX"])
    assert set(by_subject["all flags"].get_flags()) >= set("RDFA")
    assert by_subject["all flags"].get_from() == "sender@example.net Sat Jan  1 07:59:59 2000"
    assert by_subject["keywords"]["X-Keywords"] == "$Forwarded $Work later"
    assert by_subject["plain"].get_payload() == "Hello.\n"


def test_what_python_writes_is_imported(server, tmp_path, state):
    box = mailbox.Maildir(tmp_path / "box")
    one = mailbox.MaildirMessage(b"Subject: one\n\nFrom here\n")
    one.set_subdir("cur")
    one.set_flags("FRS")
    one.set_date(1000000000)
    box.add(one)
    box.add(mailbox.MaildirMessage(b"Subject: two\n\nnew\n"))
    box.add_folder("Sent.2019").add(b"Subject: three\n\n\n")
    target = server.add_account()
    assert import_(server, target, tmp_path / "box", "--state", state)["messages"] == 3
    found = contents(server, target)
    assert found[b"INBOX"][0] == (1000000000.0, (b"\\Answered", b"\\Flagged", b"\\Seen"),
                                  b"Subject: one\r\n\r\nFrom here\r\n")
    assert found[b"INBOX"][1][1:] == ((), b"Subject: two\r\n\r\nnew\r\n")
    assert len(found[b"Sent/2019"]) == 1

    files = mailbox.mbox(tmp_path / "Archives.mbox")
    letter = mailbox.mboxMessage(b"Subject: four\n\nFrom here\n\nFrom there\n")
    letter.set_from("a@example.org", time.gmtime(1000000001))
    letter.set_flags("ROFA")
    files.add(letter)
    files.add(mailbox.mboxMessage(b"Subject: five\n\nx\n"))
    files.flush()
    assert import_(server, target, tmp_path / "Archives.mbox", "--state", tmp_path / "state of archives")["messages"] == 2
    archive = contents(server, target)[b"Archive"]
    assert archive[0] == (1000000001.0, (b"\\Answered", b"\\Flagged", b"\\Seen"),
                          b"Subject: four\r\n\r\nFrom here\r\n\r\nFrom there\r\n")
    assert len(archive) == 2


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def test_a_maildir_of_dovecot_is_imported(server, tmp_path, state):
    for name in ("cur", "new", "tmp", ".Entw&APw-rfe/cur", ".Sent Messages/cur", ".Spam.old/cur"):
        (tmp_path / "box" / name).mkdir(parents=True)
    write(tmp_path / "box/cur/1200000000.M1P1.host,S=20,W=22:2,Sac", "Subject: one\n\nx\n")
    write(tmp_path / "box/new/1100000000.M1P1.host,S=20,W=22", "Subject: two\n\nx\n")
    write(tmp_path / "box/tmp/1100000000.M1P2.host", "Subject: half\n\n")
    write(tmp_path / "box/cur/.hidden", "no mail")
    write(tmp_path / "box/dovecot-keywords", "0 $Work\n1 other\n2 later\n")
    write(tmp_path / "box/dovecot-uidlist", "3 V1 N3 G1\n")
    write(tmp_path / "box/.Entw&APw-rfe/cur/1.a:2,D", "Subject: three\r\n\r\nx\r\n")
    write(tmp_path / "box/.Sent Messages/cur/1.b:2,S", "Subject: four\n\nx")
    write(tmp_path / "box/.Spam.old/cur/1.c:2,", "Subject: five\n\nx\n")
    os.utime(tmp_path / "box/cur/1200000000.M1P1.host,S=20,W=22:2,Sac", (0, 1200000000))
    target = server.add_account()
    assert import_(server, target, tmp_path / "box", "--state", state)["messages"] == 5
    found = contents(server, target)
    assert (1200000000.0, (b"$Work", b"\\Seen", b"later"), b"Subject: one\r\n\r\nx\r\n") in found[b"INBOX"]
    assert len(found[b"INBOX"]) == 2
    assert found["Entw&APw-rfe".encode()][0][1:] == ((b"\\Draft",), b"Subject: three\r\n\r\nx\r\n")
    assert found[b"Sent"][0][2] == b"Subject: four\r\n\r\nx"
    assert len(found[b"Junk/old"]) == 1
    with server.imap(target) as imap:
        assert b"Junk/old" in imap.list(command="LSUB")


def test_a_profile_of_thunderbird_is_imported(server, tmp_path, state):
    line = "From - Thu Nov 24 18:22:48 2005\r\n"
    write(tmp_path / "Local Folders/Inbox", f"{line}X-Mozilla-Status: 0001\r\nX-Mozilla-Status2: 00000000\r\n"
          f"X-Mozilla-Keys: $label1     \r\nSubject: one\r\n\r\nx\r\n\r\n"
          f"{line}X-Mozilla-Status: 0009\r\nSubject: deleted\r\n\r\nx\r\n\r\n")
    write(tmp_path / "Local Folders/Inbox.msf", "// <!-- <mdb:mork:z v=\"1.4\"/> -->")
    write(tmp_path / "Local Folders/Archives.sbd/2005", f"{line}Subject: two\r\n\r\nx\r\n\r\n")
    write(tmp_path / "Local Folders/Archives", "")
    target = server.add_account()
    told = import_(server, target, tmp_path / "Local Folders", "--state", state)
    assert (told["messages"], told["deleted"]) == (2, 1)
    found = contents(server, target)
    assert [one[1:] for one in found[b"INBOX"]] == [((b"$label1", b"\\Seen"), b"Subject: one\r\n\r\nx\r\n")]
    assert len(found[b"Archive/2005"]) == 1 and found[b"Archive"] == []


def on_a_terminal(arguments, environment, seconds=60):
    """Runs a program on a terminal of its own to its end; what it wrote there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(list(map(str, arguments)), stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
                               start_new_session=True)
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not select.select([ours], [], [], 0.2)[0]:
            continue
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(ours)
    if process.poll() is None and time.monotonic() >= deadline:
        process.kill()
    process.wait()
    return seen


@pytest.mark.parametrize("form", ["maildir", "mbox"])
@pytest.mark.parametrize("program", ["mutt", "neomutt"])
def test_mutt_reads_what_is_exported(server, source, tmp_path, form, program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    export(server, source, tmp_path / "out", "--format", form, "--mailbox", "INBOX")
    (tmp_path / "rc").write_text(f"set folder={tmp_path} copy=yes confirmappend=no confirmcreate=no quit=yes mark_old=no\n"
                                 "set auto_tag=yes mbox_type=Maildir dotlock_program=/bin/true\n"
                                 f"push '<tag-pattern>~A<enter><copy-message>{tmp_path}/copy<enter><quit>'\n")
    on_a_terminal([program, "-n", "-R", "-F", tmp_path / "rc", "-f", tmp_path / "out"],
                  {**os.environ, "TERM": "vt100", "HOME": str(tmp_path)})
    copied = mailbox.Maildir(tmp_path / "copy", create=False)
    assert sorted(message["Subject"] for message in copied) == sorted(["plain", "plain", "seen", "all flags", "keywords",
                                                                       "empty body"])
    assert [set(message.get_flags()) >= set("RFS") for message in copied if message["Subject"] == "all flags"] == [True]


# ---------------------------------------------------------------- what does not go in as it is


def test_what_mail_cannot_have_is_told(tmp_path, state):
    with Server({"imap": {"max_message_size": "64KB"}}) as server:
        server.add_domain()
        account = server.add_account()
        line = b"From a@b Thu Nov 24 18:22:48 2005\n"
        write(tmp_path / "in.mbox", line + b"Subject: nul\n\na\0b\n\n" + line + b"Subject: large\n\n" + b"x\n" * 40000 + b"\n"
              + line + b"Subject: last\n\nx\n\n")
        done = import_(server, account, tmp_path / "in.mbox", "--mailbox", "INBOX", "--state", state, check=False)
        told = json.loads(done.stdout)
        assert done.returncode == 1 and "larger than imap.max_message_size" in done.stderr
        assert (told["messages"], told["too_large"], told["with_nul"]) == (2, 1, 1)
        assert [one[2] for one in contents(server, account)[b"INBOX"]] == [b"Subject: last\r\n\r\nx\r\n",
                                                                         b"Subject: nul\r\n\r\na?b\r\n"]


def test_clear_words_for_what_cannot_be(server, source, tmp_path):
    (tmp_path / "nothing").mkdir()
    write(tmp_path / "text", "Subject: no mbox\n\nx\n")
    for path, status, words in [("nothing", 3, "neither a Maildir nor an mbox"), ("text", 1, "is no mbox"),
                                ("missing", 3, "cannot read")]:
        done = import_(server, source, tmp_path / path, "--state", tmp_path / "state", check=False)
        assert done.returncode == status and words in done.stdout
    assert json.loads(done.stdout)["error"]["code"] == "not_found"
    done = server.cli("import", "nobody@example.test", tmp_path, check=False)
    assert done.returncode == 3
    done = server.cli("export", "nobody@example.test", "--to", tmp_path / "out", check=False)
    assert done.returncode == 3
    done = server.cli("export", source.address, "--to", tmp_path / "out", "--mailbox", "Missing", check=False)
    assert done.returncode == 3 and "Missing" in done.stderr
    for wrong in (["export", source.address], ["export", source.address, "--to", "x", "--format", "tar"],
                  ["export", source.address, "--to", "x", "--format", "mbox", "--layout", "nested"],
                  ["import", source.address, tmp_path, "--format", "tar"],
                  ["import", source.address, tmp_path, "--mailbox", "a//b"]):
        assert server.cli(*wrong, check=False).returncode == 2


# ---------------------------------------------------------------- damage


def test_a_damaged_message_is_told_and_all_others_are_exported(tmp_path):
    with Server({"server": {"shards": 1}}) as server:
        server.add_domain()
        account = server.add_account()
        with server.imap(account) as imap:
            for n in range(5):
                imap.append("INBOX", mail(f"letter {n}", f"unmistakable {n}\r\n"))
        server.stop()
        [segment] = [path for path in (server.directory / "shards/00/body").iterdir() if b"unmistakable 2" in path.read_bytes()]
        data = segment.read_bytes()
        segment.write_bytes(data.replace(b"unmistakable 2", b"unmistakabel 2"))
        server.start()
        for options in ([], ["--format", "mbox"]):
            to = tmp_path / ("-".join(options) or "maildir")
            done = export(server, account, to, *options, check=False)
            told = json.loads(done.stdout)
            assert done.returncode == 1
            assert (told["messages"], told["damaged"]) == (4, 1)
            assert (told["damage"][0]["mailbox"], told["damage"][0]["uid"]) == ("INBOX", 3)
            assert "INBOX" in done.stderr and "uid 3" in done.stderr
        assert len(os.listdir(tmp_path / "maildir/cur")) == 4
        assert len(mailbox.mbox(tmp_path / "--format-mbox/INBOX.mbox", create=False)) == 4


def test_damaged_entries_are_told_and_the_others_are_exported(tmp_path):
    with Server({"server": {"shards": 1}}) as server:
        server.add_domain()
        account = server.add_account()
        with server.imap(account) as imap:
            for n in range(300):
                imap.append("INBOX", mail(f"letter {n}", "body\r\n"))
        server.stop()
        database = sqlite3.connect(server.directory / "shards/00/index.db")
        database.execute("UPDATE page SET entries = x'beef' WHERE key = (SELECT min(key) FROM page WHERE length(entries) > 1000)")
        database.commit()
        database.close()
        server.start()
        done = export(server, account, tmp_path / "out", check=False)
        told = json.loads(done.stdout)
        assert done.returncode == 1
        assert told["damaged"] == 1 and 0 < told["messages"] < 300
        assert told["damage"][0]["mailbox"] == "INBOX" and "uid" not in told["damage"][0]
        assert "mailbox INBOX: " in done.stderr


def test_a_file_that_lost_its_bytes_is_written_again(tmp_path):
    with Server() as server:
        server.add_domain()
        account = server.add_account()
        with server.imap(account) as imap:
            for n in range(3):
                imap.append("INBOX", mail(f"letter {n}", "body\r\n"))
        export(server, account, tmp_path / "out")
        first, second, _third = sorted((tmp_path / "out/cur").iterdir())
        whole = first.read_bytes(), second.read_bytes()
        first.write_bytes(b"")
        second.rename(second.with_name(second.name + "S"))
        export(server, account, tmp_path / "out")
        assert len(list((tmp_path / "out/cur").iterdir())) == 3
        assert (first.read_bytes(), second.with_name(second.name + "S").read_bytes()) == whole


# ---------------------------------------------------------------- interrupted


def make_source(folder, form, n):
    if form == "mbox":
        with open(folder / "in.mbox", "wb") as out:
            for i in range(n):
                out.write(b"From a@b Thu Nov 24 18:22:48 2005\nSubject: letter %d\n\n%s\n" % (i, b"some line\n" * 100))
        return folder / "in.mbox"
    for name in ("cur", "new", "tmp", ".Sent/cur"):
        (folder / "box" / name).mkdir(parents=True)
    for i in range(n):
        where = ".Sent/cur" if i % 3 == 0 else "cur"
        write(folder / "box" / where / f"{1000000000 + i}.x:2,S", b"Subject: letter %d\n\n%s" % (i, b"some line\n" * 100))
    return folder / "box"


def subjects(server, account):
    """The first lines of all messages in INBOX and below, sorted."""
    found = []
    with server.imap(account) as imap:
        for name in imap.list("INBOX*"):
            imap.select(name.decode(), "EXAMINE")
            if imap.status(name.decode(), "MESSAGES")[b"MESSAGES"]:
                found += [one[b"BODY[HEADER.FIELDS (SUBJECT)]"].split(b"\r\n", 1)[0].decode()
                          for one in imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])").values()]
    return sorted(found)


def noted(state):
    try:
        return json.loads(state.read_text())
    except FileNotFoundError:
        return {}


def interrupted(server, folder, form, state, condition, end=lambda process, account: process.kill()):
    """(account, path, number of messages) of an import that was ended (killed) when the condition was true of it: one that
    takes long enough."""
    for n in (4000, 16000, 64000):
        (folder / str(n)).mkdir()
        path = make_source(folder / str(n), form, n)
        account = server.add_account()
        process = start_import(server, account, path, state)
        server.wait_for(lambda: process.poll() is not None or condition(account), "the beginning of an import")
        end(process, account)
        process.wait(60)
        if state.exists() and not noted(state)["complete"]:
            return account, path, n
        state.unlink(missing_ok=True)
    raise AssertionError("no import took long enough to be interrupted")


def start_import(server, account, path, state):
    return subprocess.Popen([binary(), "import", account.address, path, "--mailbox", "INBOX", "--state", state, "-c",
                             server.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=server.environment)


@pytest.mark.parametrize("form", ["mbox", "maildir"])
def test_an_import_that_was_killed_goes_on_with_nothing_twice(server, tmp_path, state, form):
    account, path, n = interrupted(server, tmp_path, form, state, lambda account: count(server, account) > 100)
    kills = 1
    if form == "maildir":  # mail that is flagged, and comes, while nothing runs
        os.rename(path / "cur/1000000001.x:2,S", path / "cur/1000000001.x:2,FS")
        os.rename(path / "cur" / f"{1000000000 + n - 2}.x:2,S", path / "cur" / f"{1000000000 + n - 2}.x:2,FS")
        write(path / "cur" / "1.first:2,", b"Subject: letter %d\n\nx\n" % n)
    for pause in (0.05, 0.3, 0.1, 0.2):
        process = start_import(server, account, path, state)
        try:
            process.wait(pause)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    wanted = [f"Subject: letter {i}" for i in range(n + (form == "maildir"))]
    if not noted(state)["complete"]:
        told = import_(server, account, path, "--mailbox", "INBOX", "--state", state)
        assert told["resumed"] and told["messages"] == len(wanted)
    assert subjects(server, account) == sorted(wanted)
    assert noted(state)["complete"]


@pytest.mark.parametrize("form", ["mbox", "maildir"])
def test_a_state_that_is_behind_brings_nothing_in_twice(server, tmp_path, state, form):
    """As when the power goes before the last state was written: the server knows what it has."""
    account, path, n = interrupted(server, tmp_path, form, state, lambda account: count(server, account) > 100)
    state.write_text(json.dumps({**noted(state), "number": 0, "imported": 0}))
    told = import_(server, account, path, "--mailbox", "INBOX", "--state", state)
    assert told["resumed"] and told["messages"] == n
    assert subjects(server, account) == sorted(f"Subject: letter {i}" for i in range(n))


def test_a_server_that_was_killed_meanwhile_has_nothing_twice(tmp_path, state):
    with Server({"server": {"shards": 1}}) as server:
        server.add_domain()

        def end(process, account):
            server.kill_everything()
            assert process.wait(60) in (0, 1, 5)
            server.start()

        account, path, n = interrupted(server, tmp_path, "mbox", state, lambda account: count(server, account) > 100, end)
        told = import_(server, account, path, "--mailbox", "INBOX", "--state", state)
        assert told["resumed"] and told["messages"] == n
        assert subjects(server, account) == sorted(f"Subject: letter {i}" for i in range(n))


def test_an_import_whose_account_moves_meanwhile_has_nothing_twice(server, tmp_path, state):
    def end(process, account):
        to = 1 - server.cli_json("account", "show", account.address)["shard"]
        server.cli("account", "move", account.address, "--shard", to, timeout=120)

    account, path, n = interrupted(server, tmp_path, "mbox", state, lambda account: count(server, account) > 100, end)
    told = import_(server, account, path, "--mailbox", "INBOX", "--state", state)
    assert told["resumed"] and told["messages"] == n
    assert subjects(server, account) == sorted(f"Subject: letter {i}" for i in range(n))


@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_an_export_that_was_killed_goes_on(server, tmp_path, state, form):
    n = 4000
    account = server.add_account()
    import_(server, account, make_source(tmp_path, "mbox", n), "--mailbox", "INBOX", "--state", state)
    command = [binary(), "export", account.address, "--to", tmp_path / "out", "--format", form, "-c", server.config]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=server.environment)
    some = tmp_path / "out" / ("cur" if form == "maildir" else "INBOX.mbox.partial")
    server.wait_for(lambda: some.exists() and (some.is_file() and some.stat().st_size > 0 or some.is_dir() and os.listdir(some)),
                    "the beginning of an export")
    process.kill()
    process.wait()
    told = export(server, account, tmp_path / "out", "--format", form, "--yes")
    assert told["messages"] == n and (told["there_already"] > 0) == (form == "maildir")
    if form == "maildir":
        assert len(os.listdir(tmp_path / "out/cur")) == n and not os.listdir(tmp_path / "out/tmp")
    else:
        assert len(mailbox.mbox(tmp_path / "out/INBOX.mbox", create=False)) == n
        assert not list((tmp_path / "out").glob("*.partial"))


def test_a_source_that_was_rewritten_is_gone_on_with(server, tmp_path, state):
    account, path, n = interrupted(server, tmp_path, "mbox", state, lambda account: noted(state).get("number", 0) > 0)
    done = import_(server, account, path, "--mailbox", "Other", "--state", state, check=False)
    assert done.returncode == 4 and "another --mailbox" in done.stdout
    path.write_bytes(b"From a@b Thu Nov 24 18:22:48 2005\nSubject: new\n\nx\n\n" +
                     path.read_bytes().replace(b"\nSubject:", b"\nStatus: RO\nSubject:"))
    told = import_(server, account, path, "--mailbox", "INBOX", "--state", state)
    assert told["resumed"] and told["messages"] == n + 1
    assert subjects(server, account) == sorted(["Subject: new", *(f"Subject: letter {i}" for i in range(n))])


def test_an_import_that_is_killed_when_it_is_complete_brings_nothing_twice(server, tmp_path, state):
    account, path = server.add_account(), make_source(tmp_path, "mbox", 300)
    process = start_import(server, account, path, state)
    server.wait_for(lambda: noted(state).get("complete") or process.poll() is not None, "the end of an import")
    process.kill()
    process.wait()
    start_import(server, account, path, state).wait(60)
    assert subjects(server, account) == sorted(f"Subject: letter {i}" for i in range(300))


# ---------------------------------------------------------------- material of others


def test_corpora_of_mboxes_are_imported_message_by_message(server, tmp_path, state):
    if not material.CORPORA.is_dir():
        pytest.skip(f"no test corpora at {material.CORPORA.name} (MANSIO_CORPORA)")
    account = server.add_account()
    wanted = 0
    for path in sorted(material.CORPORA.glob("imaptest/*.mbox")):
        shutil.copy(path, tmp_path / path.name)
        wanted += len(material._split_mbox(path.read_bytes()))
    told = import_(server, account, tmp_path, "--mailbox", "corpus", "--state", state.parent.parent / f"{state.parent.name}-state")
    assert told["messages"] == wanted > 90
    assert sum(len(listed) for listed in contents(server, account).values()) == wanted


def test_the_corpus_goes_there_and_back(server, tmp_path, state):
    messages = material.corpus()
    account, target, other = (server.add_account() for _ in range(3))
    with server.imap(account) as imap:
        for data in messages.values():
            if b"\0" not in data and len(data) < 1000000:
                imap.append("INBOX", data, "\\Seen")
    wanted = contents(server, account)[b"INBOX"]
    export(server, account, tmp_path / "maildir")
    import_(server, target, tmp_path / "maildir", "--state", state)
    assert contents(server, target)[b"INBOX"] == wanted
    export(server, account, tmp_path / "mbox", "--format", "mbox")
    import_(server, other, tmp_path / "mbox", "--state", tmp_path / "state of mbox")
    kept = [one for one in wanted if not any(name in one[2].lower() for name in
                                             (b"\nstatus:", b"content-length:", b"x-mozilla", b"x-uid:", b"x-status:",
                                              b"x-keywords:", b"x-imap"))]
    found = contents(server, other)[b"INBOX"]
    assert len(found) == len(wanted)
    assert [one for one in kept if one not in found] == []


# ---------------------------------------------------------------- limits, and what people see


def test_a_quota_ends_an_import_and_more_room_lets_it_go_on(server, tmp_path, state):
    path = make_source(tmp_path, "mbox", 60)
    account = server.add_account()
    server.cli("account", "quota", account.address, "--messages", "25")
    done = import_(server, account, path, "--mailbox", "INBOX", "--state", state, check=False)
    assert done.returncode == 1 and "quota" in done.stdout
    assert 0 < count(server, account) <= 25
    server.cli("account", "quota", account.address, "--messages", "none")
    again = import_(server, account, path, "--mailbox", "INBOX", "--state", state, check=False)
    assert "interrupted" in again.stderr and " 0 messages" not in again.stderr
    told = json.loads(again.stdout)
    assert told["resumed"] and told["messages"] == 60
    assert subjects(server, account) == sorted(f"Subject: letter {i}" for i in range(60))


def test_a_terminal_shows_how_far_it_is(server, tmp_path, state):
    path = make_source(tmp_path, "mbox", 6000)
    account = server.add_account()
    seen = on_a_terminal([binary(), "import", account.address, path, "--mailbox", "INBOX", "--state", state, "-c",
                          server.config], server.environment)
    assert b"importing: " in seen and b" messages" in seen and b"imported: 6000 messages" in seen
