#!/usr/bin/python3
"""The torture: storage calls and allocations of a running server fail on order, under load, with a ledger outside.

    torture.py [--rounds 10 | --short] [--sites 100] [--seed 1] [--only WORD] [--evidence FOLDER]

A case: the clients of tests/crash work; preload.c makes the n-th call of one kind in one process fail, with n drawn;
the clients go on for a moment and end; the ledger is compared with the mailboxes (its rules stand in
tests/crash/driver.py). What a case must look like from outside is its expectation:

 invisible   (EINTR, short writes and reads) nothing is refused, no process ends, no batch is void
 no space    (ENOSPC, EDQUOT, no space free) 452 4.3.1 and NO [UNAVAILABLE], reading goes on, no process ends
 refused     nothing but 4xx, NO, -ERR and closed sessions, no process ends
 stops       (a sync that fails) the shard ends with one line event=store-failed and comes back, while the others go on
 survives    either of the two above, as the place of the call has it
 dies        (memory) the process ends in order and comes back, or refuses; it never crashes
 starts      the call fails while the process is starting: it tries again until it is there

--sites adds so many allocations that fail, spread over the life of each process: from its first one to the end of its
start, and under load from the next one to the 20,000th. A process that ends for want of memory says so in one line.

EINTR is not given to syncs: the helper thread that makes them takes no signals, and any error of a sync is final.

The sandbox is on: the orders come through a file that each process mapped before it went in. The last line is
`cases=N faults=N acknowledged=N lost=N altered=N duplicated=N`; the exit status is 0 where the last three are 0 and
every case was as expected.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import typing

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "crash"), str(HERE.parent)]

from harness import wire  # noqa: E402
from harness.material import message  # noqa: E402
from harness.server import Server, binary  # noqa: E402

from comparison import Comparison  # noqa: E402
from ledger import Ledger  # noqa: E402
from workload import GONE_AWAY, Client  # noqa: E402

from orders import FOR_EVER, Orders, is_usable  # noqa: E402
from powercut import Administrator  # noqa: E402

ACCOUNTS = 4
SHARDS = 2
MAILBOXES = ["INBOX", "Archive", "Work"]
STOP_SECONDS = 60
HIT_SECONDS = 4     # for the load to come to the call that fails
MOMENT = 0.25       # of load after the fault
LARGE = "x" * 76 + "\r\n"
SELDOM = ("spool", "open", "ftruncate", "fsync-folder", "read", "statfs", "unlink")  # calls to be provoked
SETTINGS = {
    "server": {"shards": SHARDS, "restart_delay_min": "10ms", "restart_delay_max": "50ms"},
    # small, so that segments and checkpoints come often; a cache too small for the database, so that pages are read
    "store": {"segment_size": "1MB", "wal_checkpoint_size": "256KB", "database_cache": "1MB",
              "reserve_free_space": "1MB", "undelete_window": "0ms"},
    "login": {"max_connections": 1000},
    "quota": {"messages": 1000000, "bytes": "1TB"},
}


class Case(typing.NamedTuple):
    role: str
    kind: str
    fault: str
    expect: str
    within: int = 1    # the first call that fails is drawn from so many
    times: int = 1
    is_short: bool = False  # belongs to the short form
    part: float = None      # instead of a draw: the place between the first call and the last

    def __str__(self):
        times = {1: "", FOR_EVER: " for ever"}.get(self.times, f" {self.times} times")
        part = "" if self.part is None else f" at {self.part:.3f}"
        return f"{self.role} {self.kind} {self.fault}{times}{part}: {self.expect}"

    def first(self, luck, at_start):
        """The number of the first call that fails. at_start: calls of a whole start."""
        last = max(1, at_start) if self.expect == "starts" else self.within
        if self.part is None:
            return luck.randint(1, last)
        if self.expect == "starts":
            return 1 + int(self.part * (last - 1))
        return int(last ** self.part)


CASES = [
    Case("shard", "write", "ENOSPC", "no space", times=FOR_EVER, is_short=True),
    Case("shard", "write", "EDQUOT", "no space", times=FOR_EVER, is_short=True),
    Case("shard", "write", "ENOSPC", "no space", 60),
    Case("shard", "write", "EIO", "survives", 60, is_short=True),
    Case("shard", "write", "EIO", "survives", 300),
    Case("shard", "write", "EINTR", "invisible", 20, 200, is_short=True),
    Case("shard", "write", "short", "invisible", 20, 200, is_short=True),
    Case("shard", "read", "EIO", "survives", 20, is_short=True),
    Case("shard", "read", "EINTR", "invisible", 5, 20, is_short=True),
    Case("shard", "read", "short", "invisible", 5, 20, is_short=True),
    Case("shard", "fsync", "EIO", "stops", 1, is_short=True),
    Case("shard", "fsync", "EIO", "stops", 40, is_short=True),
    Case("shard", "fsync", "ENOSPC", "stops", 40),
    Case("shard", "fsync", "EDQUOT", "stops", 40),
    Case("shard", "statfs", "full", "no space", times=FOR_EVER, is_short=True),
    Case("shard", "statfs", "EIO", "invisible", 5, 20),
    Case("shard", "statfs", "EINTR", "invisible", 5, 20),
    Case("shard", "open", "EMFILE", "refused", 2, is_short=True),
    *(Case("shard", "open", fault, "refused", 2) for fault in ("EIO", "ENOSPC", "EDQUOT", "EINTR")),
    *(Case("shard", "unlink", fault, "refused", is_short=fault == "EIO") for fault in ("EIO", "ENOSPC", "EDQUOT")),
    Case("shard", "fsync-folder", "EIO", "stops", is_short=True),
    *(Case("shard", "fsync-folder", fault, "stops") for fault in ("ENOSPC", "EDQUOT")),
    # of a new segment, or of the database after a checkpoint
    Case("shard", "ftruncate", "EIO", "survives", 1, is_short=True),
    *(Case("shard", "ftruncate", fault, "survives", 3) for fault in ("ENOSPC", "EDQUOT", "EINTR")),
    Case("shard", "spool", "ENOSPC", "no space", times=FOR_EVER, is_short=True),
    Case("shard", "spool", "EDQUOT", "no space", times=FOR_EVER),
    *(Case("shard", "spool", fault, "refused", 1, 3) for fault in ("EMFILE", "EIO", "EINTR")),
    Case("shard", "malloc", "ENOMEM", "dies", 20000, is_short=True),
    Case("shard", "malloc", "ENOMEM", "dies", 2000, is_short=True),
    # files that were made before serve on
    Case("smtp", "spool", "ENOSPC", "refused", times=FOR_EVER, is_short=True),
    Case("smtp", "spool", "EDQUOT", "refused", times=FOR_EVER),
    *(Case("smtp", "spool", fault, "refused", 1, 3) for fault in ("EMFILE", "EIO", "EINTR")),
    Case("smtp", "write", "ENOSPC", "no space", times=FOR_EVER, is_short=True),
    Case("smtp", "write", "ENOSPC", "refused", 10),
    Case("smtp", "write", "EIO", "refused", 10),
    Case("smtp", "write", "EDQUOT", "refused", 10),
    Case("smtp", "write", "EINTR", "invisible", 5, 50),
    Case("smtp", "write", "short", "invisible", 5, 50, is_short=True),
    Case("smtp", "statfs", "full", "no space", times=FOR_EVER),
    *(Case("smtp", "statfs", fault, "refused", 1, 3) for fault in ("EIO", "EINTR")),
    Case("smtp", "malloc", "ENOMEM", "dies", 5000, is_short=True),
    Case("auth", "write", "ENOSPC", "refused", 1, FOR_EVER, is_short=True),
    Case("auth", "write", "EDQUOT", "refused", 4),
    Case("auth", "write", "EIO", "refused", 8, is_short=True),
    Case("auth", "write", "EINTR", "invisible", 2, 20),
    Case("auth", "write", "short", "invisible", 2, 20),
    Case("auth", "read", "EINTR", "invisible", 2, 20),
    Case("auth", "read", "short", "invisible", 2, 20),
    Case("auth", "fsync", "EIO", "refused", 3, is_short=True),
    *(Case("auth", "fsync", fault, "refused", 3) for fault in ("ENOSPC", "EDQUOT")),
    Case("auth", "malloc", "ENOMEM", "dies", 1000, is_short=True),
    Case("access", "malloc", "ENOMEM", "dies", 5000, is_short=True),
    Case("authwork", "malloc", "ENOMEM", "dies", 50),
    *(Case(role, kind, fault, "starts", 0, is_short=(role, kind) == ("shard", "write") and fault == "ENOSPC"
           or (role, kind, fault) in (("shard", "fsync", "EIO"), ("shard", "open", "EMFILE"), ("auth", "write", "EIO")))
      for role in ("shard", "auth") for kind, faults in
      {"open": ("EMFILE", "EIO", "EINTR"), "write": ("ENOSPC", "EDQUOT", "EIO", "EINTR", "short"),
       "read": ("EIO", "EINTR", "short"), "fsync": ("EIO", "ENOSPC"), "fsync-folder": ("EIO",),
       "mkdir": ("ENOSPC", "EIO", "EINTR"), "statfs": ("EIO",), "stat": ("EIO",), "malloc": ("ENOMEM",)}.items()
      for fault in faults if role == "shard" or kind not in ("mkdir", "statfs", "fsync-folder")),
]


SITE_ROLES = {"shard": 20000, "smtp": 5000, "auth": 3000, "access": 5000, "authwork": 200}  # and the last under load
SHORT_SITES = 8


def sites(count):
    """Allocations that fail, spread over the lives of the processes."""
    for number in range(count):
        role, last = list(SITE_ROLES.items())[number % len(SITE_ROLES)]
        is_start = number // len(SITE_ROLES) % 2 == 0
        yield Case(role, "malloc", "ENOMEM", "starts" if is_start else "dies", 0 if is_start else last,
                   part=(number + 0.5) / count)


BROKEN = re.compile(r".*(?:event=process-ended.*signal=(?!KILL|ABRT)|Assertion .* failed|stack smashing|"
                    r"corrupted size|double free|event=process-stuck).*")


class Torture:
    def __init__(self, seed, connections, evidence):
        self.luck = random.Random(seed)
        self.connections = connections
        self.evidence = evidence
        self.found = collections.Counter()
        self.outcomes = collections.Counter()
        self.cases = self.faults = self.unmet = 0
        self.acknowledged = 0

    def run(self, cases):
        """All cases on one store; False where something was wrong."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="mansio-torture-"))
        folder.chmod(0o711)
        self.orders = Orders(folder)
        self.orders.path.chmod(0o666)
        self.server = Server(SETTINGS, environment=self.orders.environment())
        is_good = False
        try:
            is_good = self._with_server(cases)
        except (AssertionError, wire.Closed, OSError) as error:
            print(f"wrong: {type(error).__name__}: {error}")
        finally:
            self.server.kill_everything()
            if not is_good:
                self._keep()
            shutil.rmtree(self.server.root, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
        return is_good

    def _keep(self):
        self.evidence.mkdir(parents=True, exist_ok=True)
        for name in ("ledger.jsonl", "log"):
            if (self.server.root / name).exists():
                shutil.copy(self.server.root / name, self.evidence / name)
        print(f"the ledger and the log are kept in {self.evidence}")

    def _with_server(self, cases):
        server = self.server
        server.start()
        server.add_domain()
        self.at_start = {(case.role, case.kind): self.orders.calls(case.role, 0, case.kind) for case in cases}
        self.accounts = [server.add_account() for _ in range(ACCOUNTS)]
        self.probes = {}  # {shard: an account that the ledger does not know}
        while len(self.probes) < SHARDS:
            account = server.add_account()
            self.probes.setdefault(server.cli_json("account", "show", account.address)["shard"], account)
        for account in self.probes.values():
            server.deliver(account, message(subject="probe"))
        for account in self.accounts:
            with server.imap(account) as imap:
                for name in MAILBOXES[1:]:
                    if name.encode() not in imap.list():
                        imap.ok("CREATE ", wire.quoted(name))
        self.ledger = Ledger(server.root / "ledger.jsonl", self.accounts, MAILBOXES)
        self.ledger.has_quota = True
        self.new_log, self.whole_log = server.new_log(), server.new_log()
        try:
            is_good = all(self._case(case, case is cases[-1]) for case in cases)
        finally:
            self.acknowledged += self.ledger.acknowledged
            self.ledger.close()
        server.stop()
        return is_good

    # ------------------------------------------------------------------ one case

    def _case(self, case, is_last):
        self.cases += 1
        self.wrong = []
        index = self.luck.randrange(SHARDS) if case.role == "shard" else 0
        self.ledger.note("case", case=str(case), index=index)
        self.new_log()
        self.whole_log()
        self.pids = self._pids()
        refusals = self.ledger.refusals.copy()
        began = time.monotonic()
        hits = self._load(case, index)
        self.server.wait_ready()
        if case.expect != "starts":
            self._judge(case, index, hits, self.ledger.refusals - refusals)
        if is_last:
            self._deliver_rest()
        findings = Comparison(self.server, self.ledger, self.accounts, is_last).run(is_last)
        for kind in ("lost", "altered", "duplicated"):
            self.found[kind] += getattr(findings, kind)
        self.wrong += findings.lines + self.ledger.mistakes
        if case.fault == "ENOMEM":
            self._judge_memory(case, index)
        self.faults += hits > 0
        self.unmet += hits == 0
        print(f"{case}, {case.role} {index}: {'not met' if hits == 0 else f'{min(hits, 9999)} calls failed'}, "
              f"{time.monotonic() - began:.1f} s", flush=True)
        for line in self.wrong:
            self.ledger.note("wrong", text=line)
            print(f"    wrong: {line}", flush=True)
        return not self.wrong

    def _pids(self):
        return {(one["role"], one["index"]): one["pid"] for one in self.server.status(counters_of=())["processes"]}

    def _load(self, case, index):
        """The clients at work while the fault comes; gives how many calls failed."""
        workers = [Client(self.server, self.ledger, self.accounts, self.luck.random())
                   for _ in range(self.connections)]
        if case.role in ("auth", "authwork"):
            workers.append(Administrator(self.server))
        for worker in workers:
            worker.start()
        try:
            time.sleep(self.luck.uniform(0.05, 0.2))
            hits = self._strike(case, index)
            time.sleep(MOMENT)
        finally:
            self.orders.cancel(case.role, index, case.kind)
            for worker in workers:
                worker.stop.set()
            deadline = time.monotonic() + STOP_SECONDS
            for worker in workers:
                worker.join(max(0, deadline - time.monotonic()))
        if any(worker.is_alive() for worker in workers):
            self.wrong.append("a client does not end")
        time.sleep(0.1)  # a request whose client is gone may still be on its way
        if case.role in ("auth", "authwork"):
            self._judge_accounts(case, workers[-1])
        return hits

    def _strike(self, case, index):
        first = case.first(self.luck, self.at_start[case.role, case.kind])
        if (case.role, case.kind) == ("smtp", "spool"):  # it keeps its files: a new process makes new ones
            self.pids[case.role, index] = self.server.kill_role(case.role)[1]
        if case.expect == "starts":  # the order is for its successor
            os.kill(self.pids[case.role, index], signal.SIGSTOP)
        self.orders.give(case.role, index, case.kind, case.fault, first, case.times)
        if case.expect == "starts":
            self.server.kill_role(case.role, index)
        deadline = time.monotonic() + HIT_SECONDS
        while not (hits := self.orders.hits(case.role, index, case.kind)) and time.monotonic() < deadline:
            self._provoke(case, index)
        if hits and case.expect == "no space" and case.times == FOR_EVER:
            self._probe_full(case, index)
        if hits and case.role == "shard":
            self._probe_others(index)
        return self.orders.hits(case.role, index, case.kind)

    def _provoke(self, case, index):
        """Calls that the load seldom makes: large messages take the way through unnamed files and fill segments."""
        if case.kind not in SELDOM and case.role != "smtp":
            time.sleep(0.02)
            return
        if case.kind == "unlink":  # nothing but the compaction does it
            self.server.cli("store", "compact", check=False)
        data = message(subject="large", body=LARGE * 6000)
        with contextlib.suppress(AssertionError, *GONE_AWAY):
            if case.role == "smtp":
                self.server.deliver(self.probes[0], data)
            else:
                with self.server.imap(self.probes[index]) as imap:
                    imap.append("INBOX", data)
                    imap.select()
                    imap.ok("STORE 2:* +FLAGS (\\Deleted)")
                    imap.fetch("1:*", "(BODY.PEEK[])")
                    imap.ok("EXPUNGE")

    # ------------------------------------------------------------------ what must be seen while it lasts

    def _probe_full(self, case, index):
        """A full disk: the exact answers, and reading goes on. What is large takes the way through an unnamed file."""
        account = self.probes[index]
        is_large = case.kind == "spool" or case.role == "smtp"
        data = message(subject="full", body=LARGE * 6000 if is_large else "small\r\n")
        if case.role == "smtp" or not is_large:
            self._probe_full_deliveries(account, data)
        if case.role == "shard":
            append = ("APPEND INBOX ", wire.Literal(data))
            changes = [("STORE 1 +FLAGS (\\Seen Full)",), ("CREATE Full",), ("COPY 1 INBOX",)]
            for command in [append] if is_large else [append, *changes]:
                self._probe_full_command(case, account, command)
        with self.server.imap(account) as imap:
            imap.select(command="EXAMINE")
            if b"probe" not in imap.fetch("1", "(BODY.PEEK[])")[1][b"BODY[]"]:
                self.wrong.append("nothing to read while the disk is full")

    def _probe_full_deliveries(self, account, data):
        for connect in (self.server.smtp, self.server.lmtp):
            with connect() as client:
                client.begin("sender@example.net", [account.address])
                client.line.send(wire.dot_stuffed(data))
                answer = client.read()
                if answer[0] != 452 or not answer[1][-1].startswith("4.3.1"):
                    self.wrong.append(f"a delivery to a full disk hears {answer}")

    def _probe_full_command(self, case, account, command):
        """What fails at the disk itself, and not before, has a void batch, which ends the session with BYE."""
        with self.server.imap(account) as imap:
            imap.select()
            imap.send(*command)
            answer = imap.refused or imap.read_response()
            if not re.match(rb"\S+ NO \[UNAVAILABLE\]", answer) and not (case.kind == "write" and
                                                                         answer.startswith(b"* BYE ")):
                self.wrong.append(f"{command[0]} on a full disk: {answer}")

    def _probe_others(self, index):
        """The other shard takes mail and changes meanwhile, without a pause."""
        for shard, account in self.probes.items():
            if shard != index:
                try:
                    self.server.deliver(account, message(subject="meanwhile"))
                    with self.server.imap(account) as imap:
                        imap.select()
                        imap.ok("STORE 1 +FLAGS (\\Seen)")
                        imap.ok("STORE 2:* +FLAGS (\\Deleted)")
                        imap.ok("EXPUNGE")
                except (AssertionError, *GONE_AWAY) as error:
                    self.wrong.append(f"the other shard does not go on: {type(error).__name__} {error}")

    # ------------------------------------------------------------------ what must be seen afterwards

    def _judge(self, case, index, hits, refusals):
        log = self.new_log()
        pids = self._pids()
        ended = {who for who, pid in pids.items() if pid != self.pids[who]}
        victim = (case.role, index)
        self.wrong += [f"the log says: {line}" for line in BROKEN.findall(log)]
        failed = re.findall(r".*event=store-failed.*", log)
        voids = re.findall(r".*event=batch-voided.*", log)
        if ended - {victim}:
            self.wrong.append(f"{ended - {victim}} ended, too")
        if hits == 0:
            return
        self.outcomes[f"{case.expect}: {'ended' if victim in ended else 'void batches' if voids else 'went on'}"] += 1
        if case.expect in ("invisible", "no space", "refused") and victim in ended:
            self.wrong.append(f"{case.role} {index} ended")
        if case.expect == "invisible" and (refusals or voids):
            self.wrong.append(f"refused: {dict(refusals)} {voids}")
        if case.expect == "no space" and case.role == "shard":
            self.wrong += [f"refused otherwise: {text}" for text in refusals if not self._is_for_space(text)]
        if case.expect == "stops":
            if victim not in ended or len(failed) != 1 or f"role=shard.{index}" not in failed[0]:
                self.wrong.append(f"a sync failed, the shard {'ended' if victim in ended else 'went on'}: {failed}")
        elif failed and case.expect != "survives":
            self.wrong.append(f"the log says: {failed}")
        if case.expect == "survives" and (victim in ended) != (len(failed) == 1):
            self.wrong.append(f"the shard {'ended' if victim in ended else 'went on'}, the log says {failed}")

    def _judge_memory(self, case, index):
        """A process that ends for want of memory says so, once."""
        log = self.whole_log()
        ended = len(re.findall(rf"event=process-ended of={case.role} index={index} pid=\d+ code=70", log))
        lines = len(re.findall(r"event=out-of-memory", log))
        if ended != lines:
            self.wrong.append(f"{ended} processes ended for want of memory, {lines} lines say so")

    @staticmethod
    def _is_for_space(text):
        """A delivery to several shards of which one is full may hear another 4xx; a session of a void batch ends."""
        return re.search(r"452, \['4\.3\.1|451, \['4\.|UNAVAILABLE|Closed|421|Refused BYE", text) is not None

    def _judge_accounts(self, case, administrator):
        self.server.wait_ready()
        there = {one["address"] for one in self.server.cli_json("account", "list")}
        lost = [address for address, _ in administrator.made if address not in there]
        if lost:
            self.found["lost"] += len(lost)
            self.wrong.append(f"accounts that were made are not there: {lost}")
        if case.expect == "invisible" and administrator.refused:
            self.wrong.append(f"refused: {administrator.refused}")
        for address, text in administrator.refused[:1]:
            if address not in there:
                with self.server.password_file() as path:  # what was refused can be done now
                    self.server.cli("account", "add", address, "--password-file", path)
        for address, _ in [*administrator.made, *administrator.refused]:
            self.server.cli("account", "remove", address, "--yes", check=False)

    def _deliver_rest(self):
        client = Client(self.server, self.ledger, self.accounts, 0)
        if not client.finish_deliveries(time.monotonic() + STOP_SECONDS):
            self.wrong.append(f"{len(self.ledger.retries)} deliveries are not acknowledged after {STOP_SECONDS} s")

    def summary(self):
        return (f"cases={self.cases} faults={self.faults} acknowledged={self.acknowledged} lost={self.found['lost']} "
                f"altered={self.found['altered']} duplicated={self.found['duplicated']}")


def main():
    parser = argparse.ArgumentParser(description="storage calls and allocations that fail under load, and a ledger")
    parser.add_argument("--rounds", type=int, default=1, help="how often all cases are gone through")
    parser.add_argument("--short", action="store_true", help="one case of each sort, once")
    parser.add_argument("--sites", type=int, default=None, help="allocations that fail, beside the cases")
    parser.add_argument("--only", default="", help="cases whose line has this text")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--connections", type=int, default=6, help="clients at a time")
    parser.add_argument("--evidence", type=pathlib.Path, default=None, help="default: a new folder for temporary files")
    arguments = parser.parse_args()
    if not binary().exists() or not is_usable():
        parser.error(f"no server to test at {binary()}, or no preload beside it: make build, or set MANSIO_BIN")
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    evidence = arguments.evidence or pathlib.Path(tempfile.gettempdir()) / f"mansio-torture-{os.getpid()}"
    wanted = SHORT_SITES if arguments.sites is None and arguments.short else arguments.sites or 0
    cases = [case for case in [*CASES, *sites(wanted)] if arguments.only in str(case)
             and (case.is_short or case.part is not None or not arguments.short)]
    print(f"seed={seed} connections={arguments.connections} cases={len(cases)}", flush=True)

    torture = Torture(seed, arguments.connections, evidence)
    is_good = bool(cases)
    for _ in range(arguments.rounds):
        is_good = is_good and torture.run(torture.luck.sample(cases, len(cases)))
    print("outcomes: " + ", ".join(f"{what} {count}" for what, count in sorted(torture.outcomes.items())))
    print(f"faults that the load did not meet: {torture.unmet}")
    print(torture.summary())
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
