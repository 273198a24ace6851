r"""The scripts of James: lines of the client and of the server, the server's as regular expressions.

    C: a1 FETCH 1 (FLAGS)
    S: \* 1 FETCH \(FLAGS \(\\Seen\)\)
    S: a1 OK FETCH completed.
    SESSION: 2                      what follows is said on another connection
    REINIT                          a new connection for what follows
    SUB { ... }                     responses in any order, which we allow everywhere

They are compared tolerantly: of a tagged answer the status; untagged data by what it means, whatever its order, its
upper and lower case, its quotes and the hierarchy delimiter; untagged OK by the response code, without James's words.
"""

import re
import typing


class Say(typing.NamedTuple):
    text: str
    line: int


class Hear(typing.NamedTuple):
    pattern: str  # one response, its literals included, lines joined by CRLF
    line: int


class Turn(typing.NamedTuple):
    """What the client says on a connection, and what it hears then."""

    connection: int
    says: list
    hears: list


def read(path):
    """The turns of a script; the connection gets a new number with REINIT."""
    turns, says, heard = [], [], []
    connection, restarts = 1, 0

    def finish():
        if says or heard:
            turns.append(Turn(connection, list(says), list(_responses(heard))))
        says.clear()
        heard.clear()

    for number, line in enumerate(path.read_bytes().decode("utf-8").split("\n"), 1):
        line = line.rstrip("\r")
        if line.startswith("C:"):
            if heard:
                finish()
            says.append(Say(line[3:], number))
        elif line.startswith("S:"):
            heard.append((number, line[3:]))
        elif line.startswith("SESSION:"):
            finish()
            connection = int(line[8:])
        elif line.startswith("REINIT"):
            finish()
            restarts += 1
            connection = 100 * restarts + 1
    finish()
    return turns


# ---------------------------------------------------------------------- regular expressions as text

def units(pattern):
    """A regular expression as [(character, the piece of pattern for it)]; what matches something variable (a group, a
    class, a repetition, .) has None for its character."""
    found, position = [], 0
    while position < len(pattern):
        end = position + 1
        one = pattern[position]
        if one == "\\":
            end = position + 2
            character = pattern[position + 1:end]
            if character.isalnum():
                character = None
        elif one == "[":
            end = pattern.index("]", position + 2) + 1
            character = None
        elif one == "(":
            end = _group_end(pattern, position)
            character = None
        else:
            character = None if one in ".*+?" else one
        found.append((character, pattern[position:end]))
        position = end
    return found


def _group_end(pattern, position):
    depth = 0
    while True:
        one = pattern[position]
        if one == "\\":
            position += 1
        depth += (one == "(") - (one == ")")
        position += 1
        if depth == 0:
            return position


def plain_units(text):
    return [(one, one) for one in text]


_LITERAL_END = re.compile(r"\\?\{(\d+)\\?\}$")
_FRESH_LINE = re.compile(r"\\\* |\S+ (OK|NO|BAD) ")


def _responses(lines):
    """Joins the lines of responses that have literals. Wrong lengths do not go beyond the next response."""
    position = 0
    while position < len(lines):
        number, whole = lines[position]
        position += 1
        while (literal := _LITERAL_END.search(whole)) and position < len(lines):
            length = -2
            while (length < int(literal.group(1)) and position < len(lines)
                   and not _FRESH_LINE.match(lines[position][1])):
                whole += "\r\n" + lines[position][1]
                length += 2 + len(units(lines[position][1]))
                position += 1
        yield Hear(whole, number)


def plain(pattern):
    """The text of a pattern that matches only one."""
    return "".join(character if character is not None else piece for character, piece in units(pattern))


# ---------------------------------------------------------------------- values

def split(found, position=0):
    """The values that stand side by side in units, each as the text of its pieces: an atom with what is in its
    brackets, a quoted string, a literal with its length, a list."""
    values = []
    while position < len(found):
        if found[position][0] == " ":
            position += 1
            continue
        end = _value_end(found, position)
        values.append("".join(piece for _, piece in found[position:end]))
        position = end
    return values


def _value_end(found, position):
    first = found[position][0]
    if first == "(":
        return _list_end(found, position)
    if first == '"':
        position += 1
        while found[position][0] != '"':
            position += 2 if found[position][0] == "\\" else 1
        return position + 1
    if first == "{":
        close = next(at for at in range(position, len(found)) if found[at][0] == "}")
        count = int("".join(character for character, _ in found[position + 1:close]))
        return close + 3 + count
    position += first == ")"  # one too many: a value of its own, so that a damaged response comes to an end
    while position < len(found) and found[position][0] not in (" ", ")", "("):
        if found[position][0] == "[":
            position = next(at for at in range(position, len(found)) if found[at][0] == "]")
        position += 1
    return position


def _list_end(found, position):
    position += 1
    while found[position][0] != ")":
        position = position + 1 if found[position][0] == " " else _value_end(found, position)
    return position + 1


def pairs(found):
    """{upper-case name: text of the value} of a list of FETCH or STATUS items, without its parentheses."""
    values = split(found)
    return {name.replace("\\", "").replace('"', "").upper(): value for name, value in zip(values[::2], values[1::2])}


def words(text):
    """The words of a list of flags, LIST attributes or numbers, in lower case."""
    return frozenset(text.strip("()").lower().split())
