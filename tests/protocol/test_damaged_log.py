"""The log of the last changes of a database is damaged while nobody runs: in its middle, where a start would lose what was
acknowledged behind it, or at its end, as a power cut leaves it. Whatever it is, a start makes it no worse."""

import json
import re
import shutil
import struct
import subprocess

import pytest

from harness.material import message
from harness.server import Server

SETTINGS = {"server": {"shards": 2, "restart_delay_max": "100ms"}}
MESSAGES = 40
PAGE = 4096
HEADER, FRAME = 32, 24 + PAGE
BLOCK = 4096  # that a disk cannot read


class Template:
    """A store whose processes were killed: an account in each shard, each delivery a transaction in the log of one of them."""

    def __init__(self, root):
        self.folder = root / "store"
        with Server(SETTINGS) as server:
            server.add_domain()
            accounts = [server.add_account() for _ in range(2)]
            shards = [server.cli_json("account", "show", one.address)["shard"] for one in accounts]
            self.account, self.other = [accounts[shards.index(shard)] for shard in (0, 1)]
            for n in range(MESSAGES):
                server.deliver(self.account, message(f"number {n}"))
            server.deliver(self.other, message("of another shard"))
            server.kill_everything()
            subprocess.run(["cp", "-a", server.directory, self.folder], check=True)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("damaged-log")
    yield Template(root)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def stopped(template):
    with Server.over_copy(template.folder, SETTINGS) as server:
        yield server


def shard(server):
    return server.directory / "shards" / "00"


def index_log(server):
    return shard(server) / "index.db-wal"


def transactions(log):
    """Of the last round: where each begins, and where the last one ends (https://sqlite.org/fileformat2.html#walformat)."""
    content, begins, at = log.read_bytes(), [HEADER], HEADER
    while content[at + 8:at + 16] == content[16:24]:
        size, = struct.unpack(">I", content[at + 4:at + 8])
        at += FRAME
        if size:
            begins.append(at)
    assert begins[-1] == at and len(begins) > 6
    return begins


def change(log, at, bytes_or_bit):
    content = bytearray(log.read_bytes())
    if isinstance(bytes_or_bit, int):
        content[at] ^= 1 << bytes_or_bit
    else:
        content[at:at + len(bytes_or_bit)] = bytes_or_bit
    log.write_bytes(content)


def damage(log, where):
    """In the middle, with acknowledged transactions behind it."""
    begins = transactions(log)
    middle = begins[len(begins) // 2]
    if where == "page":
        change(log, middle + 24 + 1000, 3)
    elif where == "first frame":
        change(log, HEADER + 24 + 2000, 0)
    elif where == "frame header":
        change(log, middle + 9, 5)
    elif where == "log header":
        change(log, 17, 2)
    else:
        change(log, (middle + BLOCK) // BLOCK * BLOCK, bytes(BLOCK))


def files(folder):
    """What a start may not take away. The end of a log is room that is given back."""
    return {path.name: path.read_bytes().rstrip(b"\0") for path in folder.rglob("*") if path.is_file()}


def count(server, account):
    with server.imap(account) as imap:
        return imap.status("INBOX", "MESSAGES")[b"MESSAGES"]


def start_and_wait_for(server, event):
    server.start(wait=False)
    line = server.wait_for(lambda: re.search(rf".*event={event} .*", server.log_text()), event).group(0)
    server.wait_for(lambda: server.status(counters_of=()), "the control socket")
    return line


def salvage(server):
    done = server.cli("store", "salvage", "0", "--json", check=False)
    one, = json.loads(done.stdout)
    return one["report"]


@pytest.mark.parametrize("where", ["page", "first frame", "frame header", "log header", "block"])
def test_a_start_on_a_broken_log_takes_nothing_away(stopped, template, where):
    damage(index_log(stopped), where)
    before = files(shard(stopped))
    line = start_and_wait_for(stopped, "store-not-opened")
    assert "index.db-wal" in line and "shards/00" in line and "mansio store salvage" in line
    stopped.wait_for(lambda: any(one["role"] == "shard" and one["index"] == 1 and one["ready"]
                                 for one in stopped.status(counters_of=())["processes"]), "the other shard")
    checked = stopped.cli("store", "check", check=False)
    assert checked.returncode == 5 and "shard 0 does not answer" in checked.stderr and "log" in checked.stderr
    stopped.kill_everything()
    assert files(shard(stopped)) == before
    assert salvage(stopped)["messages"] == MESSAGES
    stopped.start()
    assert count(stopped, template.account) == MESSAGES and count(stopped, template.other) == 1


def test_a_backup_of_a_stopped_store_tells_of_a_broken_log(stopped):
    damage(index_log(stopped), "page")
    before = files(shard(stopped))
    folder = stopped.root / "backup"
    for _ in range(2):
        done = stopped.cli("backup", folder, "--keep", "1", check=False)
        assert done.returncode == 1 and "shards/00/index.db" in done.stdout + done.stderr, done
    assert files(shard(stopped)) == before
    assert salvage(stopped)["messages"] == MESSAGES


def verified_and_restored(server, folder):
    """What both say of the newest backup, which is in an empty folder then."""
    told = []
    for arguments in ("backup", "verify", folder), ("restore", folder):
        if arguments[0] == "restore":
            shutil.rmtree(server.directory)
        done = server.cli(*arguments, "--json", check=False)
        assert done.returncode == 1, (arguments, done.stdout, done.stderr)
        told.append(json.loads(done.stdout))
    return told


def files_of_damage(told):
    return [one["file"].rsplit("/", 1)[-1] for one in told["damage"]]


@pytest.mark.parametrize("where", ["page", "first frame"])
def test_a_backup_of_a_broken_log_has_all_mail_and_says_that_it_needs_a_salvage(stopped, template, where):
    """The rows that SQLite can still read know less than the segments have."""
    damage(index_log(stopped), where)
    folder = stopped.root / "backup"
    assert stopped.cli("backup", folder, check=False).returncode == 1
    for told in verified_and_restored(stopped, folder):
        assert files_of_damage(told).count("00.db") == 1 and "01.db" not in files_of_damage(told)
    assert told["salvage"] == [0]
    assert salvage(stopped)["messages"] == MESSAGES
    stopped.start()
    assert count(stopped, template.account) == MESSAGES and count(stopped, template.other) == 1


@pytest.mark.parametrize("name", ["shards/00/index.db", "auth/directory.db"])
def test_a_backup_of_a_torn_end_says_so_and_removes_no_older_one(stopped, name):
    """A power cut leaves such an end, and so does damage to what was acknowledged last: an older backup may have it."""
    folder = stopped.root / "backup"
    stopped.cli("backup", folder)
    log = stopped.directory / (name + "-wal")
    change(log, transactions(log)[-2] + 24 + 500, 1)
    before = files(log.parent)
    told = stopped.cli("backup", folder, "--keep", "1")
    assert f"{name}-wal" in told.stderr and "no older backup was removed" in told.stderr
    made = json.loads(stopped.cli("backup", folder, "--keep", "1", "--json").stdout)
    assert f"{name}-wal" in made["warning"] and made["removed"] == 0
    assert files(log.parent)[log.name] == before[log.name]
    assert len(json.loads(stopped.cli("backup", "list", folder, "--json").stdout)) == 3


def test_so_it_has_where_the_server_runs_without_that_shard(stopped, template):
    damage(index_log(stopped), "page")
    start_and_wait_for(stopped, "store-not-opened")
    folder = stopped.root / "backup"
    assert stopped.cli("backup", folder, check=False).returncode == 1
    stopped.kill_everything()
    assert verified_and_restored(stopped, folder)[1]["salvage"] == [0]
    assert salvage(stopped)["messages"] == MESSAGES


def end_with_a_large_transaction(log):
    """Where it begins. What came behind it never was."""
    begins = transactions(log)
    size = max(after - at for at, after in zip(begins[-6:], begins[-5:]))
    last, end = [(at, after) for at, after in zip(begins, begins[1:]) if after - at == size][-1]
    assert size >= 3 * FRAME
    change(log, end, bytes(begins[-1] - end))
    return last, end


@pytest.mark.parametrize("how", ["a bit", "a sector", "the first frame", "the last header", "cut", "zeros"])
def test_a_store_with_a_torn_end_opens_and_keeps_its_segments(stopped, template, how):
    """As a power cut leaves it; or it is the last acknowledged transaction that was damaged: its bytes stay."""
    log = index_log(stopped)
    last, end = end_with_a_large_transaction(log)
    change(log, *{"a bit": (last + 24 + 99, 7), "a sector": (last + FRAME + 24 + 512, b"?" * 512),
                  "the first frame": (last, bytes(FRAME)), "the last header": (end - FRAME, bytes(24)),
                  "cut": (end - 100, b"?" * 100), "zeros": (last, bytes(end - last))}[how])
    segments = files(shard(stopped) / "body")
    stopped.start()
    told = stopped.log_text().count("event=log-torn")
    assert told == (how not in ("the last header", "zeros"))
    before = count(stopped, template.account)
    assert before >= MESSAGES - 6
    stopped.deliver(template.account, message("afterwards"))
    stopped.restart()
    assert stopped.log_text().count("event=log-torn") == told, "the round of the log is another"
    assert count(stopped, template.account) == before + 1
    stopped.stop()
    after = files(shard(stopped) / "body")
    if how != "zeros":  # to nobody that was ever there
        assert all(after[name].startswith(content) for name, content in segments.items())
    assert salvage(stopped)["messages"] >= before + 1
    stopped.start()
    assert count(stopped, template.account) >= before + 1


def test_a_commit_that_was_broken_off_is_nothing_to_speak_of(stopped, template):
    """As a kill leaves it."""
    log = index_log(stopped)
    log.write_bytes(log.read_bytes()[:end_with_a_large_transaction(log)[0] + FRAME])
    stopped.start()
    assert not re.search(r"level=(warning|error) role=shard", stopped.log_text())
    assert count(stopped, template.account) >= MESSAGES - 6


def test_what_salvage_reads_of_a_log_with_a_hole_is_doubted(stopped, template):
    """A block that cannot be read and begins where a frame begins leaves nothing of the frame's header."""
    begins = transactions(index_log(stopped))
    change(index_log(stopped), begins[-4], bytes(FRAME))
    report = salvage(stopped)
    assert report["index_damaged"] and report["messages"] == MESSAGES
    assert any("index.db-wal" in json.dumps(one) for one in report["damage"])
    stopped.start()
    assert count(stopped, template.account) == MESSAGES


def test_a_broken_log_of_the_directory_is_told_and_left_alone(stopped):
    log = stopped.directory / "auth" / "directory.db-wal"
    begins = transactions(log)
    change(log, begins[len(begins) // 2] + 24 + 500, 1)
    before = files(log.parent)
    line = start_and_wait_for(stopped, "directory-not-opened")
    assert "directory.db-wal" in line and "backup" in line
    stopped.kill_everything()
    refused = stopped.cli("account", "list", check=False)
    assert refused.returncode != 0 and "directory.db" in refused.stderr
    done = stopped.cli("backup", stopped.root / "backup", check=False)
    assert done.returncode == 1 and "auth/directory.db" in done.stdout + done.stderr, done
    assert files(log.parent) == before
    for told in verified_and_restored(stopped, stopped.root / "backup"):
        assert files_of_damage(told) == ["directory.db"]


def test_a_directory_with_a_torn_end_opens_and_says_so_once(stopped, template):
    log = stopped.directory / "auth" / "directory.db-wal"
    change(log, transactions(log)[-2] + 24 + 500, 1)
    stopped.start()
    assert len(re.findall(r"role=auth\S* .*event=log-torn", stopped.log_text())) == 1
    assert count(stopped, template.account) == MESSAGES
    stopped.add_account()
    stopped.restart()
    assert len(re.findall(r"role=auth\S* .*event=log-torn", stopped.log_text())) == 1
