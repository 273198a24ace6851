"""mansio import of mail that other programs use meanwhile, and of what cannot be read: nothing is left out silently. An
import is held at a system call (strace), so that what happens meanwhile happens at that very moment."""

import contextlib
import json
import os
import re
import signal
import subprocess

import pytest

from harness.programs import need
from harness.server import binary

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LINE = "From a@b Thu Nov 24 18:22:48 2005\n"


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def traceable(tmp_path):
    need("strace")
    if subprocess.run(["strace", "-o", tmp_path / "probe", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("strace is not allowed here")


def letter(subject, head=""):
    return f"{head}Subject: {subject}\nFrom: a@example.net\n\nHello.\n"


def add(box, name, subject=None):
    """A message in a Maildir: name is "new/1.a" or ".Work/cur/1.a:2,S"."""
    path = box / name
    for part in ("cur", "new", "tmp"):
        (path.parent.parent / part).mkdir(parents=True, exist_ok=True)
    path.write_text(letter(subject or path.name.split(":")[0]))
    return path


def write_mbox(path, *letters):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{LINE}{one}\n" for one in letters))


def subjects(server, account):
    """{mailbox: sorted subjects}, of mailboxes in which something is."""
    with server.imap(account) as imap:
        return {name.decode(): sorted(re.search(rb"Subject: (.*)\r\n", one.body)[1].decode() for one in mails)
                for name, mails in imap.contents().items() if mails}


class Told(dict):
    """What an import said: the summary, with its exit status and the lines beside it."""

    def __init__(self, status, output, lines):
        super().__init__(json.loads(output))
        self.status, self.lines = status, lines


class Run:
    """An import with something in front of it."""

    def __init__(self, server, account, path, state, wrapper=(), options=()):
        environment = dict(server.environment or os.environ)
        if wrapper:  # what looks for leaks is a tracer too
            environment["ASAN_OPTIONS"] = ":".join(filter(None, [environment.get("ASAN_OPTIONS"), "detect_leaks=0"]))
        command = [*wrapper, binary(), "import", account.address, path, "--state", state, "--json", "-c", server.config,
                   *options]
        self.server = server
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, errors="replace", env=environment)

    def finish(self):
        output, lines = self.process.communicate(timeout=60)
        return Told(self.process.returncode, output, lines)


def import_(server, account, path, state, *wrapper):
    return Run(server, account, path, state, wrapper).finish()


def strace(tmp_path, call, what, of=None):
    """Does `what` at each call of that kind that is of a path."""
    return ["strace", "-f", "-o", tmp_path / "trace", *(["-P", of] if of else []), "-e", f"trace={call}", "-e",
            f"inject={call}:{what}"]


@contextlib.contextmanager
def held(server, account, path, state, call, of=None, at=1):
    """An import that stands still at such a call, until the block ends; finish() then."""
    trace = state.parent / "trace"
    run = Run(server, account, path, state, strace(state.parent, call, f"signal=SIGSTOP:when={at}", of))
    stopped = re.compile(r"^(\d+) +--- stopped by SIGSTOP ---", re.M)
    try:
        server.wait_for(lambda: trace.exists() and stopped.search(trace.read_text()) or run.process.poll() is not None,
                        "an import that stands still")
        yield run
    finally:
        found = stopped.search(trace.read_text())
        if found:
            os.kill(int(found[1]), signal.SIGCONT)


AFTER_SCAN = "/^rename"  # of the list: what there is has been listed, and nothing was read


# ---------------------------------------------------------------- in use meanwhile


def test_mail_that_is_read_and_flagged_while_an_import_runs_comes_too(server, account, tmp_path, state, traceable):
    box = tmp_path / "box"
    names = [f"{n}.x" for n in range(100, 130)]
    for n, name in enumerate(names):
        add(box, f"new/{name}" if n % 3 == 0 else f"cur/{name}:2,S")
    with held(server, account, box, state, AFTER_SCAN) as run:
        for name in names[:20]:
            path, = box.glob(f"*/{name}*")
            path.rename(box / f"cur/{name}:2,FS")
        add(box, "new/200.later")
    told = run.finish()
    assert (told.status, told["messages"], told["gone"], told["moved"]) == (0, 30, 0, 0)
    with server.imap(account) as imap:
        found = imap.contents()[b"INBOX"]
        imap.select()
        order = [one[b"BODY[HEADER.FIELDS (SUBJECT)]"].split(b": ")[1].strip().decode()
                 for one in imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])").values()]
    assert order == names, "they come in the order in which they would have"
    assert sum("F" in one.flags or b"\\Flagged" in one.flags for one in found) == 20
    assert import_(server, account, box, state)["messages"] == 1


@pytest.mark.parametrize("listed", ["new", "cur"])
@pytest.mark.parametrize("from_, to", [("new/1.a", "cur/1.a:2,S"), ("cur/1.a:2,S", "new/1.a"), ("cur/1.a:2,S", "cur/1.a:2,F")])
def test_mail_that_moves_while_its_folder_is_listed_comes_once(server, account, tmp_path, state, traceable, listed, from_, to):
    box = tmp_path / "box"
    add(box, "cur/0.other:2,")
    path = add(box, from_)
    with held(server, account, box, state, "getdents64", box / listed, at=2) as run:  # the end of that folder
        path.rename(box / to)
    told = run.finish()
    assert (told.status, told["messages"]) == (0, 2)
    assert import_(server, account, box, state)["messages"] == 0
    assert subjects(server, account) == {"INBOX": ["0.other", "1.a"]}


def test_what_was_deleted_while_an_import_runs_is_not_missed(server, account, tmp_path, state, traceable):
    box = tmp_path / "box"
    paths = [add(box, f"cur/{n}.x:2,") for n in range(5)]
    with held(server, account, box, state, AFTER_SCAN) as run:
        for path in paths[1:4]:
            path.unlink()
    told = run.finish()
    assert (told.status, told["messages"], told["gone"], told["moved"]) == (0, 2, 3, 0)


def test_what_moved_elsewhere_while_an_import_runs_is_told_and_comes_with_the_next(server, account, tmp_path, state,
                                                                                    traceable):
    box = tmp_path / "box"
    add(box, "cur/1.a:2,")
    paths = [add(box, f"cur/{n}:2,") for n in ("2.b", "3.c")]
    add(box, ".Copies/cur/3.c:2,")
    work = add(box, ".Work/cur/4.d:2,").parent.parent
    with held(server, account, box, state, AFTER_SCAN) as run:
        paths[0].rename(box / ".Copies/cur/2.b:2,S")
        paths[1].unlink()  # a copy of it is another message, and has come
        work.rename(box / ".Projects")
    told = run.finish()
    assert (told.status, told["messages"], told["gone"], told["moved"]) == (1, 2, 1, 2)
    told = import_(server, account, box, state)
    assert (told.status, told["messages"]) == (0, 2)
    assert subjects(server, account) == {"INBOX": ["1.a"], "Copies": ["2.b", "3.c"], "Projects": ["4.d"]}


def test_what_another_run_notes_before_this_one_may_is_no_older_store(server, account, tmp_path, state, traceable):
    box = tmp_path / "box"
    add(box, "cur/1.a:2,S")
    assert import_(server, account, box, state)["messages"] == 1
    add(box, "cur/2.b:2,S")
    with held(server, account, box, state, "openat", of=f"{state}.lock") as run:
        assert import_(server, account, box, state)["messages"] == 1
    told = run.finish()
    assert (told.status, told["messages"], told["there_already"], told["store_is_older"]) == (0, 0, 2, False)


def test_an_mbox_that_is_rewritten_while_an_import_runs(server, account, tmp_path, state, traceable):
    path = tmp_path / "mbox"
    names = [f"number {n}" for n in range(5)]
    write_mbox(path, *map(letter, names))
    with held(server, account, path, state, AFTER_SCAN) as run:
        write_mbox(path, letter("before all"), *(letter(name, "Status: RO\n") for name in names[:4]))
    told = run.finish()
    assert (told.status, told["moved"], told["gone"]) == (1, 4, 1)
    told = import_(server, account, path, state)
    assert (told.status, told["messages"]) == (0, 5)
    assert subjects(server, account) == {"INBOX": ["before all", *names[:4]]}


def test_two_files_of_one_name_are_two_messages_also_when_an_import_was_interrupted(server, account, tmp_path, state):
    """As some programs copy them. What they are known by is not in which order a folder lists them."""
    box = tmp_path / "box"
    paths = [add(box, f"cur/1.x:2,{letter_}{flags}", f"{flags}{letter_}") for letter_ in LETTERS for flags in ("S", "FS")]
    for n, path in enumerate(paths):
        os.utime(path, (1000000 + n * 7 % len(paths),) * 2)
    server.cli("account", "quota", account.address, "--messages", "20")
    assert server.cli("import", account.address, box, "--state", state, check=False).returncode == 1
    server.cli("account", "quota", account.address, "--messages", "none")
    for path in paths:  # their flags change
        path.rename(box / f"{path}RT")
    assert import_(server, account, box, state).status == 0
    assert subjects(server, account)["INBOX"] == sorted(f"{flags}{letter_}" for letter_ in LETTERS for flags in ("S", "FS"))
    assert import_(server, account, box, state)["messages"] == 0


def test_a_file_under_two_names_is_one_message(server, account, tmp_path, state):
    """Some programs move by a second link, and end in between."""
    box = tmp_path / "box"
    os.link(add(box, "new/1.a"), box / "cur/1.a:2,S")
    assert import_(server, account, box, state)["messages"] == 1


# ---------------------------------------------------------------- what ends an import


@pytest.mark.parametrize("what", ["signal=SIGKILL", "error=ENOSPC"])
def test_taking_all_once_more_is_begun_or_it_is_not(server, tmp_path, traceable, what):
    """Wherever a run with --again ends: each message comes once more, as it was asked for, or none does, and none is left
    out."""
    states = []
    for at in range(1, 6):
        account, box, state = server.add_account(), tmp_path / f"box{at}", tmp_path / f"state{at}"
        for n in range(8):
            add(box, f"{'cur' if n < 3 else '.Old/cur'}/{n}.old:2,")
        assert import_(server, account, box, state)["messages"] == 8
        for n in range(3):
            add(box, f"cur/{n}.new:2,")
        run = Run(server, account, box, state, strace(tmp_path, "/^rename", f"{what}:when={at}"), ["--again"])
        run.process.communicate(timeout=60)
        assert run.process.returncode != 0
        assert import_(server, account, box, state).status == 0
        assert import_(server, account, box, state)["messages"] == 0
        found = subjects(server, account)
        times = {name: (found["INBOX"] + found["Old"]).count(name) for name in {*found["INBOX"], *found["Old"]}}
        assert len(times) == 11 and {times[f"{n}.new"] for n in range(3)} == {1}
        once, = {times[f"{n}.old"] for n in range(8)}
        states.append(once)
    assert states == sorted(states) and set(states) == {1, 2}, "up to a moment nothing has happened, and then all of it"


def test_taking_all_once_more_may_end_early_twice(server, tmp_path, traceable):
    for at in range(1, 5):
        account, box, state = server.add_account(), tmp_path / f"box{at}", tmp_path / f"state{at}"
        for n in range(4):
            add(box, f"cur/{n}.old:2,")
        assert import_(server, account, box, state)["messages"] == 4
        for when in 3, at:  # first when the record is written, and its list has not its name yet
            run = Run(server, account, box, state, strace(tmp_path, "/^rename", f"signal=SIGKILL:when={when}"), ["--again"])
            run.process.communicate(timeout=60)
            assert run.process.returncode != 0
        told = import_(server, account, box, state)
        assert told.status == 0, told
        assert import_(server, account, box, state)["messages"] == 0
        found = subjects(server, account)["INBOX"]
        assert {found.count(f"{n}.old") for n in range(4)} == {2}


def test_a_list_that_is_not_the_record_s_is_not_used(server, account, tmp_path, state):
    box = tmp_path / "box"
    add(box, "cur/1.a:2,")
    import_(server, account, box, state)
    older = state.with_suffix(".list").read_bytes()
    assert Run(server, account, box, state, options=["--again"]).finish()["messages"] == 1
    state.with_suffix(".list").write_bytes(older)
    told = import_(server, account, box, state)
    assert told.status == 1 and "--again" in told["error"]["message"]
    assert subjects(server, account) == {"INBOX": ["1.a", "1.a"]}


LARGE = 30


@pytest.fixture
def narrow(fresh_server):
    """A server that takes no message as large as the command line takes it for."""
    server = fresh_server({"smtp": {"max_message_size": "64KB"}, "imap": {"max_message_size": "64KB"},
                           "server": {"shards": 2}})
    limit_size(server, "1MB")
    return server


def limit_size(server, size):
    """For the command line at once, for the server when it starts."""
    for protocol in ("smtp", "imap"):
        server.settings[protocol]["max_message_size"] = size
    server.write_config()


def add_with_a_large_one(box, n):
    for i in range(n):
        path = add(box, f"cur/{1000 + i}:2,")
        path.write_text(path.read_text() + "x\n" * (200000 if i == LARGE else 1000))
        os.utime(path, (1000000 + i,) * 2)


def count(server, account):
    with server.imap(account) as imap:
        return imap.status("INBOX", "MESSAGES")[b"MESSAGES"]


def test_what_the_server_refused_is_told_and_tried_again_until_it_is_in(narrow, tmp_path, state):
    account = narrow.add_account()
    add_with_a_large_one(tmp_path / "box", LARGE + 5)
    for messages, there in ((LARGE + 4, 0), (0, LARGE + 4), (0, LARGE + 4)):
        told = import_(narrow, account, tmp_path / "box", state)
        assert (told.status, told["messages"], told["there_already"], told["refused"]) == (1, messages, there, 1)
        assert f"{1000 + LARGE}:2, was refused by the server; left out" in told.lines
    narrow.restart()
    for messages, there in ((1, LARGE + 4), (0, LARGE + 5)):
        told = import_(narrow, account, tmp_path / "box", state)
        assert (told.status, told["messages"], told["there_already"], told["refused"]) == (0, messages, there, 0)
    assert count(narrow, account) == LARGE + 5


@pytest.mark.parametrize("moved", [False, True])
def test_what_was_refused_before_an_interruption_is_not_taken_for_come(narrow, tmp_path, state, moved):
    account = narrow.add_account()
    add_with_a_large_one(tmp_path / "box", LARGE + 5)
    assert import_(narrow, account, tmp_path / "box", state)["refused"] == 1
    # what the server said was not noted any more
    noted = json.loads(state.read_text())
    state.write_text(json.dumps({**noted, "number": 0, "imported": 0, "complete": False, "left": []}))
    if moved:
        narrow.cli("account", "move", account.address, "--shard", 1 - shard_of(narrow, account), timeout=120)
    narrow.restart()
    told = import_(narrow, account, tmp_path / "box", state)
    assert (told.status, told["messages"], count(narrow, account)) == (0, LARGE + 5, LARGE + 5)


@pytest.mark.parametrize("who", ["server", "both"])
def test_what_is_in_and_would_be_refused_now_comes_no_second_time(narrow, tmp_path, state, who):
    account = narrow.add_account()
    narrow.restart()
    add_with_a_large_one(tmp_path / "box", LARGE + 5)
    assert import_(narrow, account, tmp_path / "box", state).status == 0
    # what the server said was not noted any more
    noted = json.loads(state.read_text())
    state.write_text(json.dumps({**noted, "number": 0, "imported": 0, "complete": False}))
    for limit in "64KB", "1MB":
        limit_size(narrow, limit)
        narrow.restart()
        if who == "server":
            limit_size(narrow, "1MB")
        told = import_(narrow, account, tmp_path / "box", state)
        assert (told.status, told["too_large"], told["refused"], count(narrow, account)) == (0, 0, 0, LARGE + 5), told


def fill_what_is_left_out(state, room):
    """As after runs in which very many messages were left out: there is room for so many ranges more."""
    noted = json.loads(state.read_text())
    for n in range((len(noted["left"]) // 2), LEFT_MAX - room):
        noted["left"] += [noted["next"] + 2 * n] * 2
    state.write_text(json.dumps({**noted, "next": noted["left"][-1] + 10}))


LEFT_MAX = 8192


def test_what_cannot_be_noted_any_more_ends_no_import(narrow, tmp_path, state):
    account, box = narrow.add_account(), tmp_path / "box"
    add(box, "cur/999:2,")
    assert import_(narrow, account, box, state).status == 0
    fill_what_is_left_out(state, room=0)
    add_with_a_large_one(box, LARGE + 5)
    for resumed in False, True:
        told = import_(narrow, account, box, state)
        assert (told.status, told["refused"], told["resumed"], count(narrow, account)) == (1, 1, resumed, LARGE + 5), told
        assert "imap.max_message_size" in told.lines and "run the same command again" in told.lines
    narrow.restart()
    for there in 1, LARGE + 6:
        told = import_(narrow, account, box, state)
        assert (told.status, told["there_already"], count(narrow, account)) == (0, there, LARGE + 6), told


def test_so_it_is_where_what_comes_at_last_divides_a_range(narrow, tmp_path, state):
    account, box = narrow.add_account(), tmp_path / "box"
    for name in "1001", "1002", "1003":
        path = add(box, f"cur/{name}:2,")
        path.write_text(path.read_text() + "x\n" * 200000)
        os.utime(path, (int(name),) * 2)
    assert import_(narrow, account, box, state)["refused"] == 3
    fill_what_is_left_out(state, room=0)
    add(box, "cur/1002:2,")
    for _ in range(3):
        told = import_(narrow, account, box, state)
        assert (told.status, told["refused"], count(narrow, account)) == (1, 2, 1), told
    narrow.restart()
    assert import_(narrow, account, box, state).status == 0
    assert import_(narrow, account, box, state)["there_already"] == count(narrow, account) == 3


def shard_of(server, account):
    return server.cli_json("account", "show", account.address)["shard"]


def test_what_was_refused_is_told_also_when_the_shard_was_killed_after_it(narrow, tmp_path, state, traceable):
    account, n = narrow.add_account(), 600
    add_with_a_large_one(tmp_path / "box", n)
    with held(narrow, account, tmp_path / "box", state, "sendto", at=10) as run:
        narrow.wait_for(lambda: count(narrow, account) > LARGE + 50, "messages behind the large one")
        narrow.kill_role("shard", shard_of(narrow, account))
    told = run.finish()
    assert told.status == 5 and "run the same command again" in told["error"]["message"]
    noted = json.loads(state.read_text())
    assert noted["number"] > LARGE and not noted["complete"] and noted["left"] == [LARGE + 2] * 2, noted
    told = import_(narrow, account, tmp_path / "box", state)
    assert (told.status, told["messages"], told["refused"], count(narrow, account)) == (1, n - 1, 1, n - 1)
    narrow.restart()
    assert import_(narrow, account, tmp_path / "box", state)["messages"] == 1
    assert import_(narrow, account, tmp_path / "box", state)["there_already"] == n == count(narrow, account)


def test_an_import_waits_for_an_account_that_moves(narrow, tmp_path, state):
    account = narrow.add_account()
    add(tmp_path / "box", "cur/1.a:2,")
    here = shard_of(narrow, account)
    other = narrow.processes("shard")[1 - here]
    os.kill(other, signal.SIGSTOP)
    try:
        move = subprocess.Popen([binary(), "account", "move", account.address, "--shard", str(1 - here),
                                 "-c", narrow.config], stdout=subprocess.DEVNULL, env=narrow.environment)
        narrow.wait_for(lambda: "moving_to" in narrow.cli_json("account", "show", account.address), "a move")
        run = Run(narrow, account, tmp_path / "box", state)
        said = run.process.stderr.readline()
    finally:
        os.kill(other, signal.SIGCONT)
    assert "is being moved to another shard; waiting" in said
    assert move.wait(timeout=60) == 0
    told = run.finish()
    assert (told.status, told["messages"], shard_of(narrow, account)) == (0, 1, 1 - here)


# ---------------------------------------------------------------- what cannot be read


def without_rights():
    """In front of a command: the rights of files hold for it, whoever runs the tests."""
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def test_an_mbox_that_cannot_be_read_is_told(server, account, tmp_path, state):
    source = tmp_path / "mail"
    for name in ("Inbox", "Locked", "Below/Work", "Closed/Work"):
        write_mbox(source / name, letter(name))
    (source / "Locked").chmod(0)
    (source / "Closed").chmod(0)
    told = import_(server, account, source, state, *without_rights())
    assert (told.status, told["messages"], told["unreadable"], told["unreadable_folders"]) == (1, 2, 0, 2)
    assert "mail/Locked cannot be read" in told.lines and "mail/Closed cannot be read" in told.lines
    (source / "Locked").chmod(0o600)
    (source / "Closed").chmod(0o700)
    told = import_(server, account, source, state)
    assert (told.status, told["messages"]) == (0, 2)
    (source / "Locked").chmod(0)
    for alone in (source / "Locked", source):  # and nothing else there
        for name in ("Inbox", "Below/Work", "Closed/Work"):
            (source / name).unlink(missing_ok=True)
        told = import_(server, account, alone, tmp_path / f"state of {alone.name}", *without_rights())
        assert told.status == 1 and "read" in told["error"]["message"]


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
@pytest.mark.parametrize("folder", [".Work", "Work", ".Work/cur"])
def test_a_folder_of_a_maildir_that_cannot_be_read_is_told(server, account, tmp_path, state, folder, mode):
    box = tmp_path / "box"
    add(box, "cur/1.a:2,")
    path = add(box, f"{folder.removesuffix('/cur')}/cur/2.b:2,")
    (box / folder).chmod(mode)
    told = import_(server, account, box, state, *without_rights())
    (box / folder).chmod(0o700)
    assert told.status == 1 and told["unreadable_folders"] + told["unreadable"] == 1
    assert f"box/{folder}" in told.lines
    assert import_(server, account, box, state).status == 0
    assert subjects(server, account) == {"INBOX": ["1.a"], "Work": ["2.b"]} and path.exists()


@pytest.mark.parametrize("of, brought", [("box/cur", 1), ("box", 1), ("box/.Work/new", 2)])
def test_a_folder_that_cannot_be_listed_to_its_end_is_told(server, account, tmp_path, state, traceable, of, brought):
    add(tmp_path / "box", "cur/1.a:2,")
    add(tmp_path / "box", ".Work/cur/2.b:2,")
    command = strace(tmp_path, "getdents64", "error=EIO", tmp_path / of)
    told = import_(server, account, tmp_path / "box", state, *command)
    assert (told.status, told["messages"], told["unreadable_folders"]) == (1, brought, 1)
    assert f"{of} cannot be read" in told.lines
    assert import_(server, account, tmp_path / "box", state).status == 0
    assert subjects(server, account) == {"INBOX": ["1.a"], "Work": ["2.b"]}


def test_an_mbox_with_a_bad_block_leaves_out_what_is_there(server, account, tmp_path, state, traceable):
    write_mbox(tmp_path / "mail/Bad", letter("one"))
    write_mbox(tmp_path / "mail/Good", letter("two"))
    command = strace(tmp_path, "pread64", "error=EIO:when=2+", tmp_path / "mail/Bad")
    told = import_(server, account, tmp_path / "mail", state, *command)
    assert (told.status, told["messages"], told["unreadable_folders"]) == (1, 1, 1)
    assert "mail/Bad cannot be read" in told.lines
    told = import_(server, account, tmp_path / "mail", state)
    assert (told.status, told["messages"]) == (0, 1)


def test_folders_with_a_dot_of_a_maildir_below_the_given_one(server, account, tmp_path, state):
    home = tmp_path / "home"
    add(home / "Maildir", "cur/1.a:2,")
    add(home / "Maildir", ".Sent/cur/2.b:2,")
    add(home / "Maildir", ".Work.2019/cur/3.c:2,")
    (home / ".cache").mkdir()
    assert import_(server, account, home, state).status == 0
    assert subjects(server, account) == {"Maildir": ["1.a"], "Maildir/Sent": ["2.b"], "Maildir/Work/2019": ["3.c"]}


@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_what_lies_too_deep_or_has_no_usable_name_is_told(server, account, tmp_path, state, form):
    source = tmp_path / "mail"
    for name in ("Inbox", "x/" * 40 + "Deep", "a\tb"):
        if form == "maildir":
            add(source / name, "cur/1.a:2,")
        else:
            write_mbox(source / name, letter("one"))
    if form == "maildir":
        add(source / "Inbox", "cur/2.a\tb:2,")
    told = import_(server, account, source, state)
    assert (told.status, told["messages"]) == (1, 1)
    assert (told["unreadable_folders"], told["unreadable"]) == (2, 1 if form == "maildir" else 0)
    assert "too deep" in told.lines and "mail/a?b" in told.lines and "\t" not in told.lines


def test_links_are_passed_over_and_told(server, account, tmp_path, state):
    box = tmp_path / "box"
    add(box, "cur/1.a:2,")
    add(tmp_path / "elsewhere", "cur/2.b:2,")
    (box / ".Work").symlink_to(tmp_path / "elsewhere")
    (box / "filter").symlink_to(tmp_path / "elsewhere/cur/2.b:2,")
    told = import_(server, account, box, state)
    assert (told.status, told["messages"], told["links"]) == (0, 1, 1)
    assert "box/.Work is a link" in told.lines and "filter" not in told.lines


def test_mbox_files_among_maildirs_are_passed_over_and_told(server, account, tmp_path, state):
    add(tmp_path / "home/Maildir", "cur/1.a:2,")
    write_mbox(tmp_path / "home/old", letter("two"))
    write_mbox(tmp_path / "home/empty")
    told = import_(server, account, tmp_path / "home", state)
    assert (told.status, told["messages"], told["mbox_files"], told["unreadable_folders"]) == (0, 1, 1, 0)
    assert "home/old is an mbox" in told.lines


@pytest.mark.parametrize("name", ["dovecot-keywords", "dovecot-uidlist"])
def test_what_is_known_beside_the_messages_and_cannot_be_read_is_told(server, account, tmp_path, state, name):
    box = tmp_path / "box"
    add(box, "cur/1.a:2,a")
    (box / name).write_text("0 Work\n")
    (box / name).chmod(0)
    told = import_(server, account, box, state, *without_rights())
    assert (told.status, told["messages"], told["unreadable_folders"]) == (1, 1, 1)
    assert f"box/{name} cannot be read" in told.lines


BESIDE = ["dovecot-keywords", "dovecot-uidlist", "courierpop3dsizelist", "courierimapuiddb"]


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_what_stands_beside_the_messages_and_is_no_file_is_told_and_not_waited_for(server, account, tmp_path, state, kind):
    """Who owns the Maildir may put anything there, and root may run the import."""
    box = tmp_path / "box"
    add(box, "cur/1.a:2,a")
    (tmp_path / "secret").write_text("0 TopSecretWord\n")
    for name in BESIDE:
        if kind == "fifo":
            os.mkfifo(box / name)
        else:
            (box / name).symlink_to(tmp_path / "secret")
    told = import_(server, account, box, state)
    assert (told.status, told["messages"]) == (1, 1) and told["unreadable_folders"] >= 2
    assert "box/dovecot-keywords" in told.lines and "box/dovecot-uidlist" in told.lines
    with server.imap(account) as imap:
        imap.select()
        assert b"TopSecretWord" not in repr(imap.fetch("1", "(FLAGS)")).encode()


def test_a_message_that_is_a_link_is_told_as_one(server, account, tmp_path, state):
    box = tmp_path / "box"
    add(box, "cur/1.a:2,")
    (box / "cur/2.b:2,").symlink_to(box / "cur/1.a:2,")
    os.mkfifo(box / "cur/3.c:2,")
    told = import_(server, account, box, state)
    assert (told.status, told["messages"], told["unreadable"]) == (1, 1, 2)
    assert "2.b:2, is a link; left out" in told.lines and "3.c:2, is no file; left out" in told.lines


def test_a_folder_that_gets_another_name_is_told(server, account, tmp_path, state):
    box = tmp_path / "box"
    names = {".line\u2028end": "line_end", ".none\ufdd0": "none_", ".Sent Items": "Sent", b".lat\xe4n": "lat\ufffdn",
             b".lat\xf6n": "lat\ufffdn", ".a" * 70: "Imported"}
    for i, name in enumerate(names):
        path = os.path.join(os.fsencode(box), os.fsencode(name) if isinstance(name, str) else name, b"cur")
        os.makedirs(path)
        with open(os.path.join(path, b"%d.x:2," % i), "w", encoding="ascii") as out:
            out.write(letter(str(i)))
    run = Run(server, account, box, state)
    output, lines = run.process.communicate(timeout=60)
    told = json.loads(output)
    assert run.process.returncode == 0 and (told["messages"], told["renamed"]) == (6, 5)
    for there in ("line_end", "none_", "lat\ufffdn", "Imported"):
        assert f'goes to the mailbox "{there}"' in lines
    assert lines.count('goes to the mailbox "lat') == 2 and "Sent" not in lines
    with server.imap(account) as imap:
        assert {b"line_end", b"none_", b"Sent", b"Imported", b"lat&,,0-n"} <= set(imap.list())


def test_names_do_not_steer_the_terminal(server, account, tmp_path, state):
    box = tmp_path / "box"
    add(box, "cur/1.a:2,")
    (box / "cur/2.\x9b31mb:2,").symlink_to("nowhere")
    (box / "cur/3.\x1b[31mc:2,").symlink_to("nowhere")
    told = import_(server, account, box, state)
    assert "\x9b" not in told.lines and "\x1b" not in told.lines
    assert "2.?31mb:2, is" in told.lines and "3.?[31mc:2, is" in told.lines


def test_keywords_for_which_there_is_no_room_are_counted(fresh_server, tmp_path, state):
    server = fresh_server({"imap": {"max_keywords": 16}})
    account = server.add_account()
    write_mbox(tmp_path / "in.mbox", letter("many", "X-Keywords: " + " ".join(f"k{i}" for i in range(70)) + "\n"),
               letter("few", "X-Keywords: k1\n"), letter("one too many", "X-Keywords: other\n"))
    told = import_(server, account, tmp_path / "in.mbox", state)
    assert (told.status, told["messages"], told["keywords_left_out"]) == (1, 3, 70 - 16 + 1)
