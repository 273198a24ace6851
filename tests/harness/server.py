"""A Mansio of its own for a test: in a temporary folder, on loopback ports that the kernel chooses.

stop() also checks what every test expects without saying so: a clean exit, no report of a sanitizer, no failed
assertion, no process left behind.
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import types

from . import wire

PROJECT = pathlib.Path(__file__).resolve().parents[2]
DOMAIN = "example.test"
PASSWORD = "correct horse battery"
START_SECONDS = 30
STOP_SECONDS = 30
KILL_SECONDS = 20  # for processes to be gone that were killed, or whose supervisor is
PATIENCE_SECONDS = 60  # only what hangs takes longer

# What must never stand in a log.
ALARM = re.compile(r"ERROR: \w*Sanitizer|SUMMARY: \w*Sanitizer|runtime error:|Assertion .* failed|stack smashing|"
                   r"double free|corrupted size")

# What status and metrics say of a process that did not answer them in time; metrics also of one that does not run.
SILENT = re.compile(r'^(?:  |mansio_process_up\{process=")(\w+\.\d+)(?: runs, but has not answered|"\} 0$)', re.MULTILINE)

# Cheap password hashes, no waiting, passwords without TLS: what a test does not say otherwise.
DEFAULTS = {
    "server": {"hostname": "mail.example.test", "shards": 2},
    "listen": {name: ["127.0.0.1:0"] for name in ("imap", "imaps", "pop3", "pop3s", "smtp", "lmtp", "submission",
                                                  "submissions")},
    "login": {"allow_plain_without_tls": "loopback", "failure_delay": "1ms", "password_memory": "8KB",
              "password_iterations": 1, "max_connections_per_address": 1000},
    "smtp": {"max_connections_per_address": 1000},
    # a test machine may be short of space; the test of a full disk sets its own
    "store": {"reserve_free_space": "1MB"},
}

_numbers = itertools.count(1)


def binary():
    """The mansio to test: MANSIO_BIN, else what `make build` made."""
    path = pathlib.Path(os.environ.get("MANSIO_BIN", "build/src/proc/mansio"))
    return path if path.is_absolute() else PROJECT / path


def is_sanitized():
    return b"__asan_init" in binary().read_bytes()


def _toml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, (str, pathlib.PurePath)):
        return json.dumps(str(value))
    return str(value)


def toml(settings):
    """{"section": {"name": value}} as a TOML text."""
    return "\n".join(f"[{section}]\n" + "".join(f"{name} = {_toml_value(value)}\n" for name, value in values.items())
                     for section, values in settings.items())


def make_certificate(folder, name="localhost"):
    """A fresh self-made ECDSA certificate for localhost and 127.0.0.1 in `folder`."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
                    "-days", "30", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
                   check=True, capture_output=True)


def date_certificate(folder, begin, end):
    """Gives the certificate of make_certificate other dates, which are datetimes in UTC."""
    (folder / "ca.db").write_text("")
    (folder / "ca.conf").write_text(f"[ca]\ndefault_ca = own\n[own]\ndatabase = {folder}/ca.db\nnew_certs_dir = {folder}\n"
                                    "rand_serial = 1\ndefault_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n")
    subprocess.run(["openssl", "ca", "-batch", "-config", folder / "ca.conf", "-cert", folder / "certificate.pem",
                    "-keyfile", folder / "key.pem", "-ss_cert", folder / "certificate.pem", "-notext",
                    "-startdate", f"{begin:%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}",
                    "-out", folder / "dated.pem"], check=True, capture_output=True)
    (folder / "dated.pem").rename(folder / "certificate.pem")


class Account(types.SimpleNamespace):
    """address and password."""


class Server:
    def __init__(self, settings=None, environment=None, wrapper=()):
        """settings: {"section": {"name": value}} over DEFAULTS. wrapper: a command that starts the server (strace)."""
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="mansio-test-"))
        # started as root, the roles are other users and must get through
        self.root.chmod(0o711)
        self.config = self.root / "mansio.toml"
        self.log = self.root / "log"
        self.directory = self.root / "store"
        self.certificate = self.root / "certificate.pem"
        self.lmtp_socket = self.root / "lmtp.sock"
        self.wrapper = list(wrapper)
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        self.ports = {}
        self.sessions = set()
        make_certificate(self.root)
        self.settings = {section: dict(values) for section, values in DEFAULTS.items()}
        self.settings["server"]["directory"] = self.directory
        self.settings["tls"] = {"certificate": self.certificate, "key": self.root / "key.pem"}
        self.settings["listen"]["lmtp_socket"] = self.lmtp_socket
        for section, values in (settings or {}).items():
            self.settings.setdefault(section, {}).update(values)
        self.write_config()

    @classmethod
    @contextlib.contextmanager
    def over_copy(cls, store, settings=None):
        """A server that does not run yet, over a copy of a store."""
        one = cls(settings)
        try:
            subprocess.run(["cp", "-a", store, one.directory], check=True)
            yield one
        finally:
            one.close()

    def write_config(self):
        self.config.write_text(toml(self.settings))

    # ------------------------------------------------------------------ life

    def start(self, wait=True):
        """Starts it; with wait=False the caller calls wait_ready(), or kills it before."""
        self.ports = {}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self.wrapper, binary(), "serve", "-c", self.config],
                                            stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=self.environment, start_new_session=True)
        self.sessions.add(self.process.pid)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=START_SECONDS):
        """Until every process is there and every listener answers."""
        deadline = time.monotonic() + seconds
        while True:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode} at its start\n{self.log_tail()}")
            status = self.status(counters_of=())
            if status and all(one["ready"] for one in status["processes"]):
                self.ports = {one["service"]: one["port"] for one in status["listeners"] if one.get("port")}
                if self._all_answer():
                    return
            if time.monotonic() > deadline:
                raise AssertionError(f"the server is not ready after {seconds} s: {status}\n{self.log_tail()}")
            time.sleep(0.02)

    def _all_answer(self):
        for service in ("imap", "pop3"):
            if service in self.ports:
                try:
                    self.connect(service, timeout=5).close()
                except (OSError, wire.Closed):
                    return False
        return True

    def stop(self, expect=0):
        """SIGTERM, then the checks. expect: the exit status, or None for any."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            self._supervisor_kill(process, signal.SIGTERM)
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill_everything()
            process.wait()
            raise AssertionError(f"the server does not stop\n{self.log_tail()}") from None
        self.assert_nothing_left()
        self.assert_log_is_clean()
        if expect is not None:
            assert status == expect, f"exit status {status}\n{self.log_tail()}"

    def _supervisor_kill(self, process, number):
        if not self.wrapper:
            process.send_signal(number)
            return
        # the wrapper (strace) is the parent of the supervisor
        for pid in self._pids():
            if pid != process.pid and _parent(pid) == process.pid:
                os.kill(pid, number)

    def restart(self):
        self.stop()
        return self.start()

    def kill_everything(self):
        """kill -9 of every process of this server, as a power cut would; start() may follow."""
        self.ports = {}
        deadline = time.monotonic() + KILL_SECONDS
        while pids := self._pids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process is not None:
                self.process.poll()
            # who hangs in the kernel still holds the store, and the next start would fail for that
            assert time.monotonic() < deadline, f"{pids} cannot be killed\n{self.log_tail()}"
            time.sleep(0.01)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def close(self):
        """stop() and remove the folder; whatever stop() finds, nothing stays behind."""
        try:
            self.stop()
        finally:
            self._remove()

    def _remove(self):
        try:
            self.kill_everything()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.close()
        else:
            self._remove()

    # ------------------------------------------------------------------ processes

    def _pids(self):
        """Every living process that this server's starts brought into the world (by session, /proc/PID/stat)."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = _stat(int(entry))
                if fields and int(fields[3]) in self.sessions and fields[0] != "Z":
                    found.append(int(entry))
        return found

    def assert_nothing_left(self, seconds=KILL_SECONDS):
        deadline = time.monotonic() + seconds
        while self._pids():
            if time.monotonic() > deadline:
                left = self._pids()
                self.kill_everything()
                raise AssertionError(f"processes left behind: {left}\n{self.log_tail()}")
            time.sleep(0.02)

    def processes(self, role):
        """{index: pid} of a role."""
        return {one["index"]: one["pid"] for one in self.status(counters_of=())["processes"] if one["role"] == role}

    def role_pids(self, role):
        """The living processes of a role, whatever the server says of them."""
        name = f"\0role\0{role}\0".encode()
        return [pid for pid in self._pids() if name in _command_line(pid)]

    def kill_role(self, role, index=0, number=signal.SIGKILL):
        """Kills one process and waits until another one serves in its place; gives the pids of both."""
        # 0 while it is down, which kill(2) would take for ourselves
        before = self.wait_for(lambda: self.processes(role)[index], f"{role} {index}")
        os.kill(before, number)
        after = self.wait_for(lambda: (pid := self.processes(role).get(index)) and pid != before and pid,
                              f"a new {role} {index}")
        self.wait_ready()
        return before, after

    def wait_for(self, condition, what, seconds=PATIENCE_SECONDS):
        """The first true result of condition()."""
        deadline = time.monotonic() + seconds
        while True:
            result = condition()
            if result:
                return result
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s for {what}\n{self.log_tail()}")
            time.sleep(0.02)

    # ------------------------------------------------------------------ log

    def new_log(self):
        """A function that gives what was written to the log since its last call (the first time: all)."""
        offset = 0

        def read():
            nonlocal offset
            with open(self.log, encoding="utf-8", errors="replace") as log:
                log.seek(offset)
                text = log.read()
                offset = log.tell()
            return text

        return read

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines=60):
        return "--- end of the log\n" + "\n".join(self.log_text().splitlines()[-lines:])

    def assert_log_is_clean(self):
        found = ALARM.search(self.log_text())
        if found:
            start = max(0, found.start() - 500)
            raise AssertionError("the log has an alarm:\n" + self.log_text()[start:start + 6000])

    # ------------------------------------------------------------------ command line

    def cli(self, *arguments, input=None, check=True, timeout=60):
        """`mansio ARGUMENTS -c CONFIG`. With check an exit status other than 0 fails the test."""
        done = subprocess.run([binary(), *map(str, arguments), "-c", self.config], input=input, text=True,
                              stdin=subprocess.DEVNULL if input is None else None, capture_output=True, timeout=timeout,
                              env=self.environment, start_new_session=True, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"mansio {' '.join(map(str, arguments))}: exit {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}\n{self.log_tail()}")
        return done

    def cli_json(self, *arguments):
        return json.loads(self.cli(*arguments, "--json").stdout)

    def status(self, counters_of=None):
        """`mansio status --json`, or None where the server does not answer. The server waits a second for its processes and
        leaves out the counters of one that is silent: it is asked again until all of these roles have answered (None: all
        processes that are ready)."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            done = self.cli("status", "--json", check=False)
            if done.returncode != 0:
                return None
            status = json.loads(done.stdout)
            wanted = [one for one in status["processes"] if one["role"] in counters_of] if counters_of is not None else [
                one for one in status["processes"] if one["ready"]]
            silent = [one["role"] for one in wanted if not one["answered"]]
            if not silent:
                return status
            assert time.monotonic() < deadline, f"{silent} do not answer\n{self.log_tail()}"

    def sum_of(self, counter, role=None):
        """A number of `mansio status`, of all processes that have it, or of one role's, which all must have it."""
        status = self.status(role and (role,))
        assert status, f"the server does not answer\n{self.log_tail()}"
        if role is not None:
            return sum(one[counter] for one in status["processes"] if one["role"] == role)
        found = [one[counter] for one in status["processes"] if counter in one]
        assert found, f"nobody counts {counter}"
        return sum(found)

    def wait_told(self, command, silent=()):
        """The text of `mansio status` or `mansio metrics` that all processes have answered, but for those that are `silent`."""
        def told():
            text = self.cli(command).stdout
            return set(SILENT.findall(text)) == set(silent) and text

        return self.wait_for(told, f"all processes to answer {command}")

    @contextlib.contextmanager
    def password_file(self, password=PASSWORD):
        path = self.root / f"password-{next(_numbers)}"
        path.touch(mode=0o600)
        path.write_text(password + "\n")
        try:
            yield path
        finally:
            path.unlink()

    def add_domain(self, name=DOMAIN):
        self.cli("domain", "add", name)

    def add_account(self, name=None, password=PASSWORD, domain=DOMAIN):
        """A new account (with a name of its own where none is given)."""
        address = f"{name or f'user{next(_numbers)}'}@{domain}"
        with self.password_file(password) as path:
            self.cli("account", "add", address, "--password-file", path)
        return Account(address=address, password=password)

    # ------------------------------------------------------------------ clients

    def connect(self, service, timeout=wire.TIMEOUT, source=None):
        """A bare connection to a service; TLS ones are wrapped."""
        port = self.ports.get(service)
        if port is None:  # the next start draws others, and these may be another service's then
            raise ConnectionRefusedError(f"{service} is down")
        line = wire.Line.open("127.0.0.1", port, timeout, source)
        if service in ("imaps", "pop3s", "submissions"):
            line.start_tls(self.certificate)
        return line

    def imap(self, account=None, service="imap"):
        """An IMAP client that has read the greeting, and is logged in where an account is given."""
        client = wire.Imap(self.connect(service))
        if account is not None:
            client.login(account)
        return client

    def pop3(self, account=None, service="pop3"):
        client = wire.Pop3(self.connect(service))
        if account is not None:
            client.login(account)
        return client

    def smtp(self, hello=True):
        client = wire.Smtp(self.connect("smtp"))
        if hello:
            client.expect(250, "EHLO client.example.net")
        return client

    def submission(self, account=None, service="submissions"):
        """An SMTP client at a port for submission: greeted, with TLS, and logged in where an account is given."""
        client = wire.Smtp(self.connect(service))
        client.expect(250, "EHLO client.example.net")
        if service == "submission":
            client.start_tls(self.certificate)
            client.expect(250, "EHLO client.example.net")
        if account is not None:
            client.login(account)
        return client

    def lmtp(self, over_socket=False):
        line = wire.Line.open_unix(self.lmtp_socket) if over_socket else self.connect("lmtp")
        client = wire.Smtp(line)
        client.expect(250, "LHLO client.example.net")
        return client

    def deliver(self, account, message, sender="sender@example.net"):
        """One message by LMTP, acknowledged when this returns."""
        with self.lmtp() as client:
            client.send_message(sender, [account.address], message)


def _stat(pid):
    """Fields of /proc/PID/stat from the state on: state, parent, process group, session, ..."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def cpu_seconds(pid):
    """User and system time of a process with all its threads."""
    user, system = _stat(pid)[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def sleeps(pid):
    """Whether a process waits for something to happen, and has nothing to do until then."""
    fields = _stat(pid)
    return fields is not None and fields[0] == "S"


def _command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _parent(pid):
    fields = _stat(pid)
    return int(fields[1]) if fields else 0
