"""The scripts of imaptest: a header of settings, an empty line, then commands with what must come back.

    ok fetch 1 (uid flags)                  a command and its tagged status ("" is any)
    * 1 fetch (uid $uid flags (\\seen))      an untagged response that must come, wherever it stands
    ! $1 expunge                            one that must not come
    ? list ...                              one that may come
    examine $mailbox                        a command whose status stands in a later line, after its responses
    ok [read-only]
    2 tag1 noop                             connection 2, a tag of its own: several commands under way
    2 tag1 ok

With more than one connection each command begins with the connection's number. $name is bound by the first response
that has it, and $1 is the message that had sequence number 1 when the command was sent. {{{ ... }}} is a literal.
Flags and the pairs of FETCH and STATUS come in any order and may be more than the script names; $!ban=\\x in a list
says that \\x must not be in it. What is not named may come too.
"""

import re
import typing


class Want(typing.NamedTuple):
    sign: str  # "*", "!" or "?"
    text: str
    line: int


class Command(typing.NamedTuple):
    tag: str  # "" when the script does not name one
    text: str


class Reply(typing.NamedTuple):
    status: str  # "ok", "no", "bad", "" for any
    code: str  # "trycreate" of "no [trycreate]", or ""


class Step:
    """Commands of one connection that are under way together, and what they must bring."""

    def __init__(self, connection, line):
        self.connection = connection
        self.line = line
        self.commands = []
        self.replies = {}  # by tag
        self.wants = []

    def is_answered(self):
        return len(self.replies) == len(self.commands)


class Script:
    def __init__(self, path):
        self.name = path.name
        head, _, body = path.read_bytes().decode().partition("\n\n")
        settings = dict(re.findall(r"(?m)^(\w[\w ]*): *(.*)$", head))
        self.capabilities = settings.get("capabilities", "").upper().split()
        self.connections = int(settings.get("connections", 1))
        self.state = settings.get("state", "selected")
        self.messages = settings.get("messages", "all")
        self.steps = _parse(body, head.count("\n") + 3, self.connections > 1)
        mailbox = path.with_name(path.name + ".mbox")
        self.mail = read_mbox(mailbox if mailbox.exists() else path.with_name("default.mbox"))


def _logical_lines(body, number):
    """(line number, text) of each line that says something; a literal's lines belong to the line that opens it."""
    whole, start = "", number
    for line in body.split("\n"):
        start = start if whole else number
        whole = f"{whole}\n{line}" if whole else line
        number += 1
        if whole.count("{{{") > whole.count("}}}"):
            continue
        if whole.strip() and not whole.startswith("#"):
            yield start, whole
        whole = ""


_STATUSES = {"ok", "no", "bad", '""'}


def _parse(body, number, many):
    steps = []
    step = None
    for line, text in _logical_lines(body, number):
        if text[0] in "*!?" and text[1] == " ":
            step.wants.append(Want(text[0], text[2:].strip(), line))
            continue
        connection, rest = (int(text.split(" ", 1)[0]), text.split(" ", 1)[1]) if many else (1, text)
        named = re.match(r"(tag\d+) (.*)", rest, re.DOTALL)
        tag, rest = named.groups() if named else ("", rest)
        word, _, more = rest.partition(" ")
        is_status = word.lower() in _STATUSES
        status = word.lower().strip('"')
        if step is not None and not step.is_answered() and step.connection == connection and is_status:
            step.replies[tag] = Reply(status, more.strip().strip("[]"))
            continue
        if step is None or step.is_answered() or step.connection != connection:
            step = Step(connection, line)
            steps.append(step)
        step.commands.append(Command(tag, more if is_status else rest))
        if is_status:
            step.replies[tag] = Reply(status, "")
    return steps


# ---------------------------------------------------------------------- mail

_FROM = re.compile(r"(?m)^From \S+ +\w{3} (\w{3}) +(\d+) (\d\d:\d\d:\d\d) (\d{4})(?: ([+-]\d{4}))?\n")


def read_mbox(path):
    """[(internal date, message with CRLF)]: the "From " line has the date, an empty line stands before the next."""
    text = path.read_bytes().decode()
    found = list(_FROM.finditer(text))
    messages = []
    for index, match in enumerate(found):
        is_last = index + 1 == len(found)
        message = text[match.end():] if is_last else text[match.end():found[index + 1].start() - 1]
        month, day, time, year, zone = match.groups()
        messages.append((f"{int(day):2d}-{month}-{year} {time} {zone or '+0000'}",
                         message.replace("\n", "\r\n").encode()))
    return messages


# ---------------------------------------------------------------------- responses

_TOKEN = re.compile(r'\(|\)| +|"((?:[^"\\]|\\.)*)"|~?\{\{\{\n(.*?)\}\}\}|((?:\$\{\w+\}|[^()\[ "{]|\[[^\]]*\])+)',
                    re.DOTALL)


class Exact(str):
    """A literal: its bytes count, upper and lower case too."""


def read_wanted(text):
    """The values of a wanted response: lists, str for atoms and quoted strings, Exact for literals."""
    values, stack, position = [], [], 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        assert token, f"cannot read {text[position:position + 60]!r}"
        position = token.end()
        if token.group() == "(":
            stack.append(values)
            values = []
        elif token.group() == ")":
            done, values = values, stack.pop()
            values.append(done)
        elif token.group(1) is not None:
            values.append(re.sub(r"\\(.)", r"\1", token.group(1)))
        elif token.group(2) is not None:
            # the line end before the closing braces is the script's, not the literal's
            values.append(Exact(token.group(2).removesuffix("\n").replace("\n", "\r\n")))
        elif token.group(3) is not None:
            values.append(token.group(3))
    assert not stack, f"parentheses left open: {text!r}"
    return values


_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")


def expand(text, variables):
    """A command with the values of its variables; an unknown one is an error of the script."""
    return _VARIABLE.sub(lambda match: "$" if match.group(1) else variables[match.group(2) or match.group(3)], text)


def match_text(wanted, got, variables):
    """Whether a wanted atom or string is the one that came; binds what was not bound."""
    pattern, position, new = "", 0, []
    for match in _VARIABLE.finditer(wanted):
        pattern += re.escape(wanted[position:match.start()])
        name = match.group(2) or match.group(3)
        if match.group(1):
            pattern += r"\$"
        elif name in variables:
            pattern += re.escape(variables[name])
        elif name in new:
            pattern += f"(?P={name})"
        else:
            pattern += f"(?P<{name}>.*)"
            new.append(name)
        position = match.end()
    pattern += re.escape(wanted[position:])
    found = re.fullmatch(pattern, got, re.DOTALL | (0 if isinstance(wanted, Exact) else re.IGNORECASE))
    if found:
        variables.update(found.groupdict())
    return found is not None


def _as_text(value):
    return "NIL" if value is None else value.decode("latin-1").replace('"', "")


def match_value(wanted, got, variables):
    if isinstance(wanted, list):
        if not isinstance(got, list):
            return False
        if all(isinstance(one, str) and one.startswith(("\\", "$!")) for one in wanted):
            return _match_flags(wanted, got)
        return match_values(wanted, got, variables)
    return not isinstance(got, list) and match_text(wanted, _as_text(got), variables)


def match_values(wanted, got, variables):
    return len(wanted) == len(got) and all(match_value(one, other, variables) for one, other in zip(wanted, got))


def _match_flags(wanted, got):
    present = {_as_text(one).lower() for one in got if not isinstance(one, list)}
    banned = {one.removeprefix("$!ban=").lower() for one in wanted if one.startswith("$!ban=")}
    return {one.lower() for one in wanted if not one.startswith("$!")} <= present and not banned & present


def _match_pairs(wanted, got, variables):
    """The items of FETCH and STATUS, by their names."""
    if not isinstance(got, list):
        return False
    present = {_as_text(key).lower(): value for key, value in zip(got[::2], got[1::2])}
    return all(key.lower() in present and match_value(value, present[key.lower()], variables)
               for key, value in zip(wanted[::2], wanted[1::2]))


def match_code(wanted, text, variables):
    """"[copyuid $a $b $c]": a response code with at least these words, at the front of a text."""
    code = re.match(r"\[([^\]]*)\]", text)
    words = wanted.strip("[]").split()
    return code is not None and len(code.group(1).split()) >= len(words) and all(
        match_text(one, other, variables) for one, other in zip(words, code.group(1).split()))


def match_response(wanted, values, original, variables):
    """Whether a response is the wanted one. values: what came, parsed, or for OK, NO, BAD and BYE [status, text];
    original: the sequence number that its message had when the command was sent, or None."""
    wants = read_wanted(wanted)
    if wants[0].lower() in ("ok", "no", "bad", "bye"):
        return str(values[0]).lower() == wants[0].lower() and (
            len(wants) < 2 or match_code(wants[1], values[1], variables))
    if isinstance(values[0], str):
        return False
    tried = dict(variables)
    numbered = re.fullmatch(r"\$(\d+)", wants[0])
    if numbered:
        if original != int(numbered.group(1)):
            return False
        wants, values = wants[1:], values[1:]
    kind = [one.lower() for one in wants[:2] if isinstance(one, str)]
    if ("fetch" in kind or "status" in kind) and isinstance(wants[-1], list):
        is_match = match_values(wants[:-1], values[:-1], tried) and _match_pairs(wants[-1], values[-1], tried)
    else:
        is_match = match_values(wants, values, tried)
    if is_match:
        variables.update(tried)
    return is_match
