"""FETCH in all its forms, against a message whose parts lie in known places. RFC 3501 sections 6.4.5, 7.4.2"""

import pytest

from harness.material import INNER, NESTED, message

HEADER, _, TEXT = NESTED.partition(b"\r\n\r\n")
HEADER += b"\r\n\r\n"
INNER_HEADER, _, INNER_TEXT = INNER.partition(b"\r\n\r\n")
INNER_HEADER += b"\r\n\r\n"

# What BODY[section] holds. RFC 3501 section 6.4.5
SECTIONS = {
    "": NESTED,
    "HEADER": HEADER,
    "TEXT": TEXT,
    "1": b"first line\r\nsecond line\r\n",
    "1.MIME": b"Content-Type: text/plain; charset=UTF-8; format=flowed\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
    "2": INNER,
    "2.MIME": b"Content-Type: message/rfc822\r\nContent-Description: a letter\r\n\r\n",
    "2.HEADER": INNER_HEADER,
    "2.TEXT": INNER_TEXT,
    "2.1": b"plain inside",
    "2.1.MIME": b"Content-Type: text/plain\r\n\r\n",
    "2.2": b"<p>html inside</p>",
    "3": b"AAECAwQF",
    "HEADER.FIELDS (SUBJECT X-LONG)":
        b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n two lines\r\nX-Long: one\r\n\ttwo\r\n\r\n",
    "HEADER.FIELDS (X-NONE)": b"\r\n",
    "2.HEADER.FIELDS (FROM)": b"From: Inner <inner@example.org>\r\n\r\n",
    "2.HEADER.FIELDS.NOT (FROM TO CONTENT-TYPE)": b"Subject: Inside\r\n\r\n",
}


@pytest.fixture(scope="module")
def nested(server):
    account = server.add_account()
    with server.imap(account) as client:
        client.append("INBOX", NESTED)
        client.append("INBOX", message(body="line\r\n"))
        yield account


@pytest.fixture
def imap(server, nested):
    with server.imap(nested) as client:
        client.select(command="EXAMINE")
        yield client


def only(imap, item, number=1):
    found = imap.fetch(number, f"({item})")[number]
    return next(value for key, value in found.items() if key not in (b"FLAGS", b"UID"))


@pytest.mark.parametrize("section", SECTIONS)
def test_section(imap, section):
    assert only(imap, f"BODY.PEEK[{section}]") == SECTIONS[section]


@pytest.mark.parametrize("section", ["4", "1.1.1", "2.3", "3.1", "1.HEADER", "3.TEXT"])
def test_a_section_that_is_not_there_is_nil_or_empty(imap, section):
    assert only(imap, f"BODY.PEEK[{section}]") in (None, b"")


@pytest.mark.parametrize("first,count,got", [(0, 10, NESTED[:10]), (5, 7, NESTED[5:12]), (0, 10**6, NESTED),
                                             (len(NESTED) - 3, 10, NESTED[-3:]), (len(NESTED), 5, b""),
                                             (10**6, 5, b"")])
def test_partial(imap, first, count, got):
    found = imap.fetch(1, f"(BODY.PEEK[]<{first}.{count}>)")[1]
    assert found[b"BODY[]<%d>" % first] == got


def test_partial_of_a_part_and_of_a_header(imap):
    assert imap.fetch(1, "(BODY.PEEK[2.1]<6.3>)")[1][b"BODY[2.1]<6>"] == b"ins"
    assert imap.fetch(1, "(BODY.PEEK[HEADER]<0.4>)")[1][b"BODY[HEADER]<0>"] == b"From"


def test_a_message_without_parts_is_its_own_part_one(imap):
    assert only(imap, "BODY.PEEK[1]", 2) == b"line\r\n"
    assert only(imap, "BODY.PEEK[TEXT]", 2) == b"line\r\n"


def test_rfc822_forms(imap):
    found = imap.fetch(1, "(RFC822.SIZE RFC822.HEADER RFC822.TEXT RFC822)")[1]
    assert int(found[b"RFC822.SIZE"]) == len(NESTED)
    assert (found[b"RFC822.HEADER"], found[b"RFC822.TEXT"], found[b"RFC822"]) == (HEADER, TEXT, NESTED)


def test_envelope(imap):
    """RFC 3501 section 7.4.2: unfolded, not decoded; Sender and Reply-To fall back to From; groups have their marks."""
    date, subject, sender_from, sender, reply_to, to, cc, bcc, in_reply_to, message_id = only(imap, "ENVELOPE")
    assert date == b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"
    assert subject == b"=?utf-8?Q?Gr=C3=BC=C3=9Fe?= two lines"
    assert sender_from == [[b"Doe, Jane", None, b"jane", b"example.net"]]
    assert sender == [[b"Secretary", None, b"secretary", b"example.net"]]
    assert reply_to == [[None, None, b"replies", b"example.net"]]
    assert to == [[None, None, b"A Group", None], [None, None, b"a", b"example.org"],
                  [b"Bee", None, b"b", b"example.org"],
                  [None, None, None, None], [None, None, b"c", b"example.org"]]
    assert cc == [[None, None, b"cc", b"example.org"]] and bcc == [[None, None, b"bcc", b"example.org"]]
    assert in_reply_to == b"<before@example.net>" and message_id == b"<nested@example.net>"


def test_envelope_of_a_header_without_fields(server, account):
    with server.imap(account) as imap:
        imap.append("INBOX", b"\r\nonly a body\r\n")
        imap.append("INBOX", b"From: a@example.net\r\nReply-To:\r\n\r\n")
        imap.select()
        assert only(imap, "ENVELOPE") == [None] * 10
        envelope = only(imap, "ENVELOPE", 2)
        assert envelope[2] == envelope[3] == envelope[4] == [[None, None, b"a", b"example.net"]]


def test_bodystructure(imap):
    text, letter, data, subtype, *rest = only(imap, "BODYSTRUCTURE")
    assert subtype.lower() == b"mixed" and rest[0] == [b"boundary", b"outer"]
    assert [text[0].lower(), text[1].lower()] == [b"text", b"plain"] and text[2][:2] == [b"charset", b"UTF-8"]
    assert text[5].lower() == b"8bit" and int(text[6]) == len(SECTIONS["1"]) and int(text[7]) == 2
    assert [letter[0].lower(), letter[1].lower()] == [b"message", b"rfc822"] and letter[4] == b"a letter"
    assert int(letter[6]) == len(INNER) and letter[7][1] == b"Inside" and letter[8][2].lower() == b"alternative"
    assert int(letter[9]) == INNER.count(b"\r\n")
    assert [data[0].lower(), data[1].lower(), data[2]] == [b"application", b"octet-stream", [b"name", b"data.bin"]]
    assert data[3] == b"<part3@example.net>" and data[5].lower() == b"base64" and int(data[6]) == 8
    assert data[7] == b"Q2hlY2sgSW50ZWdyaXR5IQ==" and data[8] == [b"attachment", [b"filename", b"data.bin"]]
    assert data[9] == [b"en", b"de"] and data[10] == b"http://example.net/data"


def test_body_is_bodystructure_without_extensions(imap):
    text, letter, data, subtype = only(imap, "BODY")
    assert subtype.lower() == b"mixed" and len(text) == 8 and len(letter) == 10 and len(data) == 7


def test_macros(imap):
    assert set(imap.ok("FETCH 1 ALL").fetched()[1]) == {b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE"}
    assert set(imap.ok("FETCH 1 FAST").fetched()[1]) == {b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE"}
    assert set(imap.ok("FETCH 1 FULL").fetched()[1]) == {b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE",
                                                         b"BODY"}


def test_uid_fetch_always_has_the_uid(imap):
    assert imap.ok("UID FETCH 1 FLAGS").fetched()[1][b"UID"] == b"1"
    assert imap.ok("UID FETCH 99 FLAGS").untagged == []


def test_reading_marks_as_seen_and_peeking_does_not(server, account):
    with server.imap(account) as imap:
        for _ in range(5):
            imap.append("INBOX", message())
        imap.select()
        imap.fetch(1, "(BODY.PEEK[] RFC822.HEADER RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY)")
        assert b"\\Seen" not in imap.flags()[1]
        for number, item in ((1, "BODY[]"), (2, "BODY[1]"), (3, "RFC822"), (4, "RFC822.TEXT"), (5, "BODY[HEADER]")):
            answer = imap.fetch(number, f"({item})")[number]
            assert b"\\Seen" in answer[b"FLAGS"], item


@pytest.mark.parametrize("items", ["", "()", "(FROB)", "(BODY[)", "(BODY[FROB])", "(BODY[0])", "(BODY[1.0])",
                                   "(BODY[HEADER.FIELDS])",
                                   "(BODY[HEADER.FIELDS ()])", "(BODY[MIME])", "(BODY[]<0>)", "(BODY[]<0.0>)",
                                   "(BODY[]<a.b>)",
                                   "(BODY[]<1.99999999999>)", "(FLAGS", "FLAGS UID", "(ALL)"])
def test_broken_items_are_bad(imap, items):
    imap.bad(f"FETCH 1 {items}")


def test_fetch_of_an_empty_mailbox(server, account):
    with server.imap(account) as imap:
        imap.select()
        imap.bad("FETCH 1 FLAGS")
        imap.ok("UID FETCH 1:* FLAGS")


def test_a_large_message_comes_whole_and_in_pieces(server, account):
    large = message(body="".join(f"{number:09}\r\n" for number in range(300_000)))
    with server.imap(account) as imap:
        imap.append("INBOX", large)
        imap.select()
        assert only(imap, "BODY.PEEK[]") == large
        pieces = b"".join(imap.fetch(1, f"(BODY.PEEK[]<{start}.500000>)")[1][b"BODY[]<%d>" % start]
                          for start in range(0, len(large), 500_000))
        assert pieces == large


# ---------------------------------------------------------------------- PREVIEW, RFC 8970

def test_preview_is_the_first_words(server, account):
    texts = {b"Hello,\r\n\r\n  world.\r\n": b"Hello, world.", b"": b"", "caf\u00e9\r\n".encode(): "caf\u00e9".encode(),
             b"a \"b\" \\c\r\n": b'a "b" \\c', b"x" * 40000: b"x" * 200}
    with server.imap(account) as imap:
        assert b"PREVIEW" in imap.ok("CAPABILITY").one(b"CAPABILITY").split()
        for text in texts:
            imap.append("INBOX", b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text)
        imap.select()
        for items in "(PREVIEW)", "(UID PREVIEW (LAZY) FLAGS)", "PREVIEW":
            found = imap.fetch("1:*", items)
            assert [bytes(found[number][b"PREVIEW"]) for number in sorted(found)] == list(texts.values())
        assert imap.search("UNSEEN") == list(range(1, len(texts) + 1))


def preview_of_what():
    """{a message: its preview}: text that stands far from the beginning, or behind what has none."""
    html, style = b"Content-Type: text/html\r\n\r\n", b"<style>" + b"p { color: red }\r\n" * 4000 + b"</style>"
    report = b"X-Report: " + (b"x" * 70 + b"\r\n ") * 500 + b"end\r\n"
    mixed, alternative = (b"Content-Type: multipart/%s; boundary=b\r\n\r\n--b\r\n" % kind for kind in (b"mixed", b"alternative"))
    return {report + b"\r\nbehind a header": b"behind a header", html + style + b"behind style": b"behind style",
            alternative + b"\r\n \r\n--b\r\n" + html + b"<p>html\r\n--b--": b"html",
            alternative + b"\r\n \r\n--b\r\n" + html + style + b"<p>far html\r\n--b--": b"far html",
            mixed + html + b"the letter\r\n--b\r\n\r\nthe list's footer\r\n--b--": b"the letter",
            mixed + html + style + b"a far letter\r\n--b\r\n\r\nthe list's footer\r\n--b--": b"a far letter",
            html + b"<p>" * 40000: b"", html + b"&nbsp;" * 40000: b""}


def test_preview_finds_the_text_that_is_there(server, account):
    texts = preview_of_what()
    with server.imap(account) as imap:
        for data in texts:
            imap.append("INBOX", data)
        imap.select()
        for items in "(PREVIEW)", "(PREVIEW (LAZY))", "(PREVIEW PREVIEW (LAZY))":
            found = imap.fetch("1:*", items)
            assert [bytes(found[number][b"PREVIEW"]) for number in sorted(found)] == list(texts.values())


def test_preview_of_cold_mail_waits_but_lazy_may_not(server, account):
    with server.imap(account) as imap:
        imap.append("INBOX", b"Subject: x\r\n\r\nHello\r\n")
        imap.select()
        one = imap.fetch("1", "(PREVIEW (LAZY))")[1]
        assert one[b"PREVIEW"] in (b"Hello", None)
        assert imap.fetch("1", "(PREVIEW)")[1][b"PREVIEW"] == b"Hello"
