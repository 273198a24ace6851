"""Reads what is written to a write-ahead log of SQLite (https://sqlite.org/fileformat2.html): which write of it
brought something, or took it away. A transaction is there with the write that ends its last frame, not before.

What is looked for stands in live cells of leaves, and of the inner pages of indexes; what SQLite left behind in the
free space of a page is nothing.
"""

import re
import typing

TOKEN = re.compile(rb"token-[a-z0-9]+-\d+-end")

_HEADER = 32
_FRAME_HEADER = 24
_INNER_INDEX, _LEAF_INDEX, _LEAF_TABLE = 2, 10, 13
_INTEGER_SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}
_CHANGES = ("new", "flags", "expunge")  # enum change_kind (src/store/store.h)


class Fact(typing.NamedTuple):
    """A row of a shard's index.db (src/store/schema.sql): of this table, about this account or mailbox."""
    table: str   # "new", "flags", "expunge": of `change`; "hidden", "due": of POP3
    about: int   # the account's number, or the mailbox's
    version: object


class Log:
    """One write-ahead log. came: {token: call}, gone: {token: call}, news: {(table, about): calls}, each call one that
    ended a transaction."""

    def __init__(self):
        self.came, self.gone, self.news = {}, {}, {}
        self._file = bytearray()
        self._page_size = 0
        self._tokens = {}    # {number of a page: tokens in it now}
        self._holders = {}   # {token: numbers of the pages that have it now}
        self._facts = set()  # all that were ever seen
        self._open = []      # (token or Fact, is it there) of the transaction that is being written
        self._cells = {}     # {(is it of a table, number of the row, payload): (tokens, Fact or None)}

    def write(self, call, at, data):
        end = at + len(data)
        self._file.extend(bytes(max(0, end - len(self._file))))
        self._file[at:end] = data
        if at < _HEADER:
            self._page_size = int.from_bytes(self._file[8:12], "big")
        size = self._page_size + _FRAME_HEADER
        number = max(0, at - _HEADER) // size
        while _HEADER + (number + 1) * size <= end:
            frame = bytes(self._file[_HEADER + number * size:_HEADER + (number + 1) * size])
            if _HEADER + (number + 1) * size > at:
                self._frame(call, frame)
            number += 1

    def _frame(self, call, frame):
        number, pages_after = int.from_bytes(frame[:4], "big"), int.from_bytes(frame[4:8], "big")
        if number == 0:
            return  # room that was made ahead
        self._page(number, frame[_FRAME_HEADER:])
        if pages_after:
            self._commit(call)

    def _page(self, number, page):
        tokens, before = set(), self._tokens.get(number, set())
        for some, fact in self._live(page, 100 if number == 1 else 0):
            tokens |= some
            if fact is not None and fact not in self._facts:
                self._facts.add(fact)
                self._open.append(fact)
        self._tokens[number] = tokens
        for token in tokens - before:
            self._holders.setdefault(token, set()).add(number)
        for token in before - tokens:
            self._holders[token].discard(number)
        self._open += tokens ^ before

    def _commit(self, call):
        for one in self._open:
            if isinstance(one, Fact):
                self.news.setdefault((one.table, one.about), []).append(call)
            elif self._holders[one]:
                self.came.setdefault(one, call)
            else:
                self.gone.setdefault(one, call)
        self._open.clear()

    # ------------------------------------------------------------------ the cells of a page

    def _live(self, page, start):
        kind = page[start]
        if kind not in (_INNER_INDEX, _LEAF_INDEX, _LEAF_TABLE):
            return
        array = start + (12 if kind == _INNER_INDEX else 8)
        for at in range(array, array + 2 * int.from_bytes(page[start + 3:start + 5], "big"), 2):
            cell = int.from_bytes(page[at:at + 2], "big") + (4 if kind == _INNER_INDEX else 0)
            size, cell = _varint(page, cell)
            row = None
            if kind == _LEAF_TABLE:
                row, cell = _varint(page, cell)
            key = row, page[cell:cell + _local(size, len(page), kind == _LEAF_TABLE)]
            if key not in self._cells:
                self._cells[key] = {match.decode() for match in TOKEN.findall(key[1])}, _fact(*key)
            yield self._cells[key]


def _local(size, page_size, is_table):
    """How much of a payload stands in the page."""
    least = (page_size - 12) * 32 // 255 - 23
    most = page_size - 35 if is_table else (page_size - 12) * 64 // 255 - 23
    if size <= most:
        return size
    some = least + (size - least) % (page_size - 4)
    return some if some <= most else least


def _varint(data, at):
    value = 0
    for count in range(9):
        byte = data[at + count]
        if count == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 127
        if byte < 128:
            return value, at + count + 1
    raise AssertionError("not reached")


def _record(payload):
    """The values of a record: int, bytes, None; what lies on overflow pages is cut off."""
    header, at = _varint(payload, 0)
    values, data = [], header
    while at < min(header, len(payload)):
        kind, at = _varint(payload, at)
        size = _INTEGER_SIZES[kind] if kind < 10 else (kind - 12) // 2
        value = payload[data:data + size]
        data += size
        if kind >= 12:
            values.append(value)
        elif kind in (8, 9):
            values.append(kind - 8)
        else:
            values.append(int.from_bytes(value, "big", signed=True) if kind else None)
    return values


def _fact(row, payload):
    """Rows are known by the types of their columns: no two tables of ours have the same."""
    values = _record(payload)
    shape = "".join({int: "i", bytes: "b"}.get(type(value), "-") for value in values)
    if row is not None and shape == "-iiib" and values[2] < len(_CHANGES):
        return Fact(_CHANGES[values[2]], row >> 40, row)
    if row is None and shape == "iib":
        return Fact("hidden", values[0], (values[1], values[2]))
    if row is None and shape == "iiib":
        return Fact("due", values[1], (values[0], values[2], values[3]))
    return None
