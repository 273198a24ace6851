"""What each process may do, seen from outside: its user, its filter, its descriptors."""

import base64
import ctypes
import errno
import os
import pathlib
import pwd
import signal

import pytest

from harness import wire
from harness.material import message

pytestmark = pytest.mark.plain

OWNERS = ("shard", "auth", "authwork")
STRANGERS = ("access", "smtp")
ROLES = OWNERS + STRANGERS


def facts(pid):
    """The lines of /proc/PID/status."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def pids(server, role):
    return list(server.processes(role).values())


@pytest.mark.parametrize("role", ROLES)
def test_system_calls_are_filtered(server, role):
    for pid in pids(server, role):
        assert facts(pid)["Seccomp"].strip() == "2"
        assert facts(pid)["NoNewPrivs"].strip() == "1"


@pytest.mark.parametrize("role", ROLES)
def test_memory_cannot_be_dumped(server, role):
    """A process that may not be dumped shows root's /proc entry whoever runs it. proc(5)"""
    for pid in pids(server, role):
        assert os.stat(f"/proc/{pid}/maps").st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="users are changed only when started as root")
def test_users_are_two_and_not_root(server):
    def uid_of(name, fallback):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            return fallback

    for roles, uid in ((OWNERS, uid_of("mansio", 59025)), (STRANGERS, uid_of("mansio-net", 59026))):
        for role in roles:
            for pid in pids(server, role):
                assert set(facts(pid)["Uid"].split()) == {str(uid)}, role
                assert "0" not in facts(pid)["Gid"].split() + facts(pid)["Groups"].split(), role
                assert int(facts(pid)["CapEff"], 16) == 0 and int(facts(pid)["CapPrm"], 16) == 0


@pytest.mark.parametrize("role", STRANGERS)
def test_who_talks_to_strangers_holds_no_file_of_the_store(server, account, role):
    with server.imap(account) as imap:
        imap.select()
        for pid in pids(server, role):
            opened = [os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
            inside = {path for path in opened if path.startswith(str(server.directory))}
            # smtp's own folder, for what is too large to keep in memory
            assert inside <= {str(server.directory / "spool")}, opened


def test_the_store_is_private(server, account):
    """Each file with mail or passwords is closed to others, or lies in a folder that is."""
    server.deliver(account, message())
    for folder, _, names in os.walk(server.directory):
        is_open = os.stat(folder).st_mode & 0o044
        for name in names:
            path = pathlib.Path(folder) / name
            assert path.is_socket() or not (is_open and path.stat().st_mode & 0o077), path


def test_off_is_said_in_the_log(fresh_server):
    server = fresh_server(environment={"MANSIO_SANDBOX": "off"})
    assert "sandbox" in server.log_text()
    for role in ROLES:
        for pid in pids(server, role):
            assert facts(pid)["Seccomp"].strip() == "0"


@pytest.mark.parametrize("role", ("access", "authwork"))
def test_who_needs_no_file_has_none_open(server, role):
    """Its log, and what the kernel keeps for it (sockets, events), is all."""
    for pid in pids(server, role):
        for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(entry)
            assert int(entry.name) < 3 or target.startswith(("socket:", "anon_inode:", "pipe:")), (entry.name, target)


def test_nothing_of_the_parent_of_the_server_reaches_its_processes(fresh_server):
    """What a shell or a service manager left open is closed before a role begins."""
    server = fresh_server(wrapper=["/bin/sh", "-c", 'exec 9</etc/passwd; "$0" "$@"'])
    for role in ROLES:
        for pid in pids(server, role):
            opened = [os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
            assert "/etc/passwd" not in opened, role


# ---------------------------------------------------------------------- what happens to a forbidden call

REGISTERS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs "
             "gs").split()
PEEK, POKE, SINGLE_STEP, GET_REGISTERS, SET_REGISTERS, ATTACH, DETACH = 2, 5, 9, 12, 13, 16, 17
OPENAT, SOCKET, EXECVE, FORK, KILL = 257, 41, 59, 57, 62


class Puppet:
    """A process that waits in a system call, made to do another one. ptrace(2), x86-64"""

    def __init__(self, pid):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.libc.ptrace.restype = ctypes.c_long
        self.pid = pid
        if self.libc.ptrace(ATTACH, pid, None, None) != 0:
            pytest.skip("no ptrace here")
        os.waitpid(pid, 0)

    def call(self, number, *arguments, text=b"/etc/hostname\0\0\0"):
        """The result, or the signal that killed it as "SIGSYS". An argument "text" is the address of the text."""
        registers = (ctypes.c_uint64 * len(REGISTERS))()
        self.libc.ptrace(GET_REGISTERS, self.pid, None, ctypes.addressof(registers))
        before = bytes(registers)
        values = dict(zip(REGISTERS, registers))
        room = (values["rsp"] - 4096) & ~15
        for at in range(0, len(text), 8):
            self.libc.ptrace(POKE, self.pid, room + at, int.from_bytes(text[at:at + 8].ljust(8, b"\0"), "little"))
        values |= {"rax": number, "orig_rax": 2 ** 64 - 1, "rip": values["rip"] - 2}  # the syscall instruction it waits in
        values |= dict(zip(("rdi", "rsi", "rdx"), (room if one == "text" else one % 2 ** 64 for one in arguments)))
        for i, name in enumerate(REGISTERS):
            registers[i] = values[name]
        self.libc.ptrace(SET_REGISTERS, self.pid, None, ctypes.addressof(registers))
        self.libc.ptrace(SINGLE_STEP, self.pid, None, None)
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            return signal.Signals(os.WTERMSIG(status)).name
        self.libc.ptrace(GET_REGISTERS, self.pid, None, ctypes.addressof(registers))
        result = ctypes.c_int64(registers[REGISTERS.index("rax")]).value
        ctypes.memmove(registers, before, len(before))
        self.libc.ptrace(SET_REGISTERS, self.pid, None, ctypes.addressof(registers))
        self.libc.ptrace(DETACH, self.pid, None, None)
        return result


@pytest.mark.skipif(os.geteuid() != 0 or os.uname().machine != "x86_64", reason="needs ptrace as root on x86-64")
@pytest.mark.parametrize("role", ROLES)
def test_a_forbidden_call_does_not_work(server, role):
    """Whoever takes a process over finds no way to other files, to the network, or to another program."""
    confined = "landlock-missing" not in server.log_text()
    pid = pids(server, role)[0]
    assert Puppet(pid).call(39) == pid, "getpid: the puppet works"
    opened = Puppet(pid).call(OPENAT, -100, "text", os.O_RDONLY)
    if role in ("access", "authwork"):
        assert opened == "SIGSYS"
    elif confined:
        assert opened == -errno.EACCES
    for number, arguments in ((SOCKET, (2, 1, 0)), (EXECVE, ("text", 0, 0)), (FORK, ()), (KILL, (1, 0))):
        server.wait_ready()
        assert Puppet(pids(server, role)[0]).call(number, *arguments) == "SIGSYS", number
    server.wait_ready()


# ---------------------------------------------------------------------- secrets

def test_no_password_stands_in_the_log(fresh_server):
    server = fresh_server({"server": {"log_level": "debug"}})
    account = server.add_account(password="Geheim-4711")
    plain = base64.b64encode(f"\0{account.address}\0{account.password}".encode())
    with server.imap(account):
        pass
    with server.imap() as imap:
        imap.no("LOGIN ", wire.Literal(account.address.encode()), " ", wire.Literal(b"Geheim-4712"))
        imap.bad("LOGIN Geheim-4711 Geheim-4711 Geheim-4711")
        imap.ok("AUTHENTICATE PLAIN ", plain)
    with server.pop3(account):
        pass
    with server.pop3() as pop3:
        pop3.ok(f"USER {account.address}")
        pop3.error("PASS Geheim-4712")
        pop3.ok(b"AUTH PLAIN " + plain)
    server.cli("account", "password", account.address, "--password-file", "-", input="Geheim-4713\n", check=False)
    server.stop()
    text = server.log_text()
    assert "Geheim" not in text and plain.decode() not in text
