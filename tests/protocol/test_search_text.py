"""SEARCH in the text of messages, against what Python's email package makes of the same messages; text that is made in
the sandbox, kept, and used again; text that lies cold on disk."""

import base64
import email
import email.errors
import email.header
import email.policy
import email.utils
import html.parser
import os
import random
import re
import unicodedata

import pytest

from harness import wire
from harness.material import corpus, message

SETTINGS = {"server": {"shards": 1}}
WORDS = 250
TREES = 200

# Where Python and we read a message differently: {message: why}. It is not compared.
DIFFERENT = {
    "mail-parser/eml/thirdparty/009.eml": "Python reads a fragment (message/partial, RFC 2046 section 5.2.2) as if it were a message",
}


class _Visible(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.text, self.hidden = [], 0

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style") and self.hidden > 0

    def handle_data(self, data):
        if not self.hidden:
            self.text.append(data)


def folded(text):
    """RFC 5051: title case, then decomposition. Python's is near enough for words of letters."""
    return unicodedata.normalize("NFKD", "".join(one.title() if len(one.title()) == 1 else one for one in text))


def decoded(part):
    data = part.get_payload(decode=True) or b""
    charset = str(part.get_content_charset() or "us-ascii")
    try:
        text = data.decode({"iso-8859-1": "cp1252", "us-ascii": "utf-8"}.get(charset, charset))
    except (LookupError, UnicodeDecodeError):
        return None
    if part.get_content_type() == "text/html":
        visible = _Visible()
        visible.feed(text)
        text = " ".join(visible.text)
    return text


def body_of(data):
    """The folded text of the message's body; None where Python cannot say."""
    parsed = email.message_from_bytes(data, policy=email.policy.compat32)
    found = []
    for part in parsed.walk():
        if part.defects:
            return None
        if part is not parsed:
            found += [f"{name}: {email.header.make_header(email.header.decode_header(value))}" for name, value in part.items()]
        if part.is_multipart():
            continue
        if part.get_content_maintype() in ("text", "message"):
            text = decoded(part)
            if text is None:
                return None
            found.append(text)
    return folded("\n".join(found))


@pytest.fixture(scope="module")
def mailbox(server):
    """(account, {uid: (name, folded body)}): the corpora in INBOX."""
    account = server.add_account()
    texts = {}
    with server.imap(account) as imap:
        for name, data in corpus().items():
            if b"\0" in data or len(data) > 1000000:
                continue
            answer = imap.append("INBOX", data)
            texts[int(answer.code.split()[-1])] = name, body_of(data)
    return account, texts


def test_words_are_found_where_python_finds_them(server, mailbox, figure):
    account, texts = mailbox
    choice = random.Random(5051)
    known = {uid: text for uid, (name, text) in texts.items() if text is not None and name not in DIFFERENT}
    words = set()
    for text in known.values():
        some = re.findall(r"[A-Z][A-Z0-9]{3,14}", text)
        words.update(choice.sample(some, min(3, len(some))))
    differences = []
    with server.imap(account) as imap:
        imap.select()
        for word in choice.sample(sorted(words), min(WORDS, len(words))):
            found = set(imap.search(f"BODY {word.lower()}", "UID SEARCH"))
            for uid, text in known.items():
                if (word in text) != (uid in found):
                    differences.append(f"{texts[uid][0]}: {word} {'not found' if word in text else 'only found here'}")
    figure(f"messages={len(known)} of {len(texts)} words={min(WORDS, len(words))} differences={len(differences)}")
    assert not differences, "\n".join(sorted(differences))


def test_a_second_search_and_a_restart_give_the_same(server, mailbox):
    account, _ = mailbox
    seen = []
    for _ in range(2):
        with server.imap(account) as imap:
            imap.select()
            seen += [[imap.search(criteria) for criteria in ("BODY the", "TEXT from", "SUBJECT re", "HEADER received from",
                                                            "OR BODY html NOT TEXT a", "BODY xyzzyplugh")]
                     for _ in range(2)]
        server.restart()
    assert all(one == seen[0] for one in seen)
    assert list(server.directory.glob("shards/*/text/*.index"))


def encoded(charset, text):
    return (f"Subject: {charset}\r\nContent-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            .encode() + text.encode(charset) + b"\r\n")


def make_cold(server, *folders):
    """What lies in body/ and text/, or only there, is no longer in memory."""
    for path in server.directory.glob("shards/*/*/*"):
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            if not folders or path.parent.name in folders:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_cold_text_and_cold_bodies_stop_nobody(server, mailbox):
    account, _ = mailbox
    with server.imap(account) as imap, server.imap(account) as other:
        imap.select()
        other.select()
        before = imap.search("BODY the")
        for kind in ("body", "text", "both"):
            if kind == "both":
                for path in server.directory.glob("shards/*/text/*"):
                    path.unlink()
            make_cold(server, *([] if kind == "both" else [kind]))
            tag = imap.send("SEARCH BODY the")
            other.ok("NOOP")
            assert [int(one) for one in imap.wait(tag).one(b"SEARCH").split()] == before


def test_sessions_that_end_while_text_is_fetched(server, mailbox):
    account, _ = mailbox
    with server.imap(account) as imap:
        imap.select()
        before = imap.search("BODY the")
        for number in range(20):
            if number % 4 == 0:
                for path in server.directory.glob("shards/*/text/*"):
                    path.unlink(missing_ok=True)  # the shard removes what has lost its other half
            make_cold(server)
            other = server.imap(account)
            other.select()
            other.send("SEARCH BODY the")
            other.close()
        assert imap.search("BODY the") == before


def test_messages_that_another_session_removes_meanwhile(fresh_server):
    server = fresh_server({"server": {"shards": 1}, "store": {"undelete_window": "0s"}})
    account = server.add_account()
    with server.imap(account) as imap, server.imap(account) as other:
        for number in range(400):
            imap.append("INBOX", message(subject=f"number {number}") + b"word " * 8000)
        imap.select()
        other.select()
        tag = imap.send("SEARCH BODY word")
        other.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        other.ok("EXPUNGE")
        server.cli("store", "compact")
        assert imap.wait(tag).status == b"OK"
        imap.ok("NOOP")
        assert imap.search("BODY word") == []


@pytest.mark.parametrize("charset,text", [
    ("utf-8", "Grüne"), ("iso-8859-15", "5 € übrig"), ("koi8-r", "Привет мир"), ("windows-1251", "Привет мир"),
    ("gb18030", "你好"), ("shift_jis", "こんにちは"), ("iso-2022-jp", "こんにちは"), ("euc-kr", "안녕하세요"), ("big5", "你好"),
])
def test_charsets_of_bodies_and_of_commands(server, charset, text):
    account = server.add_account()
    with server.imap(account) as imap:
        imap.append("INBOX", encoded(charset, text))
        imap.append("INBOX", message())
        imap.select()
        for name, data in (("UTF-8", text.upper().encode()), (charset, text.encode(charset))):
            answer = imap.ok(f"SEARCH CHARSET {name} BODY ", wire.Literal(data))
            assert answer.one(b"SEARCH") == b"1", name


def part(fields, body, charset="utf-8"):
    return fields.replace("\n", "\r\n").encode() + b"\r\n\r\n" + (body if isinstance(body, bytes) else body.encode(charset))


# What people read, and how it is written: (a message, keys that find it, keys that do not).
AS_READ = {
    "a file name in pieces": (
        part("Content-Type: multipart/mixed; boundary=b", "--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment;\r\n"
             " filename*0=\"quarterlyre\";\r\n filename*1=\"portfinal.pdf\"\r\n\r\nx\r\n--b--\r\n"),
        ["BODY quarterlyreportfinal.pdf", "TEXT quarterlyreportfinal", "BODY filename*1"], ["HEADER Content-Disposition final"]),
    "a file name of the message itself": (
        part("Content-Type: application/pdf; name*0=quarterlyre; name*1=port.pdf\n"
             "Content-Disposition: attachment; filename*=UTF-8''%C3%A4rgerlich.pdf", "x"),
        ["TEXT ÄRGERLICH.PDF", "HEADER Content-Disposition ärgerlich", "HEADER Content-Type quarterlyreport"],
        ["BODY ärgerlich", "HEADER Subject ärgerlich"]),
    "a header folded with a tab": (
        part("Subject: hello\n\tworldly things\nX-Other:\tone\n\ttwo", "x"),
        ["SUBJECT \"hello worldly\"", "TEXT \"hello worldly\"", "SUBJECT \"hello\tworldly\"", "HEADER X-Other \"one two\""], []),
    "elements that nobody knows": (
        part("Content-Type: text/html", "in <st1:City>Berlin</st1:City> on <time>Monday</time>, cus<x-y>tom</x-y>word"
             "<!-- hidden --!> and<td>a cell"),
        ["BODY \"in Berlin on Monday, customword and\""], ["BODY hidden", "BODY \"and a cell\""]),
    "a body that is not the UTF-8 it says": (
        part("Content-Type: text/plain; charset=utf-8", b"caf\xe9 gr\xc3\xbcn"), ["BODY café", "BODY grün"], []),
    "UTF-16 without a mark": (part("Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64",
                                  base64.encodebytes("Grüne Bäume".encode("utf-16-be"))), ["BODY \"grüne bäume\""], []),
    "UTF-16 with the other mark": (part("Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64",
                                       base64.encodebytes(b"\xff\xfe" + "Grüne Bäume".encode("utf-16-le"))), ["BODY \"grüne bäume\""], []),
    "a charset that only HTML names": (
        part("Content-Type: text/html", "<html><head><meta charset=koi8-r></head>Привет мир", "koi8-r"), ["BODY \"привет мир\""], []),
    "a charset by another name": (
        part("Content-Type: text/plain; charset=latin2", "zażółć", "iso-8859-2"), ["BODY zażółć"], []),
    "NEC's row 13": (part("Content-Type: text/plain; charset=iso-2022-jp", b"\x1b$B-!-b\x1b(B"), ["BODY ①№"], []),
    "flowed lines": (
        part("Content-Type: text/plain; format=flowed", "> quoted \r\n> words\r\nmine go \r\non and\r\nend"),
        ["BODY \"quoted words\"", "BODY \"mine go on and\""], ["BODY \"and end\"", "BODY \"words mine\""]),
    "flowed lines without blanks": (
        part("Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes", "你 \r\n好"), ["BODY 你好"], []),
    "a message in base64": (
        part("Content-Type: multipart/mixed; boundary=b", b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
             + base64.encodebytes(b"Subject: innermost\r\n\r\ndeep words\r\n") + b"--b\r\n\r\nouter\r\n--b--\r\n"),
        ["BODY innermost", "BODY \"deep words\"", "BODY outer"], ["BODY VjdDog"]),
}


@pytest.mark.parametrize("kept", [False, True])
def test_text_is_found_as_people_read_it(server, kept):
    account = server.add_account()
    problems = []
    with server.imap(account) as imap:
        for _ in range(3 if kept else 1):  # so many are worth being kept
            for data, _, _ in AS_READ.values():
                imap.append("INBOX", data)
        imap.select()
        for _ in range(2 if kept else 1):
            for number, (name, (_, found, not_found)) in enumerate(AS_READ.items(), 1):
                for key in found + not_found:
                    words, needle = key.split(" \"", 1) if '"' in key else key.rsplit(" ", 1)
                    answer = imap.ok(f"SEARCH CHARSET UTF-8 {number} {words} ", wire.Literal(needle.strip('"').encode()))
                    if (answer.one(b"SEARCH") == str(number).encode()) != (key in found):
                        problems.append(f"{name}: {key} is {'not ' if key in found else ''}found")
    assert not problems, "\n".join(problems)


def test_text_of_another_version_is_made_anew(server):
    account = server.add_account()
    with server.imap(account) as imap:
        for _ in range(40):
            imap.append("INBOX", message(subject="something"))
        imap.select()
        kept = set(server.directory.glob("shards/*/text/*.index"))
        assert len(imap.search("BODY hello")) == 40
        [index] = set(server.directory.glob("shards/*/text/*.index")) - kept
        now = index.read_bytes()
        index.write_bytes(now[:4] + bytes(byte ^ 1 for byte in now[4:8]) + now[8:])
        index.with_suffix(".text").write_bytes(b"what was made otherwise")
        assert len(imap.search("BODY hello")) == 40
        assert index.read_bytes()[:8] == now[:8]
        assert len(imap.search("BODY hello")) == 40
    assert server.cli_json("store", "check")["damaged"] == 0


def test_charsets_of_commands(server):
    account = server.add_account()
    with server.imap(account) as imap:
        imap.append("INBOX", message())
        imap.append("INBOX", part("Subject: café", "x"))
        imap.select()
        imap.no('SEARCH CHARSET "" SUBJECT x', code=b"BADCHARSET")
        for name in "utf8", "UTF-8", "us-ascii", "ansi_x3.4-1968":
            assert imap.ok(f"SEARCH CHARSET {name} SUBJECT ", wire.Literal("CAFÉ".encode())).one(b"SEARCH") == b"2"
            imap.bad(f"SEARCH CHARSET {name} SUBJECT ", wire.Literal(b"caf\xe9"))
        assert imap.ok("SEARCH CHARSET cp1252 SUBJECT ", wire.Literal(b"caf\xe9")).one(b"SEARCH") == b"2"
        nothing = wire.Literal(b"\x1b(B")  # back to ASCII, and no character
        assert imap.ok("SEARCH CHARSET iso-2022-jp BODY ", nothing).one(b"SEARCH") == b"1 2"
        assert imap.ok("SEARCH CHARSET iso-2022-jp NOT TEXT ", nothing).one(b"SEARCH") in (b"", None)
        assert imap.ok("SEARCH CHARSET iso-2022-jp OR SUBJECT nowhere BODY ", nothing).one(b"SEARCH") == b"1 2"


def test_damaged_text_on_disk_is_made_again(server, mailbox):
    account, _ = mailbox
    with server.imap(account) as imap:
        imap.select()
        before = imap.search("BODY the")
        for path in server.directory.glob("shards/*/text/*"):
            path.write_bytes(b"x" * path.stat().st_size)
        assert imap.search("BODY the") == before
        assert imap.search("BODY the") == before
    assert server.cli_json("store", "check")["damaged"] == 0


def header_of(data, field):
    """The folded values of the fields of that name; None where Python cannot say."""
    parsed = email.message_from_bytes(data, policy=email.policy.compat32)
    try:
        values = [str(email.header.make_header(email.header.decode_header(value))) for value in parsed.get_all(field, [])]
    except (LookupError, UnicodeDecodeError, ValueError, email.errors.HeaderParseError):
        return None
    return None if any("\ufffd" in value for value in values) else [folded(re.sub(r"\r?\n", "", value)) for value in values]


# Fields that Python reads otherwise: {(message, field): why}.
DIFFERENT_FIELDS = {
    ("mime4j/testmsgs/obsolete.msg", "Subject"): "Python does not take the blanks before the colon away (RFC 5322 section 4.5)",
}


@pytest.mark.parametrize("field", ["Subject", "From", "To", "Received"])
def test_words_of_header_fields(server, mailbox, field):
    account, texts = mailbox
    choice = random.Random(2047)
    mails = corpus()
    known = {uid: values for uid, (name, _) in texts.items()
             if (values := header_of(mails[name], field)) is not None and (name, field) not in DIFFERENT_FIELDS}
    words = sorted({word for values in known.values() for value in values for word in re.findall(r"[A-Z][A-Z0-9]{2,9}", value)})
    key = f"HEADER {field}" if field == "Received" else field.upper()
    differences = []
    with server.imap(account) as imap:
        imap.select()
        for word in choice.sample(words, min(60, len(words))):
            found = set(imap.search(f"{key} {word.lower()}", "UID SEARCH"))
            for uid, values in known.items():
                if any(word in value for value in values) != (uid in found):
                    differences.append(f"{texts[uid][0]}: {word} {'only found here' if uid in found else 'not found'}: {values}")
    assert not differences, "\n".join(sorted(differences))


class Mail:
    """A message as Python reads it, for a scan. A key whose value Python cannot say is None: it decides nothing."""

    def __init__(self, uid, name, data, body):
        self.uid, self.size, self.body = uid, len(data), None if name in DIFFERENT else body
        self.fields = {field: None if (name, field) in DIFFERENT_FIELDS else header_of(data, field)
                       for field in ("Subject", "From", "To", "Cc", "Bcc", "Received")}
        head = re.split(rb"\r?\n\r?\n", data, maxsplit=1)[0]
        self.head = folded(head.decode("ascii")) if head.isascii() and b"=?" not in head else None
        dates = email.message_from_bytes(data, policy=email.policy.compat32).get_all("Date", [])
        self.sent = sent_on(dates[0]) if len(dates) == 1 else None

    def has(self, field, words):
        values = self.fields[field]
        return None if values is None else any(words in value for value in values)

    def has_body(self, words):
        return None if self.body is None else words in self.body

    def has_text(self, words):
        unfolded = None if self.head is None else re.sub(r"\r?\n(?=[ \t])", "", self.head)
        return decide_or(None if unfolded is None else words in unfolded, self.has_body(words))


def sent_on(text):
    """The day that an ordinary Date says, where it was written."""
    if not re.fullmatch(r"\s*([A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\s*(\(.*\))?", text):
        return None
    return email.utils.parsedate_to_datetime(text).date()


def decide_or(one, other):
    return True if one or other else None if one is None or other is None else False


def decide_not(one):
    return None if one is None else not one


def random_leaf(choice, mails, vocabulary):
    """(the parts of a search key, what it says of a mail)."""
    kind = choice.choice(["BODY", "TEXT", "HEADER", "SENT", "SIZE", "UID"])
    if kind in ("BODY", "TEXT"):
        words = choice.choice(vocabulary[kind])
        return [f"{kind} ", wire.Literal(words.lower().encode())], (
            (lambda mail: mail.has_body(words)) if kind == "BODY" else (lambda mail: mail.has_text(words)))
    if kind == "HEADER":
        field = choice.choice(sorted(vocabulary["fields"]))
        words = choice.choice(vocabulary["fields"][field])
        key = f"{field.upper()} " if field != "Received" else "HEADER Received "
        return [key, wire.Literal(words.lower().encode())], lambda mail: mail.has(field, words)
    if kind == "SENT":
        day = choice.choice(sorted({mail.sent for mail in mails if mail.sent}))
        how, says = choice.choice([("BEFORE", lambda sent: sent < day), ("ON", lambda sent: sent == day), ("SINCE", lambda sent: sent >= day)])
        return [f"SENT{how} {day.strftime('%d-%b-%Y')}"], lambda mail: None if mail.sent is None else says(mail.sent)
    if kind == "SIZE":
        size = choice.choice(mails).size
        larger = choice.random() < 0.5
        return [f"{'LARGER' if larger else 'SMALLER'} {size}"], lambda mail: mail.size > size if larger else mail.size < size
    first, last = sorted(choice.sample([mail.uid for mail in mails], 2))
    return [f"UID {first}:{last}"], lambda mail: first <= mail.uid <= last


def random_tree(choice, mails, vocabulary, depth):
    if depth == 0 or choice.random() < 0.2:
        return random_leaf(choice, mails, vocabulary)
    one, says = random_tree(choice, mails, vocabulary, depth - 1)
    kind = choice.choice(["NOT", "OR", "AND"])
    if kind == "NOT":
        return ["NOT ", *one], lambda mail: decide_not(says(mail))
    other, says_too = random_tree(choice, mails, vocabulary, depth - 1)
    if kind == "OR":
        return ["OR ", *one, " ", *other], lambda mail: decide_or(says(mail), says_too(mail))
    return ["(", *one, " ", *other, ")"], lambda mail: decide_not(decide_or(decide_not(says(mail)), decide_not(says_too(mail))))


def phrases(texts, choice, each):
    """Words and phrases, of all scripts, that stand in the texts."""
    found = set()
    for text in texts:
        some = re.findall(r"[^\W_]{3,12}(?: [^\W_]{2,12}){0,3}", text)
        found.update(choice.sample(some, min(each, len(some))))
    return sorted(found)


def test_trees_of_criteria_are_what_a_scan_finds(server, mailbox, figure):
    account, texts = mailbox
    choice = random.Random(3501)
    data = corpus()
    mails = [Mail(uid, name, data[name], body) for uid, (name, body) in texts.items()]
    vocabulary = {"BODY": phrases([mail.body for mail in mails if mail.body], choice, 4),
                  "fields": {field: some for field in mails[0].fields
                             if (some := phrases([value for mail in mails for value in mail.fields[field] or []], choice, 2))}}
    vocabulary["TEXT"] = vocabulary["BODY"] + phrases([mail.head for mail in mails if mail.head], choice, 2)
    differences, compared = [], 0
    with server.imap(account) as imap:
        imap.select()
        for _ in range(TREES):
            parts, says = random_tree(choice, mails, vocabulary, 3)
            answer = imap.ok("UID SEARCH CHARSET UTF-8 ", *parts)
            found = {int(uid) for uid in answer.one(b"SEARCH").split()}
            for mail in mails:
                wanted = says(mail)
                compared += wanted is not None
                if wanted is not None and wanted != (mail.uid in found):
                    differences.append(f"{texts[mail.uid][0]}: {parts} {'not found' if wanted else 'only found here'}")
    figure(f"trees={TREES} compared={compared} differences={len(differences)}")
    assert not differences, "\n".join(sorted(differences)[:40])


def numbers(first, n):
    """The text of a message that no two places of are alike."""
    return "".join(f"{number:07} " + ("\r\n" if number % 10 == 9 else "") for number in range(first, first + n))


def text_files(server):
    return sum(path.stat().st_size for path in server.directory.glob("shards/*/text/*"))


def test_searches_that_are_broken_off_leave_nothing(fresh_server):
    server = fresh_server({"server": {"shards": 1}})
    account = server.add_account()
    with server.imap(account) as imap:
        imap.append("INBOX", message(body=numbers(0, 500000)))
        imap.select()
        assert imap.search("BODY 0499999") == [1]
        whole = text_files(server)
        for path in server.directory.glob("shards/*/text/*"):
            path.unlink()
        for turns in range(1, 6):
            other = server.imap(account)
            other.select()
            other.send("SEARCH BODY nowhere")
            for _ in range(turns):
                imap.ok("NOOP")  # the search has a slice between two of them
            other.line.abort()
    server.restart()  # no search is on its way
    with server.imap(account) as imap:
        imap.select()
        assert imap.search("BODY 0499999") == [1]
    assert text_files(server) == whole


def test_a_large_message_that_was_searched_in_two_mailboxes(fresh_server):
    """What the first search left is of another making than the second's, and of that the sweep takes the beginning."""
    server = fresh_server({"server": {"shards": 1}, "store": {"undelete_window": "0s"}})
    account = server.add_account()
    with server.imap(account) as imap:
        imap.ok("CREATE Other")
        imap.append("INBOX", message("first", "much\r\n" * 10000))
        imap.append("Other", message("second", "short\r\n"))
        imap.append("INBOX", message("large", numbers(0, 100000)))
        imap.select()
        assert imap.search("BODY 0099999") == [2]
        [index] = server.directory.glob("shards/*/text/*.index")
        with index.open("r+b") as file:  # as a shard leaves it that was killed while the first search wrote
            length = int.from_bytes(file.read(28)[24:], "little")
            assert file.seek(0, os.SEEK_END) > 24 + 4 + length
            file.truncate(24 + 4 + length)
        imap.ok("MOVE 2 Other")
        imap.select("Other")
        assert imap.search("BODY 0099999") == [2]
        imap.ok("STORE 1 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        before = text_bytes(server)
        server.wait_for(lambda: server.cli("store", "compact") and text_bytes(server) < before, "the text to go")
        for number in range(100, 100000, 1000):
            assert imap.search(f"BODY {number:07}") == [1], number


def text_bytes(server):
    return sum(path.stat().st_size for path in server.directory.glob("shards/*/text/*.index"))


def test_text_of_what_is_gone_is_freed(fresh_server):
    server = fresh_server({"server": {"shards": 1}, "store": {"undelete_window": "0s"}})
    account, other = server.add_account(), server.add_account()
    with server.imap(account) as imap:
        for number in range(100):
            imap.append("INBOX", message(subject=f"number {number}"))
        imap.select()
        assert len(imap.search("BODY hello")) == 100
        before = text_bytes(server)
        assert before > 0
        imap.ok("STORE 1:60 +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
        server.wait_for(lambda: server.cli("store", "compact") and text_bytes(server) < before, "the text to go")
        assert imap.search("BODY hello") == list(range(1, 41))
    server.cli("account", "remove", account.address, "--yes")
    assert text_bytes(server) == 0
    with server.imap(other) as imap:
        imap.select()
        assert imap.search("BODY hello") == []
