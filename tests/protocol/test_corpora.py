"""Every message of the corpora goes in by SMTP, LMTP and APPEND and comes out byte for byte by IMAP and POP3; ENVELOPE
and BODYSTRUCTURE agree with an independent parse (Python's email package) where that has nothing to object to."""

import email
import email.header
import email.utils
import re

import pytest

from harness import wire
from harness.material import corpus

MESSAGES = corpus()
CLEAN = {name: data for name, data in MESSAGES.items() if b"\0" not in data}
WITH_NUL = {name: data for name, data in MESSAGES.items() if b"\0" in data}
GROUPS = sorted({name.split("/")[0] for name in CLEAN})
SETTINGS = {"smtp": {"max_transactions": 10000}}

# What smtp puts above a message: Return-Path, then Received with its folded lines.
TRACE = re.compile(rb"Return-Path: <[^\r\n]*>\r\nReceived: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")


def group(name):
    return {key: data for key, data in CLEAN.items() if key.split("/")[0] == name}


def without_trace(data):
    match = TRACE.match(data)
    assert match, data[:300]
    return data[match.end():]


def read_by_imap(server, account, count):
    with server.imap(account) as imap:
        imap.select()
        for number in range(1, count + 1):
            one = imap.fetch(number, "(RFC822.SIZE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT])")[number]
            assert int(one[b"RFC822.SIZE"]) == len(one[b"BODY[]"])
            assert one[b"BODY[HEADER]"] + one[b"BODY[TEXT]"] == one[b"BODY[]"]
            yield one[b"BODY[]"]


def read_by_pop3(server, account, count):
    with server.pop3(account) as pop3:
        sizes = [int(line.split()[1]) for line in pop3.multiline("LIST").splitlines()]
        assert len(sizes) == count
        for number in range(1, count + 1):
            data = pop3.multiline(f"RETR {number}")
            assert len(data) == sizes[number - 1]
            yield data


def assert_same(names, sent, got, strip=lambda data: data):
    wrong = [name for name, one, other in zip(names, sent, got, strict=True) if strip(other) != one]
    assert not wrong


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("way", ["smtp", "lmtp"])
def test_delivered_mail_comes_out_byte_for_byte(server, account, way, name):
    messages = group(name)
    with getattr(server, way)() as client:
        for data in messages.values():
            client.send_message("sender@example.net", [account.address], data)
    for read in (read_by_imap, read_by_pop3):
        assert_same(messages, messages.values(), read(server, account, len(messages)), without_trace)


@pytest.mark.parametrize("name", GROUPS)
def test_appended_mail_comes_out_byte_for_byte(server, account, name):
    messages = group(name)
    with server.imap(account) as imap:
        for data in messages.values():
            imap.append("INBOX", data)
    for read in (read_by_imap, read_by_pop3):
        assert_same(messages, messages.values(), read(server, account, len(messages)))


def test_mail_with_a_nul_is_refused_everywhere(server, account):
    for data in WITH_NUL.values():
        for connect in (server.smtp, server.lmtp):
            with connect() as client:
                client.begin("sender@example.net", [account.address])
                client.line.send(wire.dot_stuffed(data))
                assert client.read()[0] // 100 == 5
        with server.imap(account) as imap:
            assert imap.command("APPEND INBOX ", wire.Literal(data)).status in (b"NO", b"BAD")
    with server.pop3(account) as pop3:
        assert pop3.stat()[0] == 0


@pytest.fixture(scope="module")
def described(server):
    """{name: {item: value}} of every message, appended as it is."""
    account = server.add_account()
    found = {}
    with server.imap(account) as imap:
        for data in CLEAN.values():
            imap.append("INBOX", data)
        imap.select()
        for number, name in enumerate(CLEAN, 1):
            found[name] = imap.fetch(number, "(ENVELOPE BODYSTRUCTURE)")[number]
    return found


def defects(message):
    found = list(message.defects)
    for part in message.walk():
        found += part.defects
    return found


def agreeable(data):
    """Python's parse of a message, or None where it had to guess. Read as Latin-1: every byte is a character."""
    message = email.message_from_string(data.decode("latin-1"))
    return None if defects(message) else message


def header(message, name):
    """The value of a field as ENVELOPE has it: the first one, unfolded, not decoded; None where there is none or it is
    not plain ASCII."""
    values = message.get_all(name)
    if not values:
        return None
    value = re.sub(r"\r\n(?=[ \t])", "", str(values[0])).strip(" \t")
    return value.encode("ascii") if value.isascii() else None


@pytest.mark.parametrize("name", GROUPS)
def test_envelope_strings_agree_with_python(described, name):
    wrong = []
    for key, data in group(name).items():
        message = agreeable(data)
        if message is None:
            continue
        envelope = described[key][b"ENVELOPE"]
        for position, field in ((0, "Date"), (1, "Subject"), (9, "Message-ID")):
            expected = header(message, field)
            if expected and envelope[position] is not None and envelope[position].strip() != expected:
                wrong.append((key, field, expected, envelope[position]))
            if expected and envelope[position] is None:
                wrong.append((key, field, expected, None))
    assert not wrong


@pytest.mark.parametrize("name", GROUPS)
def test_envelope_addresses_agree_with_python(described, name):
    """Only fields of plain mailboxes: where Python and RFC 5322 part (groups, routes, comments), test_imap_fetch has
    the RFC's own cases."""
    wrong = []
    for key, data in group(name).items():
        message = agreeable(data)
        if message is None:
            continue
        for position, field in ((2, "From"), (5, "To"), (6, "Cc")):
            value = header(message, field)
            if not value or len(message.get_all(field)) != 1 or re.search(rb"[():;\\\[\]]|<[^>]*[,@][^>]*@", value):
                continue
            expected = [address for _, address in email.utils.getaddresses([value.decode()])]
            if not all(re.fullmatch(r"[\w.+=-]+@[\w.-]+", address) for address in expected):
                continue
            got = [f"{one[2].decode()}@{one[3].decode()}" for one in described[key][b"ENVELOPE"][position] or []]
            if got != expected:
                wrong.append((key, field, expected, got))
    assert not wrong


def tree_of_python(message):
    """The tree of types: "text/plain", or ("multipart/mixed", [...])."""
    kind = message.get_content_type()
    if message.is_multipart():
        return kind, [tree_of_python(part) for part in message.get_payload()]
    return kind


def tree_of_bodystructure(structure):
    if isinstance(structure[0], list):
        parts = [part for part in structure if isinstance(part, list)]
        count = next(position for position, part in enumerate(structure) if not isinstance(part, list))
        return f"multipart/{structure[count].decode().lower()}", [tree_of_bodystructure(part) for part in parts[:count]]
    kind = f"{structure[0].decode()}/{structure[1].decode()}".lower()
    if kind == "message/rfc822":
        return kind, [tree_of_bodystructure(structure[8])]
    return kind


def comparable(message):
    """Python takes apart message/delivery-status and other message types that IMAP leaves whole, and has opinions on
    encoded message/rfc822 parts."""
    for part in message.walk():
        kind, encoding = part.get_content_type(), part.get("Content-Transfer-Encoding", "7bit").lower()
        is_letter = kind == "message/rfc822" and encoding in ("7bit", "8bit", "binary")
        if part.get_content_maintype() == "message" and not is_letter:
            return False
        if part.get_content_maintype() == "multipart" and not part.is_multipart():
            return False
        if part.get("Content-Type") is not None and len(part.get_all("Content-Type")) != 1:
            return False
    return True


@pytest.mark.parametrize("name", GROUPS)
def test_bodystructure_agrees_with_python(described, name):
    wrong = []
    for key, data in group(name).items():
        message = agreeable(data)
        if message is not None and comparable(message):
            expected, got = tree_of_python(message), tree_of_bodystructure(described[key][b"BODYSTRUCTURE"])
            if got != expected:
                wrong.append((key, expected, got))
    assert not wrong


def leaves(message, prefix=""):
    """(section number, payload as it stands in the message) of each part that holds no others."""
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for number, part in enumerate(message.get_payload(), 1):
            section = f"{prefix}{number}"
            if part.is_multipart() and part.get_content_maintype() == "multipart":
                yield from leaves(part, section + ".")
            elif part.is_multipart():
                inner = part.get_payload()[0]
                yield from leaves(inner, section + ".")
            else:
                yield section, part.get_payload()
    elif not message.is_multipart():
        yield f"{prefix}1", message.get_payload()


@pytest.mark.parametrize("name", GROUPS)
def test_parts_agree_with_python(server, account, name):
    messages = {key: data for key, data in group(name).items()
                if (parsed := agreeable(data)) is not None and comparable(parsed)}
    wrong = []
    with server.imap(account) as imap:
        for data in messages.values():
            imap.append("INBOX", data)
        imap.select()
        for number, (key, data) in enumerate(messages.items(), 1):
            for section, payload in leaves(agreeable(data)):
                got = imap.fetch(number, f"(BODY.PEEK[{section}])")[number][f"BODY[{section}]".encode()]
                if got != payload.encode("latin-1"):
                    wrong.append((key, section))
    assert not wrong
