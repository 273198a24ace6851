"""Mail to send: small messages made here, and the test corpora of others beside the project (MANSIO_CORPORA)."""

import os
import pathlib
import re

import pytest

from .server import PROJECT

CORPORA = pathlib.Path(os.environ.get("MANSIO_CORPORA", PROJECT.parent / "shared" / "corpora"))

# Where whole messages lie in the corpora, one a file.
_FILES = [
    "james-mailbox-eml/**/*.eml", "jsmime/data/*", "mail-auth/**/*.eml", "mail-auth/**/*.msg", "mail-auth/**/*.txt",
    "mail-parser/eml/**/*.eml", "mail-parser/maildir/*/*", "mime4j/testmsgs/*.msg", "mime4j/mimetools-testmsgs/*.msg",
    "mimekit/**/*.eml", "mimekit/**/*.msg", "python-email/*.txt",
]
# Many messages a file.
_MBOXES = ["imaptest/*.mbox", "mimekit/**/*.mbox*", "james-mailbox-eml/**/*.mbox"]


def with_crlf(data):
    """The same lines, each ended by CRLF, the last one too."""
    data = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def _split_mbox(data):
    """The messages of an mbox file, whose "From " lines stand after an empty line or at the very beginning."""
    return [part.partition(b"\n")[2] for part in re.split(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From ", data)[1:]]


def corpus():
    """{name: message with CRLF line ends}, the same message only once; skips the test where there is no corpus."""
    if not CORPORA.is_dir():
        pytest.skip(f"no test corpora at {CORPORA.name} (MANSIO_CORPORA)", allow_module_level=True)
    found = {}
    for pattern in _FILES:
        for path in sorted(CORPORA.glob(pattern)):
            if path.is_file() and path.name not in ("SOURCE", "LICENSE", "README.txt"):
                found[str(path.relative_to(CORPORA))] = path.read_bytes()
    for pattern in _MBOXES:
        for path in sorted(CORPORA.glob(pattern)):
            for number, message in enumerate(_split_mbox(path.read_bytes()), 1):
                found[f"{path.relative_to(CORPORA)}:{number}"] = message
    unique = {}
    for name, data in found.items():
        unique.setdefault(with_crlf(data), name)
    return {name: data for data, name in unique.items() if data.strip()}


def message(subject="A subject", body="Hello.\r\n", sender="sender@example.net", recipient="user@example.test",
            extra=""):
    """A small message; `extra` are further header lines with their CRLF."""
    return (f"From: Sender <{sender}>\r\nTo: {recipient}\r\nSubject: {subject}\r\n"
            f"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <{abs(hash((subject, body)))}@example.net>\r\n"
            f"{extra}\r\n{body}").encode()


# Bodies that go wrong on the way elsewhere: nothing, dots and "From " at line starts, 8 bits, the longest lines, much.
AWKWARD_BODIES = ["Hello.\r\n", "", ".\r\n..\r\n.x\r\nFrom here on\r\n>From there\r\n", "Grüße\r\n",
                  "x" * 998 + "\r\n", "0123456789abcdef\r\n" * 20000]


# A message with what FETCH can ask for: nested multiparts, a message inside, an attachment, all in known places.
INNER = (b"From: Inner <inner@example.org>\r\nTo: someone@example.org\r\nSubject: Inside\r\n"
         b"Content-Type: multipart/alternative; boundary=inner\r\n\r\n"
         b"--inner\r\nContent-Type: text/plain\r\n\r\nplain inside\r\n"
         b"--inner\r\nContent-Type: text/html\r\n\r\n<p>html inside</p>\r\n--inner--\r\n")
NESTED = (b"From: \"Doe, Jane\" <jane@example.net>\r\nSender: Secretary <secretary@example.net>\r\n"
          b"Reply-To: replies@example.net\r\nTo: A Group: a@example.org, Bee <b@example.org>;, c@example.org\r\n"
          b"Cc: cc@example.org\r\nBcc: bcc@example.org\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n two lines\r\n"
          b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nMessage-ID: <nested@example.net>\r\n"
          b"In-Reply-To: <before@example.net>\r\nMIME-Version: 1.0\r\nX-Long: one\r\n\ttwo\r\n"
          b"Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n"
          b"preamble\r\n"
          b"--outer\r\nContent-Type: text/plain; charset=UTF-8; format=flowed\r\n"
          b"Content-Transfer-Encoding: 8bit\r\n\r\n"
          b"first line\r\nsecond line\r\n\r\n"
          b"--outer\r\nContent-Type: message/rfc822\r\nContent-Description: a letter\r\n\r\n" + INNER + b"\r\n"
          b"--outer\r\nContent-Type: application/octet-stream; name=data.bin\r\nContent-Transfer-Encoding: base64\r\n"
          b"Content-ID: <part3@example.net>\r\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n"
          b"Content-Disposition: attachment; filename=data.bin\r\nContent-Language: en, de\r\n"
          b"Content-Location: http://example.net/data\r\n\r\n"
          b"AAECAwQF\r\n--outer--\r\nepilogue\r\n")
