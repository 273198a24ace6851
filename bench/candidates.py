"""The servers that are compared: Mansio, Dovecot in its mailbox formats, and Cyrus, each with its fastest honest settings;
and the floor and the rooms, which are none (floor.c): what the machine itself costs under the same load, and what it costs
by processes and messages between them as Mansio has them.

Every one runs from a folder of its own, on loopback ports above 1024, and is gone with stop().
"""

import concurrent.futures
import contextlib
import getpass
import grp
import imaplib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import packages
from control_group import ControlGroup
from harness import server as harness

PASSWORD = "secret"
DOMAIN = "example.test"
START_SECONDS = 60
STOP_SECONDS = 20
ACCOUNT_LISTS = 8
CLIENT_SECONDS = 60


def free_ports(number):
    """That many ports which nobody listens on."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextlib.contextmanager
def imap_client(candidate, account):
    """Logged in."""
    with imaplib.IMAP4("127.0.0.1", candidate.ports["imap"], CLIENT_SECONDS) as client:
        client.login(candidate.address(account), PASSWORD)
        yield client


def descendants(pid):
    """pid and every living process below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry)] = int(pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
    found = {pid} if pid in parents else set()
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


class Candidate:
    """ports: by protocol. pid: the process that started the others. group: what its CPU time is read from.

    idle_factor: how many idle connections it takes to see what one costs, in multiples of what shows a process each.
    counts_syncs: its fsyncs, by itself and at no cost.
    canned: its answers are made before: no server, but a bound below one.
    """

    idle_factor = 1
    counts_syncs = False
    canned = False

    def __init__(self, name):
        self.name = name
        self.group = ControlGroup()
        self.pid = 0
        self.ports = {}

    def address(self, name):
        """What an account logs in as and gets mail at; `name` may hold a %04u for the load generator."""
        return f"{name}@{DOMAIN}"

    def pids(self):
        return descendants(self.pid) | self.group.pids()

    @contextlib.contextmanager
    def counting_syncs(self):
        """Yields a list that has the number of fsyncs and the like in it afterwards; nothing where it cannot be had."""
        found = []
        if not shutil.which("strace"):
            yield found
            return
        output = self.root / "strace"
        pids = sorted(self.pids())
        command = ["strace", "-f", "-q", "-c", "-U", "name,calls", "-e", "trace=fsync,fdatasync,syncfs,sync,msync", "-o", output]
        tracer = subprocess.Popen([*command, *(f"--attach={pid}" for pid in pids)], stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            attached = self._wait_traced(pids, tracer)
            yield found
        finally:
            tracer.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                tracer.wait(STOP_SECONDS)
        if attached and output.exists():
            rows = re.findall(r"^(fsync|fdatasync|syncfs|sync|msync)\s+(\d+)", output.read_text(), re.MULTILINE)
            found.append(sum(int(calls) for _, calls in rows))

    @staticmethod
    def _wait_traced(pids, tracer):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and tracer.poll() is None:
            with contextlib.suppress(OSError):
                if all("TracerPid:\t0\n" not in pathlib.Path(f"/proc/{pid}/status").read_text() for pid in pids):
                    return True
            time.sleep(0.05)
        return False


class Mansio(Candidate):
    idle_factor = 20
    counts_syncs = True

    def __init__(self, settings=None):
        """settings: further ones, as the harness takes them."""
        super().__init__("mansio")
        self.server = harness.Server({
            **(settings or {}),
            "imap": {"max_sessions_per_account": 20000, "idle_timeout": "1d"},
            "login": {"auth_cache_lifetime": "1h", "max_connections_per_address": 20000, "max_connections": 20000},
            "smtp": {"max_connections_per_address": 1000, "max_transactions": 1000000}})
        self.root = self.server.root

    def start(self):
        self.group.create()
        self._serve()
        self.server.add_domain(DOMAIN)

    def restart(self):
        self.server.stop(expect=None)
        self._serve()

    def _serve(self):
        with self.group.joined():
            self.server.start()
        self.pid, self.ports = self.server.process.pid, self.server.ports

    def add_accounts(self, names):
        """Several lists at once: their accounts share commits."""
        def add(part):
            lines = "".join(f"{self.address(name)} {PASSWORD}\n" for name in part)
            self.server.cli("account", "add", "--from", "-", input=lines, timeout=3600)

        lists = min(ACCOUNT_LISTS, len(names))
        with concurrent.futures.ThreadPoolExecutor(lists) as pool:
            list(pool.map(add, [names[number::lists] for number in range(lists)]))

    def log_tail(self):
        return self.server.log_tail()

    def stop(self):
        try:
            self.server.stop(expect=None)
        finally:
            self.server.kill_everything()
            shutil.rmtree(self.root, ignore_errors=True)
            self.group.close()

    @contextlib.contextmanager
    def counting_syncs(self):
        """By its own counter: under strace, fewer deliveries would meet at a commit."""
        found, before = [], self._syncs()
        yield found
        found.append(self._syncs() - before)

    def _syncs(self):
        return sum(one.get("syncs", one.get("counters", {}).get("syncs", 0)) for one in self.server.status()["processes"])


class Started(Candidate):
    """A server that is one command: subclasses say which, and what it needs before.

    executables: stands in the path of its programs and in no other's, so that what is left over can be told.
    """

    PROTOCOLS = ()
    executables = None

    def __init__(self, name):
        super().__init__(name)
        self.process = None
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"mansio-bench-{name}-"))
        self.ports = dict(zip(self.PROTOCOLS, free_ports(len(self.PROTOCOLS))))

    def prepare(self):
        """Before its first start."""

    def start(self):
        self.group.create()
        self.prepare()
        self._serve()

    def restart(self):
        self._end()
        self._serve()

    def _serve(self):
        with self.group.joined(), open(self.root / "output", "ab") as output:
            self.process = subprocess.Popen([*map(str, self.command())], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True)
        self.pid = self.process.pid
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise packages.Unavailable(f"it does not start\n{self.log_tail()}")
            time.sleep(0.1)

    def _answers(self):
        for protocol in ("imap", "pop3", "lmtp"):
            try:
                with socket.create_connection(("127.0.0.1", self.ports[protocol]), timeout=5) as connection:
                    if not connection.recv(100):
                        return False
            except OSError:
                return False
        return True

    def log_tail(self):
        text = "".join((self.root / name).read_text(errors="replace") for name in ("output", "log") if (self.root / name).exists())
        return "--- end of the log\n" + "\n".join(text.splitlines()[-20:])

    def stop(self):
        try:
            if self.process is not None:
                self._end()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)
            self.group.close()

    def _end(self):
        everybody = self.pids()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self._kill_left(everybody)
        self.process.wait()

    def _kill_left(self, everybody):
        """What did not go by itself. A pid that another process has got meanwhile does not have our folder or group."""
        for _ in range(50):
            left = {pid for pid in everybody if self._is_ours(pid)} | self.group.pids()
            if not left:
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def _is_ours(self, pid):
        try:
            executable = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            return False
        return self.executables in executable


class Floor(Started):
    """What the kernel, loopback and the disk cost: canned answers. It has no accounts, and `messages` of its own."""

    PROTOCOLS = ("imap", "imaps", "pop3", "lmtp")
    idle_factor = 20
    canned = True
    executables = "/bench/floor"

    def __init__(self, messages, name="floor", options=()):
        super().__init__(name)
        self.messages = messages
        self.options = options

    def prepare(self):
        harness.make_certificate(self.root)

    def command(self):
        ports = (word for protocol, port in self.ports.items() for word in (f"--{protocol}", port))
        certificate = "--certificate", self.root / "certificate.pem", "--key", self.root / "key.pem"
        return harness.binary().parents[2] / "bench" / "floor", *ports, *certificate, "--messages", self.messages, *self.options, self.root


def empty_rooms(messages):
    """The floor by the processes of Mansio, with as many shards, and what they tell each other."""
    return Floor(messages, "rooms", ["--rooms", harness.DEFAULTS["server"]["shards"]])


class Peer(Started):
    """A server from packages: subclasses write their settings and say how they are started."""

    package = None
    PROTOCOLS = ("imap", "imaps", "pop3", "lmtp")

    def __init__(self, name, folder):
        self.inside = packages.inside(packages.obtain(self.package, folder))
        super().__init__(name)
        self.executables = f"/{self.package}"
        self.root.chmod(0o711)
        # as root it gives root up for somebody who owns nothing else
        self.user = "nobody" if os.geteuid() == 0 else getpass.getuser()
        entry = pwd.getpwnam(self.user)
        self.uid, self.gid, self.user_group = entry.pw_uid, entry.pw_gid, grp.getgrgid(entry.pw_gid).gr_name

    def make_folder(self, name):
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, self.uid, self.gid)
        return folder

    def own(self, path, mode=0o600):
        path.chmod(mode)
        os.chown(path, self.uid, self.gid)

    def prepare(self):
        harness.make_certificate(self.root)
        self.write_settings()

    def command(self):
        return *self.inside, *self.peer_command()


class Dovecot(Peer):
    package = "dovecot"

    def __init__(self, format_name, folder):
        self.format = format_name
        super().__init__(f"dovecot-{format_name}", folder)

    def peer_command(self):
        return "/usr/sbin/dovecot", "-F", "-c", self.root / "dovecot.conf"

    def write_settings(self):
        self.make_folder("mail")
        (self.root / "users").touch()
        self.own(self.root / "users")
        self.own(self.root / "key.pem")
        service = "service_count = 1000\n  process_min_avail = 16\n  process_limit = 8192\n"
        login = "service_count = 0\n  process_min_avail = 2\n  process_limit = 2\n  client_limit = 10000\n"
        # only root may change the root folder
        chroot = "" if os.geteuid() == 0 else "chroot =\n"
        login += chroot
        (self.root / "dovecot.conf").write_text(f"""
base_dir = {self.root}/run
state_dir = {self.root}/state
log_path = {self.root}/log
protocols = imap pop3 lmtp
listen = 127.0.0.1
default_internal_user = {self.user}
default_internal_group = {self.user_group}
default_login_user = {self.user}
first_valid_uid = 1
mail_uid = {self.user}
mail_gid = {self.user_group}
first_valid_gid = 1
mail_location = {self.format}:~/{self.format}
mail_max_userip_connections = 0
ssl = yes
ssl_cert = <{self.root}/certificate.pem
ssl_key = <{self.root}/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain
auth_cache_size = 16M
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {self.root}/users
}}
userdb {{
  driver = static
  args = uid={self.user} gid={self.user_group} home={self.root}/mail/%u
}}
service imap-login {{
  {login}
  inet_listener imap {{
    port = {self.ports["imap"]}
  }}
  inet_listener imaps {{
    port = {self.ports["imaps"]}
    ssl = yes
  }}
}}
service pop3-login {{
  {login}
  inet_listener pop3 {{
    port = {self.ports["pop3"]}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service anvil {{
  {chroot}
}}
service imap {{
  {service}
}}
service pop3 {{
  {service}
}}
service lmtp {{
  service_count = 0
  process_min_avail = 16
  inet_listener lmtp {{
    port = {self.ports["lmtp"]}
  }}
}}
""")

    def add_accounts(self, names):
        with open(self.root / "users", "a", encoding="ascii") as users:
            users.writelines(f"{self.address(name)}:{PASSWORD}\n" for name in names)


class Cyrus(Peer):
    package = "cyrus"

    def __init__(self, folder):
        super().__init__("cyrus", folder)

    def address(self, name):
        return name

    def peer_command(self):
        return "/usr/lib/cyrus/bin/master", "-C", self.root / "imapd.conf", "-M", self.root / "cyrus.conf", "-p", self.root / "run" / "pid"

    def write_settings(self):
        for name in ("run", "state", "state/socket", "state/proc", "state/log", "state/db", "state/msg", "state/ptclient", "spool", "sasl"):
            self.make_folder(name)
        self.own(self.root / "key.pem")
        (self.root / "imapd.conf").write_text(f"""
configdirectory: {self.root}/state
defaultpartition: default
partition-default: {self.root}/spool
cyrus_user: {self.user}
cyrus_group: {self.user_group}
servername: localhost
admins: admin
virtdomains: off
unixhierarchysep: yes
altnamespace: yes
allowplaintext: yes
duplicatesuppression: no
delete_mode: immediate
popminpoll: 0
sasl_mech_list: PLAIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {self.root}/sasl/db
tls_server_cert: {self.root}/certificate.pem
tls_server_key: {self.root}/key.pem
lmtpsocket: {self.root}/state/socket/lmtp
""")
        (self.root / "cyrus.conf").write_text(f"""
START {{
  recover cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -C {self.root}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="/usr/lib/cyrus/bin/imapd -C {self.root}/imapd.conf -U 1000" listen="127.0.0.1:{self.ports["imap"]}" prefork=16
  imaps cmd="/usr/lib/cyrus/bin/imapd -C {self.root}/imapd.conf -s -U 1000" listen="127.0.0.1:{self.ports["imaps"]}" prefork=16
  pop3 cmd="/usr/lib/cyrus/bin/pop3d -C {self.root}/imapd.conf -U 1000" listen="127.0.0.1:{self.ports["pop3"]}" prefork=16
  lmtp cmd="/usr/lib/cyrus/bin/lmtpd -C {self.root}/imapd.conf -a -U 1000" listen="127.0.0.1:{self.ports["lmtp"]}" prefork=8
}}
EVENTS {{
}}
DAEMON {{
  idled cmd="/usr/lib/cyrus/bin/idled -d -C {self.root}/imapd.conf"
}}
""")
        self._add_passwords(["admin"])

    def _add_passwords(self, names):
        script = 'while read name; do printf %s "$1" | /usr/sbin/saslpasswd2 -p -c -u localhost -f "$0" "$name" || exit 1; done'
        done = subprocess.run([*self.inside, "sh", "-c", script, str(self.root / "sasl" / "db"), PASSWORD], input="\n".join(names) + "\n",
                              text=True, capture_output=True, check=False)
        if done.returncode:
            raise packages.Unavailable(f"saslpasswd2: {done.stderr}")
        self.own(self.root / "sasl" / "db")

    def add_accounts(self, names):
        self._add_passwords(names)
        with imaplib.IMAP4("127.0.0.1", self.ports["imap"], CLIENT_SECONDS) as admin:
            admin.login("admin", PASSWORD)
            for name in names:
                result, answer = admin.create(f"user/{name}")
                if result != "OK":
                    raise packages.Unavailable(f"CREATE user/{name}: {answer}")


def make(name, folder, messages):
    """A candidate by its name. messages: of the large mailbox, for the canned ones, which make their own."""
    if name == "mansio":
        return Mansio()
    if name == "floor":
        return Floor(messages)
    if name == "rooms":
        return empty_rooms(messages)
    if name == "cyrus":
        return Cyrus(folder)
    return Dovecot(name.removeprefix("dovecot-"), folder)
