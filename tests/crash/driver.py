#!/usr/bin/python3
"""The crash test: mixed load on many connections, kill -9 at random moments, and a ledger outside the server.

    driver.py --cycles 100 --seed 1 --connections 8 [--evidence FOLDER]

A cycle: clients (workload.py) deliver by SMTP and LMTP, APPEND (several at once where the server can), STORE, COPY,
MOVE, EXPUNGE, CLOSE, RENAME mailboxes with mail in them, and DELE by POP3; of one account the INBOX is renamed and what
comes of it deleted. After a random while a process is killed with SIGKILL: a shard or all of them, smtp, access, auth,
authwork, the supervisor alone (its children must end with it), everything at once; sometimes the same again while it is
only just coming back, and smtp and access sometimes after a moment in which they hang. Meanwhile the space of removed
mail is compacted. The load goes on against what is left and what comes back, then stops, and the ledger is compared
with the mailboxes through IMAP and POP3 (comparison.py): names, counters, uids and flags each time, all bytes every
tenth time and at the end. Where all processes were killed, the counters in the databases are looked at, too
(counters.py). MANSIO_BIN names the server. The seed decides sizes, kinds and moments; how threads and processes
interleave is the machine's.

The rules of the ledger (ledger.py):

 1. Before a request leaves, its intent is written down; when its answer is here, that. What lies between is open.
 2. Acknowledged (250, OK, +OK to QUIT), or once seen by any client: it holds. A message is there exactly once and
    whole: the same SHA-256 after the trace headers of a delivery, with nothing before it after an APPEND. Flags are
    those of the last STORE; what was expunged or moved away never comes back.
 3. Open: it happened or it did not, as a whole for each message: there at most once; a MOVE leaves exactly one of the
    two copies; flags are those before or those after. The next comparison settles which.
 4. A sender without an answer, or with a 4xx, tries the identical message again until it is acknowledged, also when it
    is there already: the server knows it by its key, and it stays one. Nobody tries an APPEND, MOVE or COPY again.
 5. A uid and a UIDL stand for one message for ever. UIDNEXT and modseqs only grow, UIDVALIDITY stays.
 6. A copy that an operation works on, or has left open, is left alone by all others until the next comparison.
 7. What the server counts for its quotas is what is there.
 8. A RENAME that is not answered has happened to all it names, or to nothing. Names that a client holds may be old.

The last line is `cycles=N acknowledged=N lost=N altered=N duplicated=N`. The exit status is 0 only where the last three
are 0 and nothing else was wrong: an answer that no crash excuses, a hang, a process that died by itself, one left over.
The ledger's file and the server's log are kept in the evidence folder when something is wrong.
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
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import wire  # noqa: E402
from harness.server import Server, binary  # noqa: E402

from comparison import Comparison  # noqa: E402
from counters import Counters  # noqa: E402
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
POP3_EVERY = 3
COMPACT_EVERY = 3
SAY_EVERY = 50
BEFORE = (0.03, 0.25)   # seconds of load before the blow
AFTER = (0.02, 0.1)
SETTLE_SECONDS = 0.05   # a request whose client is gone may still be on its way through the processes
STOP_SECONDS = 60       # for the clients to end
# processes come back at once however often they are killed
# files of bodies are small and expunged mail is forgotten at once, so that there is always something to compact
SETTINGS = {"server": {"restart_delay_max": "50ms"}, "login": {"max_connections": 1000},
            "store": {"undelete_window": "0ms", "segment_size": "1MB"},
            # far away: so that the server says what it counts
            "quota": {"messages": 1000000, "bytes": "1TB"}}


class Killer:
    """Draws what dies, and kills it: each target once before any comes again. at_rest: called when all are dead."""

    def __init__(self, server, luck, at_rest):
        self.server = server
        self.at_rest = at_rest
        self.luck = luck
        self.deck = []

    def strike(self):
        """Kills something and gives its name. Where the supervisor lives on, it may take a moment to bring it back."""
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
        if self.server.process is None:
            self.at_rest()
            self.server.start()
        return target if times == 1 else f"{target} twice"

    def _kill(self, target):
        if target == "everything":
            self.server.kill_everything()
        elif target == "supervisor":
            self.server.ports = {}
            self.server.process.kill()
            self.server.process.wait()
            self.server.process = None
            self.server.assert_nothing_left(seconds=10)
        else:
            victims = self._pids("shard" if target == "shards" else target)
            if target != "shards":
                victims = [self.luck.choice(victims)]
            if target in BETWEEN and self.luck.random() < 0.5:
                self._signal(victims, signal.SIGSTOP)
                time.sleep(FROZEN_SECONDS)
            self._signal(victims, signal.SIGKILL)

    @staticmethod
    def _signal(pids, number):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _pids(self, role):
        """The living processes of a role; after a first blow they may only be on their way."""
        return self.server.wait_for(lambda: self.server.role_pids(role), f"a process {role}")


class Run:
    def __init__(self, wanted, seed, connections, evidence):
        self.wanted = wanted  # cycles
        self.began = time.monotonic()
        self.seed = seed
        self.connections = connections
        self.evidence = evidence
        self.luck = random.Random(seed)
        self.acknowledged = 0
        self.counts = collections.Counter()
        self.settled = collections.Counter()
        self.found = collections.Counter()
        self.cycles = 0

    # What a test of another sort of blow has of its own.

    def new_server(self):
        return Server(SETTINGS)

    def new_killer(self, server, at_rest):
        return Killer(server, self.luck, at_rest)

    def new_workers(self, server):
        """Threads beside the clients, with a stop like theirs."""
        return []

    def check(self, server, findings):
        """After a comparison."""

    def all(self):
        """All cycles, on one store after the other; False where something was wrong."""
        is_good = True
        while is_good and self.cycles < self.wanted:
            is_good = self.store(min(CYCLES_PER_STORE, self.wanted - self.cycles))
        return is_good

    def store(self, cycles):
        """So many cycles on a store of their own; False where something was wrong."""
        server = self.new_server()
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
        recluse = server.add_account()
        for account in accounts:
            with server.imap(account) as imap:
                for name in MAILBOXES:
                    if name.encode() not in imap.list():
                        imap.ok("CREATE ", wire.quoted(name))
        ledger = Ledger(server.root / "ledger.jsonl", accounts, MAILBOXES, recluse)
        ledger.has_quota = True
        try:
            is_good = self._cycles(server, ledger, accounts, recluse, cycles)
        finally:
            self.acknowledged += ledger.acknowledged
            self.counts += ledger.counts
            self.settled += ledger.settled
            ledger.close()
        is_good = is_good and self._is_whole(server)
        server.stop()
        return is_good

    @staticmethod
    def _is_whole(server):
        """What `store check` says when all is over; a shard may just be starting again."""
        answers = []

        def answered():
            answers.append(server.cli("store", "check", "--json", check=False))
            return answers[-1].returncode in (0, 1)

        server.wait_for(answered, "store check to answer")
        if answers[-1].returncode:
            print(f"wrong: store check: {answers[-1].stdout}")
        return answers[-1].returncode == 0

    def _keep(self, server):
        self.evidence.mkdir(parents=True, exist_ok=True)
        for name in ("ledger.jsonl", "log"):
            if (server.root / name).exists():
                shutil.copy(server.root / name, self.evidence / name)
        print(f"the ledger and the log are kept in {self.evidence}")

    def _cycles(self, server, ledger, accounts, recluse, cycles):
        counters = Counters(server.directory)
        killer = self.new_killer(server, counters.read)
        new_log = server.new_log()
        for number in range(1, cycles + 1):
            clients = [Client(server, ledger, accounts, self.luck.random(), recluse) for _ in range(self.connections)]
            clients += self.new_workers(server)
            victim = self._load(server, ledger, clients, killer, number % COMPACT_EVERY == 0)
            self.cycles += 1
            is_last = number == cycles
            if is_last:
                self._deliver_rest(server, ledger, accounts)
            findings = Comparison(server, ledger, [*accounts, recluse], is_last or number % READ_ALL_EVERY == 0).run(
                is_last or number % POP3_EVERY == 0)
            for text in counters.backwards():
                findings.add("altered", text)
            self.check(server, findings)
            if not self._is_good(ledger, findings, victim, new_log):
                return False
            if is_last or number % SAY_EVERY == 0:
                self._say(ledger)
        return True

    def _load(self, server, ledger, clients, killer, with_compaction):
        """Clients at work and a blow; gives what was hit."""
        for client in clients:
            client.start()
        victim = None
        compaction = threading.Thread(target=lambda: server.cli("store", "compact", check=False))
        try:
            time.sleep(self.luck.uniform(*BEFORE))
            if with_compaction:
                compaction.start()
                time.sleep(self.luck.uniform(0, 0.1))
            ledger.note("strike")
            victim = killer.strike()
            ledger.note("struck", victim=victim)
            time.sleep(self.luck.uniform(*AFTER))
        finally:
            for client in clients:
                client.stop.set()
            deadline = time.monotonic() + STOP_SECONDS
            for client in clients:
                client.join(max(0, deadline - time.monotonic()))
            if compaction.ident:
                compaction.join()
        if any(client.is_alive() for client in clients):
            ledger.mistake("a client does not end")
        time.sleep(SETTLE_SECONDS)
        return victim

    def _deliver_rest(self, server, ledger, accounts):
        """No more kills: every sender who still waits gets his answer."""
        client = Client(server, ledger, accounts, 0)
        if not client.finish_deliveries(time.monotonic() + STOP_SECONDS):
            ledger.mistake(f"{len(ledger.retries)} deliveries are not acknowledged after {STOP_SECONDS} s")

    def _is_good(self, ledger, findings, victim, new_log):
        for kind in ("lost", "altered", "duplicated"):
            self.found[kind] += getattr(findings, kind)
        wrong = findings.lines + ledger.mistakes
        wrong += [f"the log says: {line}" for line in ALARM.findall(new_log())]
        for line in wrong:
            ledger.note("wrong", text=line)
            print(f"cycle {self.cycles}, killed {victim}: {line}")
        return not wrong

    def _say(self, ledger):
        seconds = time.monotonic() - self.began
        print(f"{self.cycles} of {self.wanted} cycles, {self.acknowledged + ledger.acknowledged} acknowledged, "
              f"{seconds:.0f} s, {seconds / self.cycles * (self.wanted - self.cycles):.0f} s to go", flush=True)

    def summary(self):
        return (f"cycles={self.cycles} acknowledged={self.acknowledged} lost={self.found['lost']} "
                f"altered={self.found['altered']} duplicated={self.found['duplicated']}")


# what no SIGKILL of ours explains
ALARM = re.compile(r".*(?:event=process-ended(?!.*signal=KILL)|ERROR: \w*Sanitizer|runtime error:|"
                   r"Assertion .* failed|stack smashing|corrupted size|double free).*")


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

    run = Run(arguments.cycles, seed, arguments.connections, evidence)
    is_good = run.all()
    for what, counts in (("acknowledged", run.counts), ("left open by a crash", run.settled)):
        print(f"{what}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())))
    print(run.summary())
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
