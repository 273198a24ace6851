"""Backup, restore, export and import onto a failing disk: each call of a kind fails in turn. The command says so and
ends with a status that is not 0, and the same command again does the work, whole."""

import contextlib
import mailbox
import shutil
import sqlite3

import pytest

from harness.material import message
from harness.server import Server

from orders import Orders, is_usable

pytestmark = [pytest.mark.plain, pytest.mark.skipif(not is_usable(), reason="the server is not from a build folder")]

MESSAGES = 4
FAULTS = [("write", "ENOSPC"), ("fsync", "EIO"), ("rename", "EIO")]


class Place:
    """A server that runs, a store that is to be restored, and orders for the commands."""

    def __init__(self, folder):
        self.folder = folder
        self.orders = Orders(folder)
        self.server = Server({"server": {"shards": 1}}, environment=self.orders.environment())
        self.other = Server({"server": {"shards": 1}}, environment=self.orders.environment())

    def fill(self):
        self.server.start()
        self.server.add_domain()
        self.account = self.server.add_account()
        with self.server.imap(self.account) as imap:
            for number in range(MESSAGES):
                imap.append("INBOX" if number else "Archive", message(subject=f"number {number}", body="x\r\n" * 5000))
        self.server.cli("backup", self.folder / "good")
        self.server.cli("export", self.account.address, "--to", self.folder / "exported", "--format", "maildir")

    def count(self, account):
        with self.server.imap(account) as imap:
            return sum(map(len, imap.contents().values()))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("failing")
    folder.chmod(0o711)
    one = Place(folder)
    one.orders.path.chmod(0o666)
    try:
        one.fill()
        yield one
    finally:
        one.server.close()
        one.other.close()


class Backup:
    def __init__(self, place):
        self.place = place

    def prepare(self):
        shutil.rmtree(self.place.folder / "backup", ignore_errors=True)

    def run(self):
        return self.place.server.cli("backup", self.place.folder / "backup", check=False)

    def verify(self):
        self.place.server.cli("backup", "verify", self.place.folder / "backup")


class Restore(Backup):
    def prepare(self):
        shutil.rmtree(self.place.other.directory, ignore_errors=True)

    def run(self):
        return self.place.other.cli("restore", self.place.folder / "good", check=False)

    def verify(self):
        store = self.place.other.directory
        with contextlib.closing(sqlite3.connect(store / "shards" / "00" / "index.db")) as index:
            assert index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert index.execute("SELECT sum(messages) FROM account").fetchone() == (MESSAGES,)
            for number, end in index.execute("SELECT number, end FROM segment"):
                assert (store / "shards" / "00" / "body" / f"{number:06}.seg").stat().st_size >= end


class Export(Backup):
    form = "maildir"

    def prepare(self):
        shutil.rmtree(self.place.folder / "out", ignore_errors=True)

    def run(self):
        place = self.place
        return place.server.cli("export", place.account.address, "--to", place.folder / "out", "--format", self.form,
                                check=False)

    def verify(self):
        found = mailbox.Maildir(self.place.folder / "out", create=False)
        folders = [found, *(found.get_folder(name) for name in found.list_folders())]
        assert sum(map(len, folders)) == MESSAGES


class ExportMbox(Export):
    form = "mbox"

    def verify(self):
        files = [path for path in (self.place.folder / "out").rglob("*") if path.is_file() and path.stat().st_size
                 and path.read_bytes().startswith(b"From ")]
        assert sum(len(mailbox.mbox(path, create=False)) for path in files) == MESSAGES


class Import(Backup):
    def prepare(self):
        self.account = self.place.server.add_account()
        self.state = self.place.folder / f"state of {self.account.address}"

    def run(self):
        return self.place.server.cli("import", self.account.address, self.place.folder / "exported", "--state",
                                     self.state, check=False)

    def verify(self):
        assert self.place.count(self.account) == MESSAGES


@pytest.mark.parametrize("command, kind, fault", [
    *((command, *fault) for command in (Backup, Restore, Export, ExportMbox, Import) for fault in FAULTS),
    *((command, "mkdir", "ENOSPC") for command in (Backup, Restore, ExportMbox)),
    *((command, "ftruncate", "EIO") for command in (Export, ExportMbox))])
def test_a_command_that_fails_says_so_and_can_be_repeated(place, command, kind, fault):
    one = command(place)
    for number in range(1, 1000):
        one.prepare()
        place.orders.give("command", 0, kind, fault, number)
        done = one.run()
        place.orders.cancel("command", 0, kind)
        hits = place.orders.hits("command", 0, kind)
        if not hits:
            assert done.returncode == 0, done.stderr
            break
        where = f"call {number}: exit {done.returncode}, {done.stdout}{done.stderr}"
        assert done.returncode > 0 and done.stderr.startswith("mansio: "), where
        again = one.run()
        assert again.returncode == 0, f"{where}\nand then: {again.stdout}{again.stderr}"
        one.verify()
    assert number > 1, "there was no such call"
