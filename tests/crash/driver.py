#!/usr/bin/python3
"""The crash test: mixed load on many connections, kill -9 at random moments, and a ledger outside the server.

    driver.py --cycles 100 --seed 1 --connections 8 [--evidence FOLDER]

A cycle: clients (workload.py) deliver by SMTP and LMTP, APPEND, STORE, COPY, MOVE, EXPUNGE, and DELE by POP3; after a
random while a process is killed with SIGKILL: a shard or all of them, smtp, access, auth, authwork, the supervisor
alone (its children must end with it), everything at once; sometimes the same again while it is only just coming back,
and smtp and access sometimes after a moment in which they hang. Meanwhile the space of removed mail is compacted. The load goes on against what is left and what comes
back, then stops, and the ledger is compared with the mailboxes through IMAP and POP3 (comparison.py). MANSIO_BIN names
the server. The seed decides sizes, kinds and moments; how threads and processes interleave is the machine's.

The rules of the ledger (ledger.py):

 1. Before a request leaves, its intent is written down; when its answer is here, that. What lies between is open.
 2. Acknowledged (250, OK, +OK to QUIT), or once seen by any client: it holds. A message is there exactly once and
    whole: the same SHA-256 after the trace headers of a delivery, with nothing before it after an APPEND. Flags are
    those of the last STORE; what was expunged or moved away never comes back.
 3. Open: it happened or it did not, as a whole for each message: there at most once; a MOVE leaves exactly one of the
    two copies; flags are those before or those after. The next comparison settles which.
 4. A sender without an answer, or with a 4xx, tries the identical message again until it is acknowledged, also when it
    is there already: the server knows it by its key, and it stays one. Nobody tries an APPEND, MOVE or COPY again.
 5. A uid and a UIDL stand for one message for ever. UIDNEXT only grows, UIDVALIDITY stays.
 6. A copy that an operation works on, or has left open, is left alone by all others until the next comparison.

The last line is `cycles=N acknowledged=N lost=N altered=N duplicated=N`. The exit status is 0 only where the last three
are 0 and nothing else was wrong: an answer that no crash excuses, a hang, a process that died by itself, one left over.
The ledger's file and the server's log are kept in the evidence folder when something is wrong.
"""

import argparse
import collections
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import wire  # noqa: E402
from harness.server import Server, binary  # noqa: E402

from comparison import Comparison  # noqa: E402
from ledger import Ledger  # noqa: E402
from workload import Client  # noqa: E402

ACCOUNTS = 4
MAILBOXES = ["INBOX", "Archive", "Work", "Work/Deep down"]
TARGETS = ["shard", "shard", "shards", "smtp", "access", "auth", "authwork", "supervisor", "everything"]
# Between a client and a shard: frozen for a moment before they die, they leave work that is done and not answered.
BETWEEN = ("smtp", "access")
FROZEN_SECONDS = 0.03
CYCLES_PER_STORE = 500  # expunged mail stays in the store for days: a long run begins a new one now and then
READ_ALL_EVERY = 10     # cycles between two comparisons of all bytes
POP3_EVERY = 2
STOP_SECONDS = 60       # for the clients to end
# processes come back at once however often they are killed
# files of bodies are small and expunged mail is forgotten at once, so that there is always something to compact
SETTINGS = {"server": {"restart_delay_max": "50ms"}, "login": {"max_connections": 1000},
            "store": {"undelete_window": "0ms", "segment_size": "1MB"}}


class Killer:
    """Draws what dies, and kills it: each target once before any comes again."""

    def __init__(self, server, luck):
        self.server = server
        self.luck = luck
        self.deck = []

    def strike(self):
        """Kills something and gives its name; the server is ready again afterwards."""
        if not self.deck:
            self.deck = self.luck.sample(TARGETS, len(TARGETS))
        target = self.deck.pop()
        times = 2 if self.luck.random() < 0.25 else 1
        self._kill(target)
        if times == 2:
            if self.server.process is None:
                self.server.start(wait=False)
            time.sleep(self.luck.uniform(0, 0.1))
            self._kill(target)
        self._revive()
        return target if times == 1 else f"{target} twice"

    def _kill(self, target):
        if target == "everything":
            self.server.kill_everything()
        elif target == "supervisor":
            self.server.process.kill()
            self.server.process.wait()
            self.server.process = None
            self.server.assert_nothing_left(seconds=10)
        else:
            roles = list(self._pids("shard" if target == "shards" else target).values())
            victims = roles if target == "shards" else [self.luck.choice(roles)]
            if target in BETWEEN and self.luck.random() < 0.5:
                for pid in victims:
                    os.kill(pid, signal.SIGSTOP)
                time.sleep(FROZEN_SECONDS)
            for pid in victims:
                os.kill(pid, signal.SIGKILL)

    def _pids(self, role):
        """The living processes of a role; after a first blow they may only be on their way."""
        return self.server.wait_for(
            lambda: {index: pid for index, pid in self.server.processes(role).items() if pid}, f"a process {role}")

    def _revive(self):
        if self.server.process is None:
            self.server.start()
        else:
            # what was killed counts as ready until the supervisor has reaped it
            time.sleep(0.02)
            self.server.wait_ready()


class Run:
    def __init__(self, seed, connections, evidence):
        self.seed = seed
        self.connections = connections
        self.evidence = evidence
        self.luck = random.Random(seed)
        self.acknowledged = 0
        self.counts = collections.Counter()
        self.settled = collections.Counter()
        self.found = collections.Counter()
        self.cycles = 0

    def store(self, cycles):
        """So many cycles on a store of their own; False where something was wrong."""
        server = Server(SETTINGS)
        is_good = False
        try:
            is_good = self._with_server(server, cycles)
        except (AssertionError, wire.Closed, OSError) as error:
            print(f"wrong: {type(error).__name__}: {error}")
        finally:
            server.kill_everything()
            if not is_good:
                self._keep(server)
            shutil.rmtree(server.root, ignore_errors=True)
        return is_good

    def _with_server(self, server, cycles):
        server.start()
        server.add_domain()
        accounts = [server.add_account() for _ in range(ACCOUNTS)]
        for account in accounts:
            with server.imap(account) as imap:
                for name in MAILBOXES:
                    if name.encode() not in imap.list():
                        imap.ok("CREATE ", wire.quoted(name))
        ledger = Ledger(server.root / "ledger.jsonl", accounts, MAILBOXES)
        try:
            is_good = self._cycles(server, ledger, accounts, cycles)
        finally:
            self.acknowledged += ledger.acknowledged
            self.counts += ledger.counts
            self.settled += ledger.settled
            ledger.close()
        server.stop()
        return is_good

    def _keep(self, server):
        self.evidence.mkdir(parents=True, exist_ok=True)
        for name in ("ledger.jsonl", "log"):
            if (server.root / name).exists():
                shutil.copy(server.root / name, self.evidence / name)
        print(f"the ledger and the log are kept in {self.evidence}")

    def _cycles(self, server, ledger, accounts, cycles):
        killer = Killer(server, self.luck)
        alarms = Alarms(server)
        for number in range(1, cycles + 1):
            victim = self._load(server, ledger, accounts, killer)
            self.cycles += 1
            if number == cycles:
                self._deliver_rest(server, ledger, accounts)
            if not self._compare(server, ledger, accounts, number, victim, number == cycles, alarms):
                return False
        return True

    def _load(self, server, ledger, accounts, killer):
        stop = threading.Event()
        clients = [Client(server, ledger, accounts, self.luck.random(), stop) for _ in range(self.connections)]
        for client in clients:
            client.start()
        victim = None
        compaction = threading.Thread(target=lambda: server.cli("store", "compact", check=False))
        try:
            time.sleep(self.luck.uniform(0.05, 0.7))
            compaction.start()
            time.sleep(self.luck.uniform(0, 0.1))
            ledger.note("strike")
            victim = killer.strike()
            ledger.note("struck", victim=victim)
            time.sleep(self.luck.uniform(0.05, 0.4))
        finally:
            stop.set()
            deadline = time.monotonic() + STOP_SECONDS
            for client in clients:
                client.join(max(0, deadline - time.monotonic()))
            if compaction.ident:
                compaction.join()
        if any(client.is_alive() for client in clients):
            ledger.mistake("a client does not end")
        # a request whose client is gone may still be on its way through the processes
        time.sleep(0.1)
        return victim

    def _deliver_rest(self, server, ledger, accounts):
        """No more kills: every sender who still waits gets his answer."""
        client = Client(server, ledger, accounts, 0, threading.Event())
        if not client.finish_deliveries(time.monotonic() + STOP_SECONDS):
            ledger.mistake(f"{len(ledger.retries)} deliveries are not acknowledged after {STOP_SECONDS} s")

    def _compare(self, server, ledger, accounts, number, victim, is_last, alarms):
        findings = Comparison(server, ledger, accounts, is_last or number % READ_ALL_EVERY == 0).run(
            is_last or number % POP3_EVERY == 0)
        for kind in ("lost", "altered", "duplicated"):
            self.found[kind] += getattr(findings, kind)
        wrong = findings.lines + ledger.mistakes + alarms.new()
        for line in wrong:
            ledger.note("wrong", text=line)
            print(f"cycle {self.cycles}, killed {victim}: {line}")
        if is_last or number % 50 == 0:
            print(f"cycle {self.cycles}: {ledger.acknowledged} acknowledged in this store", flush=True)
        return not wrong

    def summary(self):
        return (f"cycles={self.cycles} acknowledged={self.acknowledged} lost={self.found['lost']} "
                f"altered={self.found['altered']} duplicated={self.found['duplicated']}")


class Alarms:
    """What the log says that no SIGKILL of ours explains."""

    BAD = re.compile(r".*(?:event=process-ended(?!.*signal=KILL)|ERROR: \w*Sanitizer|runtime error:|"
                     r"Assertion .* failed|stack smashing|corrupted size|double free).*")

    def __init__(self, server):
        self.server = server
        self.offset = 0

    def new(self):
        with open(self.server.log, encoding="utf-8", errors="replace") as log:
            log.seek(self.offset)
            text = log.read()
            self.offset = log.tell()
        return [f"the log says: {line}" for line in self.BAD.findall(text)]


def main():
    parser = argparse.ArgumentParser(description="kill -9 under load, and a ledger that finds what is missing")
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--connections", type=int, default=8, help="clients at a time")
    parser.add_argument("--evidence", type=pathlib.Path, default=None, help="default: a new folder for temporary files")
    arguments = parser.parse_args()
    if not binary().exists():
        parser.error(f"no server to test at {binary()}: make build, or set MANSIO_BIN")
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    evidence = arguments.evidence or pathlib.Path(tempfile.gettempdir()) / f"mansio-crash-{os.getpid()}"
    print(f"seed={seed} connections={arguments.connections}", flush=True)

    run = Run(seed, arguments.connections, evidence)
    is_good = True
    while is_good and run.cycles < arguments.cycles:
        is_good = run.store(min(CYCLES_PER_STORE, arguments.cycles - run.cycles))
    for what, counts in (("acknowledged", run.counts), ("left open by a crash", run.settled)):
        print(f"{what}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())))
    print(run.summary())
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
