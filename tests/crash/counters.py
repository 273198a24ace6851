"""What the shards' databases say of the counters that only grow: a modseq is given once, and so is a uid.

Read while no process has them: a copy of the file and its write-ahead log, opened by SQLite. Owner: the driver."""

import pathlib
import shutil
import sqlite3
import tempfile

NUMBER = (1 << 40) - 1  # of a key; what is above it is the account

QUERIES = {
    # the floor of the counter, and what was given since (schema.sql)
    "modseq": f"""SELECT hex(id), max(modseq,
                  coalesce((SELECT max(key & {NUMBER}) FROM change WHERE key >> 40 = number), 0),
                  coalesce((SELECT max(key & {NUMBER}) FROM expunged WHERE key >> 40 = number), 0))
                  FROM account WHERE removed = 0""",
    "UIDVALIDITY": "SELECT hex(id), uidvalidity FROM account WHERE removed = 0",
    "message number": f"""SELECT hex(id), max(next,
                  coalesce((SELECT max(key & {NUMBER}) FROM message WHERE key >> 40 = number), 0))
                  FROM account WHERE removed = 0""",
    "mailbox number": "SELECT name, seq FROM sqlite_sequence",
}


class Counters:
    def __init__(self, store):
        self.store = pathlib.Path(store)
        self.known = {}  # {(database, counter, whose): value}
        self.wrong = []

    def read(self):
        for database in sorted(self.store.glob("shards/*/index.db")):
            with tempfile.TemporaryDirectory(prefix="mansio-counters-") as folder:
                copy = pathlib.Path(folder) / "index.db"
                for suffix in ("", "-wal"):
                    source = pathlib.Path(f"{database}{suffix}")
                    if source.exists():
                        shutil.copy(source, f"{copy}{suffix}")
                self._read(database, copy)

    def _read(self, database, copy):
        connection = sqlite3.connect(copy)
        try:
            for counter, query in QUERIES.items():
                for whose, value in connection.execute(query):
                    self._compare(counter, whose, value or 0, database.parent.name)
        except sqlite3.Error as error:
            self.wrong.append(f"{database}: {error}")
        finally:
            connection.close()

    def _compare(self, counter, whose, value, shard):
        known = self.known.get((shard, counter, whose), 0)
        if value < known:
            self.wrong.append(f"{counter} of {whose} in shard {shard} was {known}, is {value}")
        self.known[shard, counter, whose] = value

    def backwards(self):
        """Those that went back since the last time of asking."""
        wrong, self.wrong = self.wrong, []
        return wrong
