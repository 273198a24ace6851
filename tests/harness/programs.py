"""Real mail programs as a test drives them: a home folder that is theirs alone, a terminal where they want one, and
what they leave in Maildirs in a form that compares with what the server holds (wire.Imap.contents)."""

import collections
import fcntl
import os
import pathlib
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time

import pytest

from . import material

SECONDS = 180  # only a program that hangs takes longer
LINES, COLUMNS = 40, 132
LETTERS = {b"\\Seen": "S", b"\\Answered": "R", b"\\Flagged": "F", b"\\Deleted": "T", b"\\Draft": "D"}

# A message as both sides have it: bytes with CRLF, and flags as the letters of Maildir.
Mail = collections.namedtuple("Mail", "body flags")


def need(*programs):
    """Skips the test where a program is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (scripts/install-dependencies test)")


class Home:
    """The home folder of a program, whose environment names no other."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = {"HOME": str(self.folder), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "USER": "user",
                            "LOGNAME": "user", "TERM": "vt100", "TMPDIR": str(self.folder)}

    def write(self, name, text, mode=0o600):
        """A file below the home folder, for its owner alone: many programs refuse others that hold a password."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    def finish(self, *command, input=b""):
        """Runs a program to its end, whatever that is."""
        return subprocess.run([str(word) for word in command], input=input, capture_output=True, timeout=SECONDS,
                              cwd=self.folder, env=self.environment, check=False)

    def run(self, *command, input=b"", expect=(0,)):
        """Runs a program to its end and gives its standard output; another exit status fails the test."""
        done = self.finish(*command, input=input)
        assert done.returncode in expect, (f"{command}: exit {done.returncode}\n{done.stdout.decode(errors='replace')}"
                                           f"{done.stderr.decode(errors='replace')}")
        return done.stdout

    def terminal(self, *command):
        return Terminal([str(word) for word in command], self)


class Terminal:
    """A program at a terminal, given its keys when it starts; as context manager it ends the program."""

    def __init__(self, command, home):
        self.command = command
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=home.folder,
                                        env=home.environment, start_new_session=True)
        os.close(slave)
        self.master = master
        self.printed = ""

    def _read(self, deadline):
        """What came, or "" when the program has closed its terminal."""
        ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"{self.command}: nothing within {SECONDS} s after\n{self.printed[-4000:]}"
        try:
            data = os.read(self.master, 65536)
        except OSError:  # Linux's EIO: no process has the other side open
            data = b""
        return data.decode(errors="replace")

    def wait_for(self, pattern):
        """Until the pattern stands in what was printed since the last wait."""
        deadline = time.monotonic() + SECONDS
        while (found := re.search(pattern, self.printed)) is None:
            more = self._read(deadline)
            assert more, f"{self.command} ended before it printed {pattern!r}\n{self.printed[-4000:]}"
            self.printed += more
        self.printed = self.printed[found.end():]
        return found

    def wait(self):
        """Until the program ends by itself, with exit status 0."""
        deadline = time.monotonic() + SECONDS
        while more := self._read(deadline):
            self.printed += more
        status = self.process.wait(SECONDS)
        assert status == 0, f"{self.command}: exit {status}\n{self.printed[-4000:]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


# ---------------------------------------------------------------------- what both sides hold

def maildir(folder):
    """[Mail] of one Maildir, sorted."""
    found = []
    for part in ("cur", "new"):
        for path in (pathlib.Path(folder) / part).iterdir():
            flags = path.name.partition(":2,")[2]
            found.append(Mail(material.with_crlf(path.read_bytes()), "".join(sorted(flags))))
    return sorted(found)


def maildirs(root):
    """{name: [Mail]} of every Maildir below a folder, named by their paths."""
    root = pathlib.Path(root)
    return {cur.parent.relative_to(root).as_posix(): maildir(cur.parent) for cur in root.rglob("cur")
            if (cur.parent / "new").is_dir()}


def far_side(server, account):
    """{mailbox: [Mail]} of an account, sorted, as the server's own IMAP tells it."""
    with server.imap(account) as imap:
        return {name.decode(): sorted(Mail(one.body, _letters(one.flags)) for one in mails)
                for name, mails in imap.contents().items()}


def _letters(flags):
    return "".join(sorted(LETTERS[flag] for flag in flags & LETTERS.keys()))


def bodies(mails):
    return [one.body for one in mails]
