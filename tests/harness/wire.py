"""Protocol clients that keep every byte: what the standard library's clients hide or repair, these show.

Line is a socket read by lines and by counts; Imap, Pop3 and Smtp speak over one. An answer that does not come within
TIMEOUT fails the test.
"""

import collections
import base64
import re
import socket
import ssl

TIMEOUT = 30


class Closed(Exception):
    """The other side closed the connection."""


class Line:
    def __init__(self, sock):
        self.sock = sock
        self.unread = b""

    @classmethod
    def open(cls, host, port, timeout=TIMEOUT, source=None):
        """source: the address to come from, such as 127.0.0.2."""
        sock = socket.create_connection((host, port), timeout, source and (source, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock)

    @classmethod
    def open_unix(cls, path, timeout=TIMEOUT):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(str(path))
        return cls(sock)

    def start_tls(self, certificate, minimum=None, maximum=None):
        """The client's side of a handshake; the server must hold `certificate`."""
        assert not self.unread, f"plaintext before TLS: {self.unread!r}"
        context = ssl.create_default_context(cafile=certificate)
        if minimum:
            context.minimum_version = minimum
        if maximum:
            context.maximum_version = maximum
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if not data:
            raise Closed(self.unread)
        self.unread += data

    def read_line(self):
        """One line without its CRLF; a line that ends otherwise fails the test."""
        chunks = 0
        while (end := self.unread.find(b"\n", chunks)) < 0:
            chunks = len(self.unread)
            self._more()
        line, self.unread = self.unread[:end + 1], self.unread[end + 1:]
        assert line.endswith(b"\r\n"), f"a line without CRLF: {line!r}"
        return line[:-2]

    def read_exactly(self, count):
        while len(self.unread) < count:
            self._more()
        data, self.unread = self.unread[:count], self.unread[count:]
        return data

    def silent(self, seconds=0.3):
        """Whether nothing comes in that time."""
        if self.unread:
            return False
        self.sock.settimeout(seconds)
        try:
            self._more()
            return False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(TIMEOUT)

    def closed(self):
        """Reads on until the other side closes; whatever comes before is thrown away."""
        try:
            while True:
                self.unread = b""
                self._more()
        except Closed:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.sock.close()

    def abort(self):
        """A reset instead of an orderly end, which may be half of one (`nc -N`)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Client:
    """What the three have in common."""

    def __init__(self, line):
        self.line = line

    def close(self):
        self.line.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---------------------------------------------------------------------- SMTP and LMTP

def dot_stuffed(message):
    """A message as DATA carries it, the end line included. RFC 5321 section 4.5.2"""
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", message) + b".\r\n"


class Smtp(Client):
    """SMTP, and LMTP, which differs in who is greeted how and in one answer a recipient after the data."""

    def __init__(self, line):
        super().__init__(line)
        self.greeting = self.read()
        assert self.greeting[0] == 220, self.greeting

    def read(self):
        """(code, [text of each line]); RFC 5321 section 4.2.1"""
        texts, code = [], None
        while True:
            line = self.line.read_line()
            assert re.fullmatch(rb"[2-5][0-5][0-9]([ -].*)?", line), line
            assert code in (None, line[:3]), f"codes differ within an answer: {line!r}"
            code = line[:3]
            texts.append(line[4:].decode("utf-8"))
            if line[3:4] != b"-":
                return int(code), texts

    def command(self, line):
        self.line.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.read()

    def expect(self, code, line):
        answer = self.command(line)
        assert answer[0] == code, f"{line!r}: {answer}"
        return answer[1]

    def expect_status(self, code, status, line):
        """The code and the enhanced status of RFC 3463 ("5.7.1"; a prefix like "5." will do)."""
        answer = self.command(line)
        assert answer[0] == code and answer[1][-1].startswith(status), f"{line!r}: {answer}"
        return answer[1]

    def begin(self, sender, recipients, options=""):
        self.expect(250, f"MAIL FROM:<{sender}>{options}")
        for recipient in recipients:
            self.expect(250, f"RCPT TO:<{recipient}>")
        self.expect(354, "DATA")

    def send_message(self, sender, recipients, message, is_lmtp=None):
        """A whole transaction; every recipient must be served."""
        self.begin(sender, recipients)
        self.line.send(dot_stuffed(message))
        is_lmtp = "LMTP" in self.greeting[1][0] if is_lmtp is None else is_lmtp
        for _ in recipients if is_lmtp else range(1):
            answer = self.read()
            assert answer[0] == 250, answer
        return answer

    def start_tls(self, certificate):
        self.expect(220, "STARTTLS")
        self.line.start_tls(certificate)

    def login(self, account):
        response = base64.b64encode(f"\0{account.address}\0{account.password}".encode()).decode()
        return self.expect_status(235, "2.7.0", f"AUTH PLAIN {response}")


# ---------------------------------------------------------------------- POP3

class Pop3(Client):
    def __init__(self, line):
        super().__init__(line)
        self.greeting = self.line.read_line()
        assert self.greeting.startswith(b"+OK"), self.greeting

    def command(self, line):
        """The answer's first line."""
        self.line.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        answer = self.line.read_line()
        assert re.match(rb"(\+OK|-ERR)( |$)", answer), answer
        assert len(answer) <= 510, "RFC 1939 section 3: an answer has at most 512 octets"
        return answer

    def ok(self, line):
        answer = self.command(line)
        assert answer.startswith(b"+OK"), f"{line!r}: {answer!r}"
        return answer

    def error(self, line, code=None):
        answer = self.command(line)
        assert answer.startswith(b"-ERR"), f"{line!r}: {answer!r}"
        if code:
            assert answer.startswith(f"-ERR [{code}]".encode()), f"{line!r}: {answer!r}"
        return answer

    def multiline(self, line):
        """The body of a multi-line answer, dots unstuffed, lines still with CRLF."""
        self.ok(line)
        return self.read_multiline()

    def read_multiline(self):
        lines = []
        while (one := self.line.read_line()) != b".":
            lines.append(one[1:] if one.startswith(b".") else one)
        return b"".join(one + b"\r\n" for one in lines)

    def login(self, account):
        self.ok(f"USER {account.address}")
        return self.ok(f"PASS {account.password}")

    def stat(self):
        """(messages, octets)"""
        _, count, size, *_ = self.ok("STAT").split()
        return int(count), int(size)

    def uidl(self):
        """{number: unique id}"""
        return {int(number): uid for number, uid in (line.split() for line in self.multiline("UIDL").splitlines())}

    def start_tls(self, certificate):
        self.ok("STLS")
        self.line.start_tls(certificate)


# ---------------------------------------------------------------------- IMAP

class Atom(bytes):
    """A word of an answer that was not quoted: BODYSTRUCTURE tells NIL and "NIL" apart, and so do tests."""


class Answer:
    """What a command got: status (b"OK"), code (b"READ-ONLY", b"" for none), text, and the untagged lines before it."""

    def __init__(self, status, text, untagged):
        self.status = status
        self.untagged = untagged
        match = re.match(rb"\[([^\]]*(?:\[[^\]]*\][^\]]*)*)\] ?", text)
        self.code = match.group(1) if match else b""
        self.text = text[match.end():] if match else text

    def __repr__(self):
        return f"<{self.status!r} [{self.code!r}] {self.text!r} after {self.untagged!r}>"

    def all(self, keyword):
        """What follows the keyword in each untagged line that starts with it: b"1 2" of b"* SEARCH 1 2"."""
        prefix = b"* " + keyword
        return [line[len(prefix):].lstrip(b" ") for line in self.untagged
                if line.upper() == prefix or line.upper().startswith(prefix + b" ")]

    def one(self, keyword):
        found = self.all(keyword)
        assert len(found) == 1, f"{keyword!r}: {self.untagged!r}"
        return found[0]

    def codes(self):
        """The response codes of the untagged OKs, and of the tagged line: {b"UIDNEXT": b"4"}"""
        found = {}
        for line in [*self.all(b"OK"), b"[" + self.code + b"]"]:
            match = re.match(rb"\[([^ \]]+) ?([^\]]*)\]", line)
            if match:
                found[match.group(1).upper()] = match.group(2)
        return found

    def numbered(self, keyword):
        """[5] of b"* 5 EXISTS" """
        return [int(line.split()[1]) for line in self.untagged if re.fullmatch(rb"\* \d+ " + keyword, line)]

    def fetched(self):
        """{sequence number: {b"UID": b"4", b"FLAGS": [...], b"BODY[]": b"..."}}, answers to one message merged."""
        found = {}
        for line in self.untagged:
            match = re.match(rb"\* (\d+) FETCH ", line)
            if match:
                pairs = parse(line[match.end():])[0]
                assert len(pairs) % 2 == 0, line
                found.setdefault(int(match.group(1)), {}).update(zip((key.upper() for key in pairs[::2]), pairs[1::2]))
        return found


_TOKEN = re.compile(rb'\(|\)| |"((?:[^"\\]|\\.)*)"|~?\{(\d+)\}\r\n|((?:[^()\[ "{]|\[[^\]]*\])+)')


def parse(data):
    """The values of an answer: lists, bytes (quoted and literal), Atom, None for NIL. RFC 3501 section 4"""
    values, stack, position = [], [], 0
    while position < len(data):
        token = _TOKEN.match(data, position)
        assert token, f"cannot read {data[position:position + 60]!r} in {data[:200]!r}"
        position = token.end()
        if token.group() == b"(":
            stack.append(values)
            values = []
        elif token.group() == b")":
            done, values = values, stack.pop()
            values.append(done)
        elif token.group(1) is not None:
            values.append(re.sub(rb"\\(.)", rb"\1", token.group(1)))
        elif token.group(2) is not None:
            length = int(token.group(2))
            values.append(data[position:position + length])
            position += length
        elif token.group(3) is not None:
            values.append(None if token.group(3).upper() == b"NIL" else Atom(token.group(3)))
    assert not stack, f"parentheses left open: {data[:200]!r}"
    return values


def quoted(text):
    text = text.encode() if isinstance(text, str) else text
    return b'"' + re.sub(rb'(["\\])', rb"\\\1", text) + b'"'


class Literal(bytes):
    """An argument sent as {n}, waiting for the server's "+"."""


# A message of a mailbox: flags without \Recent as bytes, the date as IMAP writes it.
Stored = collections.namedtuple("Stored", "uid flags date body")


class Imap(Client):
    def __init__(self, line):
        super().__init__(line)
        self.count = 0
        self.greeting = self.line.read_line()
        assert re.match(rb"\* (OK|PREAUTH|BYE) ", self.greeting), self.greeting

    def read_response(self):
        """One response, the literals in it included, without the last CRLF."""
        whole = self.line.read_line()
        while match := re.search(rb"\{(\d+)\}$", whole):
            whole += b"\r\n" + self.line.read_exactly(int(match.group(1))) + self.line.read_line()
        return whole

    def send(self, *parts):
        """Sends a command, the tag first; gives the tag. Untagged lines between literals are kept for wait."""
        self.count += 1
        tag = b"t%d" % self.count
        self.early = []
        self.refused = None
        out = tag + b" "
        for part in parts:
            if isinstance(part, Literal):
                self.line.send(out + b"{%d}\r\n" % len(part))
                answer = self.read_response()
                while not answer.startswith(b"+"):
                    if answer.startswith(tag + b" "):
                        self.refused = answer
                        return tag
                    self.early.append(answer)
                    answer = self.read_response()
                out = bytes(part)
            else:
                out += part.encode() if isinstance(part, str) else part
        self.line.send(out + b"\r\n")
        return tag

    def wait(self, tag):
        """Reads on to the tagged answer."""
        untagged, self.early = self.early, []
        response, self.refused = self.refused, None
        while response is None or not response.startswith(tag + b" "):
            if response is not None:
                assert response.startswith(b"* "), f"waiting for {tag!r}: {response!r}"
                untagged.append(response)
            response = self.read_response()
        match = re.fullmatch(rb"\S+ (OK|NO|BAD) (.*)", response, re.DOTALL)
        assert match, response
        return Answer(match.group(1), match.group(2), untagged)

    def command(self, *parts):
        return self.wait(self.send(*parts))

    def ok(self, *parts):
        answer = self.command(*parts)
        assert answer.status == b"OK", f"{parts!r}: {answer}"
        return answer

    def no(self, *parts, code=None):
        answer = self.command(*parts)
        assert answer.status == b"NO", f"{parts!r}: {answer}"
        if code is not None:
            assert answer.code.split(b" ")[0] == code, f"{parts!r}: {answer}"
        return answer

    def bad(self, *parts):
        answer = self.command(*parts)
        assert answer.status == b"BAD", f"{parts!r}: {answer}"
        return answer

    def login(self, account):
        return self.ok(b"LOGIN ", quoted(account.address), b" ", quoted(account.password))

    def start_tls(self, certificate):
        self.ok("STARTTLS")
        self.line.start_tls(certificate)

    def select(self, mailbox="INBOX", command="SELECT"):
        return self.ok(command + " ", quoted(mailbox))

    def append(self, mailbox, message, flags=None, date=None):
        parts = ["APPEND ", quoted(mailbox), " "]
        if flags is not None:
            parts.append(f"({flags}) ")
        if date is not None:
            parts.append(f'"{date}" ')
        return self.ok(*parts, Literal(message))

    def fetch(self, numbers, items, command="FETCH"):
        return self.ok(f"{command} {numbers} {items}").fetched()

    def uid_fetch(self, numbers, items):
        """{uid: items}"""
        return {int(one[b"UID"]): one for one in self.fetch(numbers, items, "UID FETCH").values()}

    def flags(self, numbers="1:*"):
        """{sequence number: set of flags}"""
        return {number: set(one[b"FLAGS"]) for number, one in self.fetch(numbers, "(FLAGS)").items()}

    def search(self, criteria, command="SEARCH"):
        return [int(number) for number in self.ok(f"{command} {criteria}").one(b"SEARCH").split()]

    def list(self, pattern="*", reference="", command="LIST"):
        """{name: set of attributes}"""
        found = {}
        for line in self.ok(f"{command} ", quoted(reference), " ", quoted(pattern)).all(command.encode()):
            attributes, delimiter, name = parse(line)
            assert delimiter == b"/", line
            found[bytes(name)] = {attribute.lower() for attribute in attributes}
        return found

    def contents(self):
        """{mailbox: [Stored] in order of uid} of the whole account; nothing of it is changed."""
        found = {}
        for name in sorted(self.list()):
            self.select(name.decode(), "EXAMINE")
            fetched = self.uid_fetch("1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])")
            found[name] = [Stored(uid, frozenset(bytes(flag) for flag in one[b"FLAGS"]) - {b"\\Recent"},
                                  bytes(one[b"INTERNALDATE"]), bytes(one[b"BODY[]"]))
                           for uid, one in sorted(fetched.items())]
        return found

    def usage(self):
        """{b"STORAGE": KB, b"MESSAGE": messages} of an account with a quota. RFC 9208 section 5.2"""
        answer = self.ok("GETQUOTAROOT INBOX")
        values = parse(answer.one(b"QUOTA"))[1]
        return {bytes(name): int(used) for name, used in zip(values[::3], values[1::3])}

    def status(self, mailbox, items):
        """{item: number}"""
        values = parse(self.ok("STATUS ", quoted(mailbox), f" ({items})").one(b"STATUS"))
        return dict(zip((bytes(key) for key in values[1][::2]), (int(value) for value in values[1][1::2])))
