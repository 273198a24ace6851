"""mansio import, given again: only what is new at the source comes in, whatever was done here or there in between, and
whenever a run ended. The usual way to move: import, change the MX record, import again."""

import contextlib
import json
import mailbox
import os

import pytest

LINE = "From a@b Thu Nov 24 18:22:48 2005\n"


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def letter(subject, head="", body="Hello.\n"):
    return f"{head}Subject: {subject}\nFrom: a@example.net\n\n{body}"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_mbox(path, *letters):
    write(path, "".join(f"{LINE}{one}\n" for one in letters))


def import_(server, account, path, state, *options):
    return server.cli_json("import", account.address, path, "--state", state, *options)


def subjects(server, account):
    """{mailbox: sorted subjects}, of mailboxes in which something is."""
    with server.imap(account) as imap:
        return {name.decode(): sorted(one.body.split(b"\r\n\r\n")[0].split(b"Subject: ")[1].split(b"\r\n")[0].decode()
                                      for one in mails) for name, mails in imap.contents().items() if mails}


@contextlib.contextmanager
def inbox(server, account):
    with server.imap(account) as imap:
        imap.select()
        yield imap


class Maildir:
    """A source, by the names that its messages begin with."""

    def __init__(self, path):
        self.path = path
        for name in ("cur", "new", "tmp"):
            (path / name).mkdir(parents=True)

    def add(self, name, folder="", flags="S"):
        write(self.path / folder / "cur" / f"{name}:2,{flags}", letter(name))

    def find(self, name, folder=""):
        return next((self.path / folder).glob(f"*/{name}:2,*"))


@pytest.fixture
def box(tmp_path):
    box = Maildir(tmp_path / "box")
    for name in ("1.a", "2.b", "3.c"):
        box.add(name)
    box.add("4.d", ".Work")
    return box


# ---------------------------------------------------------------- Maildir


def test_a_second_run_brings_only_what_is_new_of_a_maildir(server, account, box, state):
    assert import_(server, account, box.path, state)["messages"] == 4
    told = import_(server, account, box.path, state)
    assert (told["messages"], told["there_already"], told["resumed"]) == (0, 4, False)
    box.add("5.e")
    box.add("0.before all others")
    box.add("6.f", ".New")
    told = import_(server, account, box.path, state)
    assert (told["messages"], told["there_already"]) == (3, 4)
    assert subjects(server, account) == {"INBOX": ["0.before all others", "1.a", "2.b", "3.c", "5.e"], "Work": ["4.d"],
                                         "New": ["6.f"]}


def test_what_was_done_at_the_source_in_between_brings_nothing_twice(server, account, box, state):
    import_(server, account, box.path, state)
    box.find("1.a").rename(box.path / "cur/1.a:2,FRS")  # read and answered there
    box.find("2.b").rename(box.path / "new/2.b")
    box.find("3.c").rename(box.path / ".Work/cur/3.c:2,S")  # moved to another folder there
    box.find("4.d", ".Work").unlink()
    box.add("1.a", ".Copies")  # a copy is another message
    assert import_(server, account, box.path, state)["messages"] == 1
    wanted = {"INBOX": ["1.a", "2.b", "3.c"], "Work": ["4.d"], "Copies": ["1.a"]}
    assert subjects(server, account) == wanted
    (box.path / ".Work").rename(box.path / ".Projects")
    assert import_(server, account, box.path, state)["messages"] == 0
    assert subjects(server, account) == wanted


def test_what_was_done_here_in_between_stays_done(server, account, box, state):
    import_(server, account, box.path, state)
    with inbox(server, account) as imap:
        imap.ok("STORE 1 +FLAGS (\\Flagged)")
        imap.ok("UID MOVE 2 Archive")
        imap.ok("UID STORE 3 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("RENAME Work Projects")
        imap.ok("UNSUBSCRIBE INBOX")
        imap.ok("UNSUBSCRIBE Sent")
    box.add("5.e")
    box.add("6.f", ".Sent")
    assert import_(server, account, box.path, state)["messages"] == 2
    assert subjects(server, account) == {"INBOX": ["1.a", "5.e"], "Archive": ["2.b"], "Projects": ["4.d"], "Sent": ["6.f"]}
    with server.imap(account) as imap:
        assert b"Work" not in imap.list(), "a folder that was renamed here is not made again"
        subscribed = imap.list(command="LSUB")
        assert b"INBOX" not in subscribed and b"Sent" not in subscribed


def test_an_interrupted_import_knows_what_is_in_after_a_move_of_its_account(server, account, box, state):
    """The client was killed before it noted what the server has; the account has gone to another shard since."""
    import_(server, account, box.path, state)
    behind = {**json.loads(state.read_text()), "number": 0, "imported": 0, "complete": False}
    del behind["counter"]  # as an older version wrote it
    for _ in range(2):  # there and back
        server.cli("account", "move", account.address, "--shard", 1 - server.cli_json("account", "show", account.address)["shard"],
                   timeout=120)
        state.write_text(json.dumps(behind))
        told = import_(server, account, box.path, state)
        assert told["resumed"] and told["messages"] == 4
        assert subjects(server, account) == {"INBOX": ["1.a", "2.b", "3.c"], "Work": ["4.d"]}


def test_a_memory_that_was_restored_itself_leaves_nothing_out(server, account, box, state):
    import_(server, account, box.path, state)
    files = [(path, path.read_bytes()) for path in (state, state.with_suffix(".list"))]
    box.add("5.e")
    assert import_(server, account, box.path, state)["messages"] == 1
    for path, content in files:
        path.write_bytes(content)
    box.add("0.first of the new ones now")
    told = import_(server, account, box.path, state)
    assert (told["messages"], told["there_already"], told["store_is_older"]) == (2, 4, False)
    assert subjects(server, account)["INBOX"] == ["0.first of the new ones now", "1.a", "2.b", "3.c", "5.e", "5.e"]


def test_after_a_restore_of_the_store_it_is_told_that_messages_may_be_missing(fresh_server, tmp_path, box):
    """And nothing comes twice, until somebody says so."""
    server = fresh_server()
    server.environment["XDG_STATE_HOME"] = str(tmp_path / "home")
    account = server.add_account()

    def run(*options):
        done = server.cli("import", account.address, box.path, "--json", *options, check=False)
        told = json.loads(done.stdout)
        assert told["store_is_older"] == ("the store is older" in done.stderr)
        assert told["gone"] == 0
        return done.returncode, told["store_is_older"], told["messages"], told["there_already"]

    bad = box.find("2.b")
    bad.unlink()
    bad.mkdir()
    assert run() == (1, False, 3, 0)
    server.cli("backup", tmp_path / "backup")
    bad.rmdir()
    box.add("2.b")
    assert run() == (0, False, 1, 3)
    state, = (path for path in (tmp_path / "home/mansio").iterdir() if not path.suffix)
    left_out_before = json.loads(state.read_text())["counter"]
    for name in ("5.e", "6.f", "7.g"):
        box.add(name)
    assert run() == (0, False, 3, 4)
    server.stop()
    server.directory.rename(tmp_path / "lost")
    server.cli("restore", tmp_path / "backup")
    server.start()
    noted = json.loads(state.read_text())
    state.write_text(json.dumps({**noted, "counter": left_out_before}))
    assert run() == (1, True, 0, 7)
    state.write_text(json.dumps({name: value for name, value in noted.items() if name != "counter"}))
    assert run() == (0, False, 0, 7), "a record of an older version does not know"
    state.write_text(json.dumps(noted))
    box.find("5.e").unlink()
    box.add("8.h")
    assert run() == (1, True, 1, 6)
    assert run() == (1, True, 0, 7)
    assert subjects(server, account) == {"INBOX": ["1.a", "3.c", "8.h"], "Work": ["4.d"]}
    assert run("--mailbox", "Recovered") == (0, False, 7, 0)
    assert run("--again") == (0, False, 7, 0)
    assert run() == (0, False, 0, 7)
    names = ["1.a", "2.b", "3.c", "6.f", "7.g", "8.h"]
    assert subjects(server, account) == {"INBOX": sorted([*names, "1.a", "3.c", "8.h"]), "Work": ["4.d", "4.d"],
                                         "Recovered": names, "Recovered/Work": ["4.d"]}


def test_the_memory_is_of_account_and_source_however_they_are_written(fresh_server, tmp_path):
    """Where no --state is said: by the account, not by how its address was typed; by the source, whatever its name."""
    server = fresh_server()
    server.environment["XDG_STATE_HOME"] = str(tmp_path / "home")
    account = server.add_account()
    box = Maildir(tmp_path / os.fsdecode(b"b\xf6x"))
    box.add("1.a")
    for path, address, messages in ((box.path, account.address, 1), (box.path, account.address.upper(), 0),
                                    (box.path / "." / "cur" / "..", account.address, 0)):
        assert server.cli_json("import", address, path)["messages"] == messages
    assert len(list((tmp_path / "home/mansio").glob("*.list"))) == 1
    server.cli("account", "remove", account.address, "--yes")
    server.cli("account", "add", account.address, "--password-file", "-", input="another pass word\n")
    assert server.cli_json("import", account.address, box.path)["messages"] == 1, "another account of the same name"


def test_unique_ids_stay_right(server, account, box, state, tmp_path):
    ids = tmp_path / "ids"
    ids.write_text("1.a first\n2.b second\n")
    import_(server, account, box.path, state, "--uidl-file", ids)
    with server.pop3(account) as pop3:
        before = list(pop3.uidl().values())
        pop3.ok("DELE 2")
        pop3.ok("QUIT")
    box.add("5.e")
    box.add("6.f")
    ids.write_text("1.a first\n2.b second\n5.e fifth\n6.f first\n")
    done = server.cli("import", account.address, box.path, "--state", state, "--uidl-file", ids)
    assert "POP3 ids of the other server: sent with 2 messages\n" in done.stdout, "one of them is taken"
    with server.pop3(account) as pop3:
        after = list(pop3.uidl().values())
    assert before[:2] == [b"first", b"second"]
    assert after[:3] == [b"first", before[2], b"fifth"] and len(set(after)) == len(after) == 4


def test_a_list_of_unique_ids_is_for_all_folders(server, account, box, state, tmp_path):
    ids = tmp_path / "ids"
    ids.write_text("4.d fourth\n2.b second\n")
    assert import_(server, account, box.path, state, "--uidl-file", ids)["with_uidl"] == 2


def test_what_could_not_be_read_is_tried_again(server, account, box, state):
    box.add("5.e")
    bad = box.find("2.b")
    bad.unlink()
    bad.mkdir()
    done = server.cli("import", account.address, box.path, "--state", state, "--json", check=False)
    assert done.returncode == 1 and json.loads(done.stdout)["unreadable"] == 1
    bad.rmdir()
    box.add("2.b")
    assert import_(server, account, box.path, state)["messages"] == 1
    assert import_(server, account, box.path, state)["messages"] == 0
    assert subjects(server, account)["INBOX"] == ["1.a", "2.b", "3.c", "5.e"]


def test_what_was_too_large_comes_when_it_may(fresh_server, tmp_path, state):
    server = fresh_server({"imap": {"max_message_size": "64KB"}})
    account = server.add_account()
    write_mbox(tmp_path / "mbox", letter("one"), letter("large", body="x\n" * 40000), letter("three"))
    for messages in (2, 0):
        done = server.cli("import", account.address, tmp_path / "mbox", "--state", state, "--json", check=False)
        told = json.loads(done.stdout)
        assert done.returncode == 1 and (told["messages"], told["too_large"]) == (messages, 1)
    server.settings["imap"]["max_message_size"] = "1MB"
    server.write_config()
    server.restart()
    assert import_(server, account, tmp_path / "mbox", state)["messages"] == 1
    assert subjects(server, account) == {"INBOX": ["large", "one", "three"]}


# ---------------------------------------------------------------- mbox


def test_a_second_run_brings_only_what_is_new_of_mboxes(server, account, tmp_path, state):
    source = tmp_path / "mail"
    write_mbox(source / "Inbox", letter("one"), letter("two"))
    write_mbox(source / "Work", letter("three"))
    assert import_(server, account, source, state)["messages"] == 3
    told = import_(server, account, source, state)
    assert (told["messages"], told["there_already"]) == (0, 3)
    write_mbox(source / "Inbox", letter("one"), letter("two"), letter("four"))  # grown at its end
    write_mbox(source / "Work", letter("before"), letter("three"), letter("five"))
    assert import_(server, account, source, state)["messages"] == 3
    write_mbox(source / "Inbox", letter("two"), letter("six"))  # some are gone
    assert import_(server, account, source, state)["messages"] == 1
    write_mbox(source / "Inbox", letter("two"))
    write_mbox(source / "Work", letter("three"), letter("six"))  # moved there to another folder
    assert import_(server, account, source, state)["messages"] == 0
    assert subjects(server, account) == {"INBOX": ["four", "one", "six", "two"], "Work": ["before", "five", "three"]}


def test_the_same_message_several_times_in_an_mbox_is_several_messages(server, account, tmp_path, state):
    path = tmp_path / "mbox"
    write_mbox(path, letter("same"), letter("other"), letter("same"))
    assert import_(server, account, path, state)["messages"] == 3
    write_mbox(path, letter("same"), letter("same"), letter("same"), letter("other"))
    assert import_(server, account, path, state)["messages"] == 1
    write_mbox(path, letter("same"), letter("other"))
    assert import_(server, account, path, state)["messages"] == 0
    assert subjects(server, account) == {"INBOX": ["other", "same", "same", "same"]}


@pytest.mark.parametrize("noted", [
    "Status: RO\nX-Status: AF\n", "X-UIDL: 0123456789abcdef\n", "Content-Length: 7\nLines: 1\n",
    "X-UID: 17\nX-Keywords: $Work\n", "X-Mozilla-Status: 0001\nX-Mozilla-Status2: 00000000\n",
    "X-Evolution: 0000000c-0010\n", "X-Gmail-Labels: Inbox,Opened\n\tx\n"])
def test_what_programs_note_in_the_header_makes_no_other_message(server, account, tmp_path, state, noted):
    path = tmp_path / "mbox"
    write_mbox(path, letter("one"), letter("two"))
    import_(server, account, path, state)
    write_mbox(path, letter("one", head=noted), letter("two"), letter("three"))
    assert import_(server, account, path, state)["messages"] == 1
    assert subjects(server, account) == {"INBOX": ["one", "three", "two"]}


def test_an_mbox_that_a_program_rewrites_between_two_runs(server, account, tmp_path, state):
    path = tmp_path / "mbox"
    for at, subject in enumerate(("one", "two", "three", "four")):
        box = mailbox.mbox(path)
        box.add(mailbox.mboxMessage(letter(subject)))
        if at == 2:
            box.remove(0)
        first = box[box.keys()[0]]
        first.add_flag("RO")
        box[box.keys()[0]] = first
        box.flush()
        box.close()
        assert import_(server, account, path, state)["messages"] == 1
    assert subjects(server, account) == {"INBOX": ["four", "one", "three", "two"]}


# ---------------------------------------------------------------- interrupted, changed, on purpose


@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_a_source_that_changed_while_an_import_was_interrupted(server, account, tmp_path, state, form):
    """The quota stops it in the middle; where it stopped nothing is as it was."""
    path = tmp_path / ("box" if form == "maildir" else "mbox")
    names = [f"{n}.x" for n in range(100, 160)]
    if form == "maildir":
        box = Maildir(path)
        for name in names:
            box.add(name)
    else:
        write_mbox(path, *map(letter, names))
    server.cli("account", "quota", account.address, "--messages", "25")
    done = server.cli("import", account.address, path, "--state", state, "--json", check=False)
    assert done.returncode == 1 and "quota" in done.stdout
    come = subjects(server, account)["INBOX"]
    server.cli("account", "quota", account.address, "--messages", "none")
    left = ["000.first", *names[1:30], *names[31:], "200.last"]
    if form == "maildir":
        for name in (names[0], names[30]):
            box.find(name).unlink()
        for name in ("000.first", "200.last"):
            box.add(name)
    else:
        write_mbox(path, *(letter(name, head="Status: RO\n") for name in left))
    told = import_(server, account, path, state)
    assert told["resumed"]
    assert subjects(server, account)["INBOX"] == sorted({*come, *left})
    assert import_(server, account, path, state)["messages"] == 0


def test_everything_comes_again_on_purpose(server, account, box, state):
    import_(server, account, box.path, state)
    with inbox(server, account) as imap:
        imap.ok("STORE 1:3 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    told = import_(server, account, box.path, state, "--again")
    assert (told["messages"], told["there_already"]) == (4, 0)
    assert import_(server, account, box.path, state)["messages"] == 0
    assert subjects(server, account) == {"INBOX": ["1.a", "2.b", "3.c"], "Work": ["4.d", "4.d"]}


def test_a_memory_that_is_not_this_imports_is_not_used(server, account, box, state, tmp_path):
    import_(server, account, box.path, state)
    other = server.add_account()
    for who, path, words in ((other, box.path, "another account"), (account, tmp_path / "other", "elsewhere")):
        if path != box.path:
            write_mbox(path, letter("one"))
        done = server.cli("import", who.address, path, "--state", state, check=False)
        assert done.returncode == 4 and words in done.stderr and "--again" in done.stderr
    for name in ("state", "state.list"):
        text = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(text[: len(text) // 2])
        done = server.cli("import", account.address, box.path, "--state", state, check=False)
        assert done.returncode == 1 and "--again" in done.stderr
        (tmp_path / name).write_bytes(text)
    os.unlink(tmp_path / "state.list")
    assert server.cli("import", account.address, box.path, "--state", state, check=False).returncode == 1
    assert import_(server, account, box.path, state, "--again")["messages"] == 4
