"""A disk that loses power: from the journal of what a server did (journal.c), what may be there afterwards.

What a sync covered is there. Of the rest, each write, change of size and change of a folder is there or not; of a write
perhaps only some sectors. A file that was made, removed or renamed is in its folder for sure only when the folder was
synced after it, however often the file itself was. Nothing here promises an order, because disks do not.
"""

import enum
import os
import pathlib
import shutil
import struct
import typing

# As in journal.c.
RECORD = struct.Struct("=IIQQQ")
MAGIC = 0x4c4e524a
WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, CREATE, MAKE_FOLDER, UNLINK, RENAME, HOLE, UNKNOWN = range(1, 11)
SECTOR = 512


class Fate(enum.Enum):
    """Of what was not synced."""
    LOST = "lost"
    KEPT = "kept"
    SOME = "some calls"
    TORN = "some sectors"


class Node:
    """A file or a folder: what is durable, and what came since, in order, each with the number of its record."""

    def __init__(self, status):
        self.owner = (status.st_uid, status.st_gid, status.st_mode & 0o7777) if status else None
        self.pending = []

    def add(self, number, *change):
        self.pending.append((number, change))

    def synced(self, number):
        """All that came before this record is durable."""
        while self.pending and self.pending[0][0] < number:
            self.apply(*self.pending.pop(0)[1])

    def lose_power(self, fate, luck):
        """Gives how many of its changes did not get to the disk whole."""
        lost = 0
        for _, change in self.pending:
            if fate is Fate.KEPT or fate is Fate.SOME and luck.random() < 0.5:
                self.apply(*change)
            elif fate is Fate.TORN:
                lost += self.tear(luck, *change)
            else:
                lost += 1
        self.pending.clear()
        return lost

    def tear(self, luck, *change):
        if luck.random() < 0.5:
            self.apply(*change)
            return 0
        return 1


class Hole(typing.NamedTuple):
    """So many zeros, as far as the file goes."""
    size: int


class File(Node):
    def __init__(self, data, status=None):
        super().__init__(status)
        self.data = bytearray(data)

    def apply(self, at, data):
        """data: None where the file is given the size `at`."""
        if isinstance(data, Hole):
            data = bytes(max(0, min(data.size, len(self.data) - at)))
            self.data[at:at + len(data)] = data
            return
        if data is None:
            del self.data[at:]
        self.data.extend(bytes(max(0, at - len(self.data))))
        if data is not None:
            self.data[at:at + len(data)] = data

    def tear(self, luck, at, data):
        if data is None or isinstance(data, Hole):
            return super().tear(luck, at, data)
        lost, start = 0, 0
        while start < len(data):
            end = min(len(data), (at + start) // SECTOR * SECTOR + SECTOR - at)
            if luck.random() < 0.5:
                self.apply(at + start, data[start:end])
            else:
                lost = 1
            start = end
        return lost


class Folder(Node):
    def __init__(self, status=None):
        super().__init__(status)
        self.names = {}    # durable
        self.current = {}  # as the server sees it

    def apply(self, what, name, other):
        """set: other is a node. remove. rename: other is (the new name, the node)."""
        if what == "set":
            self.names[name] = other
        elif what == "remove":
            self.names.pop(name, None)
        else:
            self.names.pop(name, None)
            self.names[other[0]] = other[1]


class Disk:
    """A folder that may not be there yet, and what becomes of it. is_lying: no sync counts from now on."""

    def __init__(self, path, journal):
        self.path = pathlib.Path(path)
        self.journal = pathlib.Path(journal)
        self.is_lying = False
        self.nodes = {}  # inode: Node
        self.top = None
        self.lost = self.synced = 0

    def begin(self):
        """What is there now is durable; the journal begins anew. No process of the server may live."""
        self.journal.write_bytes(b"")
        self.journal.chmod(0o666)
        self.nodes = {}
        self.top = Folder()
        self.nodes[os.stat(self.path.parent).st_ino] = self.top
        if self.path.exists():
            self.top.names[self.path.name] = self.top.current[self.path.name] = self._load(self.path)

    def _load(self, path):
        status = path.stat()
        if not path.is_dir():
            node = File(path.read_bytes(), status)
        else:
            node = Folder(status)
            for entry in path.iterdir():
                if entry.is_dir() or entry.is_file():
                    node.names[entry.name] = self._load(entry)
            node.current = dict(node.names)
        self.nodes[status.st_ino] = node
        return node

    # ------------------------------------------------------------------ the journal

    def _replay(self):
        data = self.journal.read_bytes()
        begun = {}  # a sync's number: the record where it began
        at = number = 0
        while at + RECORD.size <= len(data):
            magic, kind, inode, value, length = RECORD.unpack_from(data, at)
            assert magic == MAGIC, f"the journal has a gap at {at}"
            at += RECORD.size
            if at + length > len(data):
                break  # its writer was killed in the middle
            number += 1
            self._record(number, kind, self.nodes.get(inode), inode, value, data[at:at + length], begun)
            at += length

    def _record(self, number, kind, node, inode, value, data, begun):
        assert kind != UNKNOWN, f"the server made a call that the journal does not know: {data.decode()}"
        if kind in (CREATE, MAKE_FOLDER):
            folder, name = self.nodes.get(value), data[:-1].decode()
            if folder is not None:
                made = Folder() if kind == MAKE_FOLDER else File(b"")
                self.nodes[inode] = folder.current[name] = made
                folder.add(number, "set", name, made)
        elif node is None:
            return  # not in this folder
        elif kind == WRITE:
            node.add(number, value, data)
        elif kind == HOLE:
            node.add(number, value, Hole(struct.unpack("=Q", data)[0]))
        elif kind == TRUNCATE:
            node.add(number, value, None)
        elif kind == SYNC_BEGIN:
            begun[value] = number
        elif kind == SYNC_END and not self.is_lying:
            node.synced(begun.pop(value))
            self.synced += 1
        elif kind == UNLINK:
            name = data[:-1].decode()
            node.current.pop(name, None)
            node.add(number, "remove", name, None)
        elif kind == RENAME:
            assert self.nodes.get(value) is node, "a rename to another folder is not known here"
            old, new = data[:-1].decode().split("\0")
            node.current[new] = node.current.pop(old)
            node.add(number, "rename", old, (new, node.current[new]))

    # ------------------------------------------------------------------ the cut

    def cut(self, luck):
        """The power is gone, all processes are dead: the folder becomes what the disk then has. Gives what happened."""
        self._replay()
        owners = self._owners()
        fate = luck.choice([*Fate, None])
        lost = 0
        for inode, node in self.nodes.items():
            node.owner = owners.get(inode, node.owner)
            lost += node.lose_power(fate or luck.choice(list(Fate)), luck)
        self.lost += lost
        shutil.rmtree(self.path, ignore_errors=True)
        if self.path.name in self.top.names:
            self._write(self.top.names[self.path.name], self.path, None)
        return f"power cut ({fate.value if fate else 'each file by itself'}: {lost} changes lost)"

    def _owners(self):
        """Of all that is there now; modes and owners are not what is tested."""
        owners = {}
        for folder, _, files in os.walk(self.path):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                status = os.lstat(path)
                owners[status.st_ino] = (status.st_uid, status.st_gid, status.st_mode & 0o7777)
        return owners

    def _write(self, node, path, parent):
        if isinstance(node, Folder):
            path.mkdir()
        else:
            path.write_bytes(node.data)
        owner = node.owner or (parent.owner if parent else None)
        if owner:
            if os.geteuid() == 0:
                os.chown(path, *owner[:2])
            path.chmod(owner[2])
        if isinstance(node, Folder):
            for name, below in node.names.items():
                self._write(below, path / name, node)
