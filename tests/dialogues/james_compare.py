"""What came against what James would have said, by meaning. Both sides become things that can be compared: a kind
("FETCH 3", "LIST inbox", "SEARCH", ...) and a content; what has no form of its own is compared by the pattern itself.

Left out on purpose, because no RFC asks for it: codes of extensions that are not offered (MAILBOXID, HIGHESTMODSEQ),
and RECENT outside of SELECT and EXAMINE. What comes and was not expected is a difference where it is an answer (SEARCH,
LIST, LSUB, STATUS, FETCH of more than flags, EXPUNGE); EXISTS, FLAGS and the like may come at any time.
"""

import re

import james_script as script
from dialogue import short
from harness import wire

_LEFT_OUT = re.compile(r"\\\* OK \\\[(?:MAILBOXID|HIGHESTMODSEQ) |\\\* \S+ RECENT$")


class Untagged:
    """An untagged response, wanted (pattern) or come (text), as far as it has a form."""

    def __init__(self, text, is_pattern):
        self.text = text
        self.is_pattern = is_pattern
        found = script.units(text) if is_pattern else script.plain_units(text)
        plain = script.plain(text) if is_pattern else text
        try:
            self.kind, self.content = self._read(found, plain)
        except (IndexError, StopIteration):  # something is left open in it
            self.kind, self.content = "", None

    def _read(self, found, plain):
        if match := re.match(r"\* (\d+) FETCH \(.*\)$", plain, re.DOTALL | re.IGNORECASE):
            start = next(at for at, one in enumerate(found) if one[0] == "(") + 1
            content = script.pairs(found[start:-1])
            is_vague = any(not re.match(r"[A-Z0-9.]+(\[.*\](<\d+>)?)?$", name, re.DOTALL) for name in content)
            return (f"FETCH {match.group(1)}", content) if not is_vague else ("", None)
        if match := re.match(r"\* (LIST|LSUB) (\(.*?\)) (\S+) (.*)$", plain):
            name = match.group(4).strip('"')
            # James's delimiter is the dot
            name = name.replace(".", "/") if self.is_pattern else name
            return f"{match.group(1)} {name}", script.words(match.group(2))
        if match := re.match(r"\* STATUS (\S+) \((.*)\)$", plain):
            return f"STATUS {match.group(1).strip(chr(34))}", script.pairs(script.plain_units(match.group(2)))
        if match := re.match(r"\* SEARCH ?([\d ]*)$", plain):
            return "SEARCH", script.words(match.group(1))
        if match := re.match(r"\* (FLAGS|OK \[PERMANENTFLAGS) \((.*)\)", plain):
            flags = re.findall(r"\\(\w+)", match.group(2))
            return match.group(1), frozenset(one.lower() for one in flags)
        if match := re.match(r"\* (OK|NO|BAD|BYE|PREAUTH)\b", plain):
            return match.group(1), None
        return "", None

    def ordered(self):
        """The text, the items of FETCH in James's order."""
        if not self.kind.startswith("FETCH"):
            return self.text
        names = sorted(self.content, key=lambda name: (name != "FLAGS", name != "UID"))
        return f"* {self.kind[6:]} FETCH ({' '.join(f'{name} {self.content[name]}' for name in names)})"

    def is_answer(self):
        if self.kind.startswith("FETCH"):
            return bool(set(self.content) - {"FLAGS", "UID"})
        return self.kind.startswith(("LIST", "LSUB", "STATUS", "SEARCH")) or self.text.endswith(" EXPUNGE")


def is_left_out(pattern, in_select):
    match = _LEFT_OUT.match(pattern)
    return match is not None and not (in_select and pattern.endswith("RECENT"))


def _merge_fetches(responses):
    """One FETCH for each message: a server may spread the items over several."""
    merged = {}
    for one in responses:
        if one.kind.startswith("FETCH") and one.kind in merged:
            merged[one.kind].content.update(one.content)
        elif one.kind.startswith("FETCH"):
            merged[one.kind] = one
    return [one for one in responses if not one.kind.startswith("FETCH") or merged[one.kind] is one]


def _same_item(name, wanted, got):
    if name == "FLAGS" and script.words(script.plain(wanted)) == script.words(got):
        return True
    return _is_match(wanted, got, re.NOFLAG if "{" in got else re.IGNORECASE)


def _structure(value, without=None):
    """A body structure as it can be compared: the order of MIME parameters says nothing (RFC 2045 section 5), one
    language may stand without parentheses (RFC 3501 section 9, body-fld-lang). without: a parameter to leave out."""
    if not isinstance(value, list):
        return value.lower() if value is not None else None
    if len(value) == 1 and isinstance(value[0], bytes):
        return value[0].lower()
    values = [_structure(one, without) for one in value]
    if len(values) % 2 == 0 and all(isinstance(one, bytes) for one in values):
        return [pair for pair in sorted(zip(values[::2], values[1::2])) if pair != without] or None
    return values


def _structure_difference(name, wanted, got):
    wanted, got = wire.parse(script.plain(wanted).encode()), wire.parse(got.encode("latin-1"))
    if _structure(wanted) == _structure(got):
        return None
    default = (b"charset", b"us-ascii")
    if _structure(wanted, default) == _structure(got, default):
        return f"{name} with the default charset wanted"
    return f"{name} {short(wanted)} wanted, came {short(got)}"


def _is_match(pattern, text, flags=re.IGNORECASE):
    try:
        return re.fullmatch(pattern, text, flags | re.DOTALL) is not None
    except re.error:  # in a literal James's scripts do not always escape what they should
        return script.plain(pattern) == text


def _fetch_difference(wanted, got):
    """What of a message is not as wanted, or None."""
    for name, value in wanted.content.items():
        if name not in got.content:
            return f"{name} wanted, not given"
        if name == "FLAGS" and script.words(script.plain(value)) - script.words(got.content[name]) == {r"\recent"}:
            return r"\Recent wanted"
        if name in ("BODY", "BODYSTRUCTURE"):
            if text := _structure_difference(name, value, got.content[name]):
                return text
        elif not _same_item(name, value, got.content[name]):
            return f"{name} {short(script.plain(value))} wanted, came {short(got.content[name])}"
    more = set(got.content) - set(wanted.content) - {"FLAGS", "UID"}
    return f"{', '.join(sorted(more))} not wanted" if more else None


def _is_same(wanted, got):
    if wanted.kind.startswith(("LIST", "LSUB", "FLAGS", "OK [PERM")):
        return wanted.kind == got.kind and wanted.content <= got.content
    if wanted.kind.startswith(("STATUS", "SEARCH")):
        return wanted.kind == got.kind and wanted.content == got.content
    if wanted.kind in ("BYE", "PREAUTH"):
        return wanted.kind == got.kind
    if wanted.kind:  # OK and the like: the code counts, the words do not
        code = re.match(r"\\\* OK \\\[UIDVALIDITY|\\\* OK \\\[.*?\\\]|\\\* OK \\\[\w+", wanted.text)
        return got.kind.startswith(wanted.kind) and (code is None or re.match(code.group(), got.text, re.IGNORECASE))
    return _is_match(wanted.text, got.ordered())


_EXPUNGE = re.compile(r"\\?\* (\d+) EXPUNGE$")


def _expunged(texts):
    """The numbers that the messages had before the first EXPUNGE: their order is the server's choice."""
    gone = set()
    for text in texts:
        if match := _EXPUNGE.match(text):
            number = int(match.group(1))
            for one in sorted(gone):
                number += one <= number
            gone.add(number)
    return gone


def untagged(wants, gots, in_select):
    """[(line, difference)] of the untagged responses to a command: wants are Hears, gots are texts."""
    differences = []
    lines = {}
    wanted = []
    for hear in wants:
        if not is_left_out(hear.pattern, in_select):
            wanted.append(Untagged(hear.pattern, True))
            lines[id(wanted[-1])] = hear.line
    came = _merge_fetches([Untagged(one, False) for one in gots])
    if _expunged(one.text for one in wanted) == _expunged(one.text for one in came):
        wanted = [one for one in wanted if not _EXPUNGE.match(one.text)]
        came = [one for one in came if not _EXPUNGE.match(one.text)]
    wanted = _merge_fetches(wanted)
    for one in wanted:
        other = next((got for got in came if (one.kind == got.kind if one.kind.startswith("FETCH") else
                                              _is_same(one, got))), None)
        text = None
        if other is None:
            text = f"{short(script.plain(one.text))} wanted"
        elif one.kind.startswith("FETCH"):
            text = _fetch_difference(one, other)
            text = text and f"message {one.kind[6:]}: {text}"
        if text:
            differences.append((lines[id(one)], text))
        if other is not None:
            came.remove(other)
    differences += [(None, f"{short(one.text)} not wanted") for one in came if one.is_answer()]
    return differences
