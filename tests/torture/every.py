#!/usr/bin/python3
"""Every call in turn: the 1st, the 2nd, ... call of a kind fails, until a run has no more of them.

    every.py [--short] [--only WORD] [--step 500] [--evidence FOLDER]

The runs are short and always the same, with one client: the first start of all on an empty folder; a start of shard or
auth on a store that is there; mail (a delivery, APPEND, COPY, STORE, EXPUNGE, reading); a search whose text is swept
then; the administrator's commands. After each: nothing died but in order; nobody heard a refusal that blames him; what was
acknowledged is there, what was refused is not, and can be done now. A call that is only interrupted or done by halves
is seen by nobody.

The allocations of a start are thousands: of these one in --step fails, 1 for each. The supervisor's are left out: when
it ends, the server does, with a line that says why, and to start it again is the service manager's work, which has no
promise of ours to keep.

The last line is `kinds=N calls=N wrong=N`; the exit status is 0 where the last is 0.
"""

import argparse
import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import time
import typing

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from harness import wire  # noqa: E402
from harness.material import message  # noqa: E402
from harness.server import Server, binary  # noqa: E402

from orders import Orders, is_usable  # noqa: E402

SETTINGS = {
    "server": {"shards": 1, "restart_delay_min": "10ms", "restart_delay_max": "50ms"},
    "store": {"segment_size": "1MB", "wal_checkpoint_size": "256KB", "reserve_free_space": "1MB",
              "undelete_window": "0ms"},
    "login": {"max_connections": 1000},
}
CALLS_MAX = 20000  # of one kind in one run: more means that they never end
INVISIBLE = ("EINTR", "short")
BROKEN = re.compile(r".*(?:event=process-ended.*signal=(?!KILL|ABRT)|Assertion .* failed|stack smashing|"
                    r"corrupted size|double free|event=process-stuck).*")
EXCUSED = re.compile(rb"NO \[UNAVAILABLE\]|NO \[SERVERBUG\]|NO \[LIMIT\]|\* BYE ")
GONE_AWAY = (wire.Closed, OSError)
RETRY_SECONDS = 20   # for a sender, while a process comes back
SWEEP_SECONDS = 3    # for the sweep of search text to begin
TEXT_MESSAGES = 40  # enough for a block of search text


class Sweep(typing.NamedTuple):
    run: str  # "first", "start", "mail", "search" or "commands"
    role: str
    kind: str
    fault: str
    is_short: bool = False

    def __str__(self):
        return f"{self.run}: {self.role} {self.kind} {self.fault}"


def sweeps(run, role, kinds, short=()):
    return [Sweep(run, role, kind, fault, (kind, fault) in short) for kind, faults in kinds.items() for fault in faults]


SWEEPS = [
    *sweeps("first", "shard", {
        "open": ("EMFILE", "EIO", "EINTR"), "mkdir": ("ENOSPC", "EINTR"), "write": ("ENOSPC", "EIO", "EINTR", "short"),
        "fsync": ("EIO",), "fsync-folder": ("EIO",), "unlink": ("EIO",), "stat": ("EIO",), "opendir": ("EMFILE",),
        "statfs": ("EIO",)}, short=[("opendir", "EMFILE")]),
    *sweeps("first", "auth", {"open": ("EMFILE",), "write": ("ENOSPC", "EIO", "short"), "fsync": ("EIO",),
                              "stat": ("EIO",)}),
    *sweeps("first", "supervisor", {
        "open": ("EMFILE",), "mkdir": ("ENOSPC", "EINTR"), "write": ("ENOSPC",), "fsync": ("EIO",), "rename": ("EIO",),
        "fsync-folder": ("EIO",), "opendir": ("EMFILE",), "stat": ("EIO",)}, short=[("rename", "EIO")]),
    *sweeps("start", "shard", {
        "open": ("EMFILE", "EIO", "EINTR"), "mkdir": ("ENOSPC", "EIO", "EINTR"), "read": ("EIO", "EINTR", "short"),
        "write": ("ENOSPC", "EDQUOT", "EIO", "EINTR", "short"), "fsync": ("EIO", "ENOSPC"), "fsync-folder": ("EIO",),
        "ftruncate": ("EIO",), "unlink": ("EIO",), "stat": ("EIO",), "malloc": ("ENOMEM",)},
        short=[("open", "EMFILE"), ("mkdir", "EINTR"), ("fsync", "EIO"), ("fsync-folder", "EIO")]),
    *sweeps("start", "auth", {
        "open": ("EMFILE", "EIO", "EINTR"), "read": ("EIO", "EINTR", "short"), "write": ("ENOSPC", "EIO", "EINTR"),
        "fsync": ("EIO",), "unlink": ("EIO",), "stat": ("EIO",), "malloc": ("ENOMEM",)},
        short=[("open", "EIO"), ("unlink", "EIO")]),
    *sweeps("mail", "shard", {
        "open": ("EMFILE", "EIO", "EINTR"), "spool": ("ENOSPC", "EMFILE", "EINTR"), "statfs": ("EIO", "EINTR"),
        "write": ("ENOSPC", "EDQUOT", "EIO", "EINTR", "short"), "read": ("EIO", "EINTR", "short"),
        "fsync": ("EIO", "ENOSPC", "EDQUOT"), "fsync-folder": ("EIO", "ENOSPC"),
        "ftruncate": ("EIO", "ENOSPC", "EINTR"), "stat": ("EIO",), "lseek": ("EIO",), "mmap": ("ENOMEM",)},
        short=[("fsync", "EIO"), ("open", "EMFILE")]),
    *sweeps("mail", "smtp", {
        "spool": ("ENOSPC", "EMFILE", "EINTR"), "write": ("ENOSPC", "EDQUOT", "EIO", "EINTR", "short"),
        "lseek": ("EIO",), "statfs": ("EIO",)}, short=[("lseek", "EIO")]),
    *sweeps("search", "shard", {
        "fallocate": ("EIO", "ENOSPC"), "rename": ("EIO", "ENOSPC", "EDQUOT"), "opendir": ("EMFILE", "EIO"),
        "open": ("EMFILE", "EIO"), "stat": ("EIO",), "write": ("ENOSPC", "EIO", "short")},
        short=[("fallocate", "EIO")]),
    *sweeps("commands", "auth", {
        "write": ("ENOSPC", "EDQUOT", "EIO", "EINTR", "short"), "read": ("EIO", "EINTR", "short"),
        "fsync": ("EIO", "ENOSPC"), "open": ("EMFILE",), "stat": ("EIO",)}, short=[("fsync", "EIO")]),
]


class World:
    """A server, its orders, and what its one account must hold."""

    def __init__(self, server, orders):
        self.server = server
        self.orders = orders
        self.account = server.add_account()
        self.count = 0
        self.wrong = []
        server.deliver(self.account, message(subject="base"))
        with server.imap(self.account) as imap:
            imap.ok("CREATE Text")
        self.holds = self._contents()  # {mailbox: {subject: SHA-256}} that must be there
        self.loose = set()             # (mailbox, subject) that may be there; with "", the mailbox itself

    def subject(self):
        self.count += 1
        return f"subject-{self.count}"

    # ------------------------------------------------------------------ one run

    def fail(self, sweep, number):
        """A run in which that call fails; gives whether it came to it."""
        server = self.server
        if (sweep.role, sweep.kind) == ("smtp", "spool"):  # it keeps its files: a new process makes new ones
            server.kill_role("smtp")
        new_log = server.new_log()
        new_log()
        before = {(one["role"], one["index"]): one["pid"] for one in server.status(counters_of=())["processes"]}
        self.wrong = []
        self.refused = []
        if sweep.run == "start":
            os.kill(before[sweep.role, 0], signal.SIGSTOP)  # the order is for its successor
        else:
            prepare = getattr(self, f"prepare_{sweep.run}", None)
            if prepare:
                prepare()
        self.orders.give(sweep.role, 0, sweep.kind, sweep.fault, number)
        try:
            if sweep.run == "start":
                self._start_anew(sweep.role, before[sweep.role, 0])
            else:
                getattr(self, sweep.run)(sweep)
        finally:
            self.orders.cancel(sweep.role, 0, sweep.kind)
        hits = self.orders.hits(sweep.role, 0, sweep.kind)
        server.wait_ready()
        self._judge_processes(sweep, new_log(), before)
        if sweep.fault in INVISIBLE and sweep.kind in ("read", "write") and self.refused:
            self.wrong.append(f"refused: {self.refused}")
        self._judge_mail()
        return hits > 0

    def _start_anew(self, role, pid):
        """(Not kill_role, which would ask the stopped process how it is.)"""
        os.kill(pid, signal.SIGKILL)
        self.server.wait_for(lambda: self.server.processes(role).get(0) not in (None, 0, pid), f"a new {role}")
        self.server.wait_ready()

    def _judge_processes(self, sweep, log, before):
        after = {(one["role"], one["index"]): one["pid"] for one in self.server.status(counters_of=())["processes"]}
        ended = {who for who, pid in after.items() if pid != before[who]} - {(sweep.role, 0)}
        if ended:
            self.wrong.append(f"{ended} ended, too")
        broken = BROKEN.findall(log)
        if sweep.kind == "malloc":
            # libseccomp that is out of memory may load a shorter list of allowed calls and say nothing: the first that
            # is missing ends the process
            broken = [line for line in broken if "signal=SYS" not in line]
        self.wrong += [f"the log says: {line}" for line in broken]
        ends = len(re.findall(rf"event=process-ended of={sweep.role} ", log)) - (sweep.run == "start")
        if ends > (0 if sweep.fault in INVISIBLE and sweep.kind in ("read", "write") else 1):
            self.wrong.append(f"{sweep.role} ended {ends} times")
        failed = len(re.findall(r"event=store-failed", log))
        if failed > 1 or sweep.role == "shard" and sweep.run == "mail" and ends != failed:
            self.wrong.append(f"{sweep.role} ended {ends} times, {failed} lines event=store-failed")

    def _contents(self):
        found = {}
        with self.server.imap(self.account) as imap:
            for name, stored in imap.contents().items():
                found[name.decode()] = {}
                for one in stored:
                    subject = re.search(rb"(?m)^Subject: (.*?)\r$", one.body).group(1).decode()
                    digest = hashlib.sha256(one.body[one.body.index(b"From: "):]).hexdigest()
                    if subject in found[name.decode()]:
                        self.wrong.append(f"{subject} is twice in {name}")
                    found[name.decode()][subject] = digest
        return found

    def _judge_mail(self):
        there = self._contents()
        for name, holds in self.holds.items():
            for subject, digest in holds.items():
                found = there.get(name, {}).get(subject)
                if found != digest and not (found is None and (name, subject) in self.loose):
                    self.wrong.append(f"{subject} in {name} is {'lost' if found is None else 'altered'}")
            more = {subject for subject in there.get(name, {}) if subject not in holds
                    and (name, subject) not in self.loose}
            if more:
                self.wrong.append(f"in {name}, though refused or removed: {more}")
        for name in set(there) - set(self.holds):
            if (name, "") not in self.loose:
                self.wrong.append(f"mailbox {name} was refused and is there")
        # what was left open is settled now
        self.holds = there
        self.loose = set()

    # ------------------------------------------------------------------ mail

    def _try(self, *parts, within="INBOX"):
        """The untagged lines of a command that was acknowledged; None: refused; GONE_AWAY: nobody knows."""
        with self.server.imap(self.account) as imap:
            if within:
                imap.select(within)
            answer = imap.command(*parts)
        if answer.status == b"OK":
            return answer
        text = b"NO [" + answer.code + b"]"
        self.refused.append(f"{parts[0]}: {answer}"[:300])
        if answer.status != b"NO" or not EXCUSED.match(text):
            self.wrong.append(f"{parts[0]}: {answer}"[:300])
        return None

    def _change(self, adds, removes, *parts, within="INBOX"):
        """A command that brings (mailbox, subject): digest, and takes some away."""
        answer = None
        try:
            answer = self._try(*parts, within=within)
            is_open = False
        except (AssertionError, *GONE_AWAY) as error:  # a session that ended, or was not let in
            self.refused.append(f"{parts[0]}: {error!r}"[:300])
            is_open = True
        for (name, subject), digest in adds.items():
            if answer is not None or is_open:
                self.holds[name][subject] = digest
            if is_open:
                self.loose.add((name, subject))
        for name, subject in removes:
            if is_open:
                self.loose.add((name, subject))
            elif answer is not None:
                self.holds[name].pop(subject, None)
        return answer

    def prepare_mail(self):
        """Something to copy, to flag and to expunge; what earlier runs left goes."""
        with self.server.imap(self.account) as imap:
            for name in list(self.holds):
                if name.startswith("Box"):
                    imap.ok("DELETE ", wire.quoted(name))
                    del self.holds[name]
            imap.select()
            imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
            imap.ok("EXPUNGE")
            self.holds["INBOX"] = {}
            for _ in range(2):
                self._append_now(imap, "INBOX", self.subject(), 0)

    def _append_now(self, imap, name, subject, size):
        data = message(subject=subject, body="line\r\n" * (1 + size // 6))
        imap.append(name, data)
        self.holds[name][subject] = hashlib.sha256(data).hexdigest()

    def mail(self, sweep):
        del sweep
        first, second = self.holds["INBOX"]
        base = self.holds["INBOX"][first]
        for size in (0, 300_000):
            self._deliver(size)
        for size in (0, 300_000, 800_000):
            data = message(subject=self.subject(), body="line\r\n" * (1 + size // 6))
            self._change({("INBOX", f"subject-{self.count}"): hashlib.sha256(data).hexdigest()}, (),
                         "APPEND INBOX ", wire.Literal(data))
        name = f"Box {self.count}"
        self.holds[name] = {}
        if self._change({}, (), "CREATE ", wire.quoted(name)) is None:
            del self.holds[name]
            self.loose.add((name, ""))
        else:
            self._change({(name, first): base}, (), "COPY 1 ", wire.quoted(name))
        self._change({}, (), "STORE 1 +FLAGS (\\Flagged)")
        self._change({}, (), "UID SEARCH SUBJECT subject")
        if self._change({}, (), "STORE 2 +FLAGS.SILENT (\\Deleted)") is not None:
            self._change({}, [("INBOX", second)], "EXPUNGE")
        self._read()

    def _deliver(self, size):
        """A sender tries again until he is told that it is done: then it is there, once."""
        data = message(subject=self.subject(), body="line\r\n" * (1 + size // 6))
        deadline = time.monotonic() + RETRY_SECONDS
        while time.monotonic() < deadline:
            try:
                with self.server.smtp() as client:
                    client.begin("sender@example.net", [self.account.address])
                    client.line.send(wire.dot_stuffed(data))
                    code, text = client.read()
                if code == 250:
                    self.holds["INBOX"][f"subject-{self.count}"] = hashlib.sha256(data).hexdigest()
                    return
                if code // 100 != 4:
                    self.wrong.append(f"a delivery hears {code} {text}")
                self.refused.append(f"{code} {text}")
            except (AssertionError, *GONE_AWAY) as error:
                self.refused.append(repr(error)[:300])
            time.sleep(0.02)
        self.wrong.append(f"a delivery is not done after {RETRY_SECONDS} s: {self.refused[-1]}")

    def _read(self):
        """What is read is what was sent, or nothing."""
        try:
            answer = self._try("FETCH 1:* (BODY.PEEK[])")
        except (AssertionError, *GONE_AWAY) as error:
            self.refused.append(repr(error)[:300])
            return
        digests = set(self.holds["INBOX"].values())
        for one in answer.fetched().values() if answer is not None else ():
            body = one[b"BODY[]"]
            if body and hashlib.sha256(body[body.index(b"From: "):]).hexdigest() not in digests:
                self.wrong.append(f"read: {body[:200]!r}...")

    # ------------------------------------------------------------------ search text

    def prepare_search(self):
        """Two blocks of text in which something is dead."""
        with self.server.imap(self.account) as imap:
            imap.select("Text")
            if self.holds["Text"]:
                imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
                imap.ok("EXPUNGE")
            self.holds["Text"] = {}
            for _ in range(2):
                made = {self.subject(): None for _ in range(TEXT_MESSAGES)}
                for subject in made:
                    data = message(subject=subject, body="needle\r\n")
                    made[subject] = wire.Literal(data)
                    self.holds["Text"][subject] = hashlib.sha256(data).hexdigest()
                imap.ok("APPEND Text", *(part for data in made.values() for part in (" ", data)))
                imap.ok("UID SEARCH BODY needle")
            gone = list(self.holds["Text"])[-TEXT_MESSAGES // 2:]
            imap.ok(f"STORE {TEXT_MESSAGES * 3 // 2 + 1}:* +FLAGS.SILENT (\\Deleted)")
            imap.ok("EXPUNGE")
            for subject in gone:
                del self.holds["Text"][subject]

    def search(self, sweep):
        holes = self.orders.calls("shard", 0, "fallocate")
        # idle time's work: first rows go, then their text; its last call makes a hole
        deadline = time.monotonic() + SWEEP_SECONDS
        while (self.orders.calls("shard", 0, "fallocate") == holes and not self.orders.hits("shard", 0, sweep.kind)
               and time.monotonic() < deadline):
            self.server.cli("store", "compact", check=False)
            time.sleep(0.05)
        answer = self._change({}, (), "UID SEARCH BODY needle", within="Text")
        if answer is not None and len(answer.one(b"SEARCH").split()) != len(self.holds["Text"]):
            self.wrong.append(f"a search finds {len(answer.one(b'SEARCH').split())} of {len(self.holds['Text'])}")

    # ------------------------------------------------------------------ commands

    def commands(self, sweep):
        """What is refused can be done in the end; what is done is there, and what is removed is not."""
        del sweep
        name = f"made-{time.monotonic_ns()}"
        address = f"{name}@example.test"
        with self.server.password_file() as path:
            self._command("account", "add", address, "--password-file", path)
        self._command("account", "app-password", "add", self.account.address, name)
        self._expect(address, name, is_there=True)
        self._command("account", "remove", address, "--yes")
        self._command("account", "app-password", "remove", self.account.address, name)
        self._expect(address, name, is_there=False)

    def _command(self, *arguments):
        for _ in range(3):
            done = self.server.cli(*arguments, check=False)
            if done.returncode == 0:
                return
            self.refused.append(done.stderr)
        self.wrong.append(f"{arguments}: {done.stderr}")

    def _expect(self, address, name, is_there):
        accounts = {one["address"] for one in self.server.cli_json("account", "list")}
        names = {one["name"] for one in self.server.cli_json("account", "app-password", "list", self.account.address)}
        if (address in accounts) != is_there or (name in names) != is_there:
            self.wrong.append(f"after commands that were done: {address} in {accounts}, {name} in {names}")


class Beginning:
    """A first start of all: what fails there may end a process or the whole server, but the next start is one."""

    def __init__(self, orders):
        self.orders = orders
        self.wrong = []

    def fail(self, sweep, number):
        self.wrong = []
        server = Server(SETTINGS, environment=self.orders.environment())
        self.orders.give(sweep.role, 0, sweep.kind, sweep.fault, number)
        try:
            self._start(server, sweep)
            self.orders.cancel(sweep.role, 0, sweep.kind)
            server.add_domain()
            account = server.add_account()
            server.deliver(account, message(subject="first"))
            with server.imap(account) as imap:
                if len(imap.contents()[b"INBOX"]) != 1:
                    self.wrong.append("a delivery is not there")
            self.wrong += [f"the log says: {line}" for line in BROKEN.findall(server.log_text())]
            server.stop()
        except (AssertionError, *GONE_AWAY) as error:
            self.wrong.append(f"{type(error).__name__}: {error}")
        finally:
            server.kill_everything()
            shutil.rmtree(server.root, ignore_errors=True)
        return self.orders.hits(sweep.role, 0, sweep.kind) > 0

    @staticmethod
    def _start(server, sweep):
        try:
            server.start()
        except AssertionError:
            has_said_why = re.search(r"^mansio: |level=error", server.log_text(), re.MULTILINE)
            if sweep.role != "supervisor" or server.process.poll() in (None, 0) or not has_said_why:
                raise
            server.start()


def run(wanted, step, evidence):
    """(kinds, calls that failed, what was wrong)"""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mansio-every-"))
    folder.chmod(0o711)
    orders = Orders(folder)
    orders.path.chmod(0o666)
    server = Server(SETTINGS, environment=orders.environment())
    calls, wrong = 0, 0
    try:
        server.start()
        server.add_domain()
        here = World(server, orders)
        for sweep in wanted:
            world = Beginning(orders) if sweep.run == "first" else here
            began, number, failed = time.monotonic(), 1, 0
            while world.fail(sweep, number) and failed < CALLS_MAX and not world.wrong:
                number += step if sweep.kind == "malloc" else 1
                failed += 1
            calls += failed
            if sweep.is_short and failed == 0:
                world.wrong.append("there was no such call")
            print(f"{sweep}: {failed} calls, {time.monotonic() - began:.1f} s", flush=True)
            for line in world.wrong:
                wrong += 1
                print(f"    wrong, call {number}: {line}", flush=True)
        server.stop()
    finally:
        with contextlib.suppress(OSError):
            if wrong:
                evidence.mkdir(parents=True, exist_ok=True)
                shutil.copy(server.log, evidence / "log")
                print(f"the log is kept in {evidence}")
        server.kill_everything()
        shutil.rmtree(server.root, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    return calls, wrong


def main():
    parser = argparse.ArgumentParser(description="each storage call of a run fails in turn")
    parser.add_argument("--short", action="store_true", help="one fault of each sort")
    parser.add_argument("--only", default="", help="sweeps whose line has this text")
    parser.add_argument("--step", type=int, default=500, help="of allocations, one in so many fails")
    parser.add_argument("--evidence", type=pathlib.Path, default=None, help="default: a new folder for temporary files")
    arguments = parser.parse_args()
    if not binary().exists() or not is_usable():
        parser.error(f"no server to test at {binary()}, or no preload beside it: make build, or set MANSIO_BIN")
    evidence = arguments.evidence or pathlib.Path(tempfile.gettempdir()) / f"mansio-every-{os.getpid()}"
    wanted = [sweep for sweep in SWEEPS if arguments.only in str(sweep) and (sweep.is_short or not arguments.short)]
    calls, wrong = run(wanted, arguments.step, evidence)
    print(f"kinds={len(wanted)} calls={calls} wrong={wrong}")
    return 0 if calls and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
