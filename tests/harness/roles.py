"""One process of the server alone, with the test in the place of all others: supervisor, access, smtp, auth.

So the test can say to it what a process would that was taken over. The encodings are those of src/ipc/.
"""

import array
import hashlib
import hmac
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from . import server, wire

ROLES = ("supervisor", "access", "smtp", "auth", "authwork", "shard")
SETUP, LISTENER, PEER, KEYS, START, STOP, STATUS = 1, 2, 3, 4, 5, 6, 7
READY, CHILD_STATUS, PEER_LOST = 32, 33, 35
ACCOUNT_CREATE, ACCOUNT_FORGET_LOGIN = 0, 4
IMAP, POP3 = 0, 1          # protocols of a hand-over
RIGHT_IMAP, RIGHT_POP3 = 1, 2
OK, NO_ACCOUNT, NO_SPACE, QUOTA, REFUSED, UNAVAILABLE = range(6)
CONFIRMED, DOUBTFUL, LEFT = range(3)


def short(data):
    """A varint length, then the bytes."""
    n, out = len(data), b""
    while n >= 0x80:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n]) + data


def long(data):
    return struct.pack("<I", len(data)) + data


class Channel:
    """The other end of a channel of the process under test."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(wire.TIMEOUT)
        self.unread = b""

    def send_raw(self, data, descriptors=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        sent = self.sock.sendmsg([data], ancillary)
        if sent < len(data):
            self.sock.sendall(data[sent:])

    def send(self, kind, body, descriptor=None):
        head = struct.pack("<IHBB", len(body), kind, descriptor is not None, 0)
        self.send_raw(head + body, [] if descriptor is None else [descriptor])

    def _need(self, count):
        while len(self.unread) < count:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise wire.Closed(self.unread)
            self.unread += data

    def receive(self):
        """(type, body) of the next message."""
        self._need(8)
        length, kind, _, _ = struct.unpack("<IHBB", self.unread[:8])
        self._need(8 + length)
        body, self.unread = self.unread[8:8 + length], self.unread[8 + length:]
        return kind, body

    def closed(self):
        """Reads on until the process closes it."""
        try:
            while True:
                self.receive()
        except wire.Closed:
            return True
        except TimeoutError:
            return False


class Role:
    """A running process of a role: `with Role("shard") as shard`."""

    def __init__(self, role, settings=None, shards=1, wrapper=()):
        self.role = role
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="mansio-role-"))
        self.root.chmod(0o711)
        for name in ("auth", "spool", "shards/00"):
            (self.root / name).mkdir(parents=True)
        self.key = os.urandom(32)
        self.pairs = 0
        self.log = self.root / "log"
        self.peers = {}
        self.config = {"server": {"directory": self.root}, "login": {"password_memory": "8KB", "password_iterations": 1},
                       "store": {"reserve_free_space": "1MB"}}
        for section, values in (settings or {}).items():
            self.config.setdefault(section, {}).update(values)
        ours, theirs = socket.socketpair()
        self.control = Channel(ours)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*wrapper, server.binary(), "role", role, "0"], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, close_fds=False, preexec_fn=lambda: os.dup2(theirs.fileno(), 3))
        theirs.close()
        text = server.toml(self.config).encode()
        body = struct.pack("<BHHHBII", ROLES.index(role), 0, 1, shards, 0, 0, 0)
        body += short(b"mail.example.test") + short(str(self.root).encode()) + long(text) + short(b"mansio.toml")
        self.control.send(SETUP, body + self.key + bytes(32))

    def add_peer(self, role, index=0):
        """A new channel to a process that the test plays."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.pairs += 1
        self.control.send(PEER, struct.pack("<BHI", ROLES.index(role), index, self.pairs), theirs.fileno())
        theirs.close()
        self.peers[role] = Channel(ours)
        return self.peers[role]

    def start(self):
        self.control.send(START, b"")
        assert self.control.receive() == (READY, b"")

    def lost(self):
        """The pair that the process says it has lost."""
        while True:
            kind, body = self.control.receive()
            if kind == PEER_LOST:
                return struct.unpack("<BHI", body)

    def counters(self):
        self.control.send(STATUS, struct.pack("<Q", 1))
        while True:
            kind, body = self.control.receive()
            if kind == CHILD_STATUS:
                break
        found, at = {}, 8
        while at < len(body):
            n = body[at]
            key = body[at + 1:at + 1 + n].decode()
            found[key], = struct.unpack_from("<Q", body, at + 1 + n)
            at += 9 + n
        return found

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self):
        """What it has computed, however long it had to wait for a processor."""
        return server.cpu_seconds(self.process.pid)

    def log_text(self):
        return self.log.read_text(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                assert self.process.poll() is None, f"it ended with {self.process.returncode}\n{self.log_text()[-6000:]}"
                self.control.send(STOP, b"")
                self.process.wait(20)
                found = server.ALARM.search(self.log_text())
                assert not found, self.log_text()[-6000:]
                assert self.process.returncode == 0, self.log_text()[-6000:]
        finally:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()
            shutil.rmtree(self.root, ignore_errors=True)

    # ------------------------------------------------------------------ what others say to a shard

    def ticket(self, account, session, shard=0, rights=RIGHT_IMAP, lifetime=30, user=b"user@example.test", key=None,
               login=0):
        """login: 0 is the password of the account, others are app passwords."""
        fields = account + struct.pack("<HIQq", shard, rights, session, int(time.time()) + lifetime) + short(user)
        fields += struct.pack("<Q", login)
        if rights & RIGHT_POP3:
            fields += struct.pack("<BHBB", 0, 30, 0, 0) + short(b"INBOX")  # the policy of POP3: the default
        return fields + hmac.new(key or self.key, fields, hashlib.sha256).digest()

    def create_account(self, account):
        self.peers["auth"].send(1, account_order(7, ACCOUNT_CREATE, account))
        kind, body = self.peers["auth"].receive()
        assert (kind, struct.unpack_from("<Qi", body)) == (2, (7, 0))


def account_order(request, kind, account, messages=-1, size=-1, login=0):
    """Limits: -1 is the server's default."""
    return struct.pack("<QB", request, kind) + account + struct.pack("<qqQ", messages, size, login)


def account_order_reply(request, result):
    return struct.pack("<QiQQQQ", request, result, 0, 0, 0, 0) + short(b"")


def handover(session, ticket, protocol=IMAP, tag=b"a1", unread=b""):
    return (struct.pack("<QBB", session, protocol, 0) + short(ticket) + short(tag) + short(b"192.0.2.1") + short(b"") +
            short(b"") + long(unread))


def delivery(request, accounts, body, length=None, inline=True, key=None):
    out = struct.pack("<QQ", request, 1) + short(b"sender@example.net") + struct.pack("<I", len(accounts))
    for account in accounts:
        out += account + (key or os.urandom(16))
    out += struct.pack("<Q", len(body) if length is None else length) + long(b"")
    return out + (body if inline else b"")


def ends(*ends):
    """What became of the answers to (request, outcome)."""
    return struct.pack("<I", len(ends)) + b"".join(struct.pack("<QIB", request, 0xFFFFFFFF, outcome)
                                                   for request, outcome in ends)
