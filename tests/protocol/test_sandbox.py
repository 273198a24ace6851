"""What each process may do, seen from outside: its user, its filter, its descriptors."""

import os
import pathlib
import pwd

import pytest

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
