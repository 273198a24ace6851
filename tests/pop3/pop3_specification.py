"""POP3 as this server speaks it, written down: in which state which command line gets which answer, and the sentence
that decides it, in our words. test_pop3_specification.py says every line of it to a server.

A rule holds for each of its states with each of its command lines. In command lines {user}, {password} and {plain} (the
one message of SASL PLAIN, in base64) are those of the account; \\0 and the like are the bytes themselves.
"""

import base64
import collections
import re

# ---------------------------------------------------------------------- states

# AUTHORIZATION (RFC 1939 section 4): who is it?
GREETED = "greeted"        # in the clear; the server has a certificate, and takes passwords
NAMED = "named"            # USER was answered +OK
ENCRYPTED = "encrypted"    # after STLS
WIDE = "wide"              # after UTF8
LOCKED = "locked"          # in the clear, where passwords need TLS
CHALLENGED = "challenged"  # AUTH PLAIN was answered "+ ": the next line is a response, whatever it looks like

# TRANSACTION (section 5). Three messages, numbers 1 to 3.
OPEN = "open"
MARKED = "marked"          # message 2 is marked as deleted
EMPTY = "empty"            # there is no message

AUTHORIZATION = (GREETED, NAMED, ENCRYPTED, WIDE, LOCKED)
TRANSACTION = (OPEN, MARKED, EMPTY)
STATES = AUTHORIZATION + TRANSACTION
MAY_LOG_IN = (GREETED, NAMED, ENCRYPTED, WIDE)

# ---------------------------------------------------------------------- answers

OK = "+OK"          # one line
LINES = "+OK ..."   # and a body, dots stuffed, ended by a line with a dot
GO_ON = "+ "        # the empty challenge of SASL
BYE = "+OK bye"     # and the server closes
TLS = "+OK tls"     # and the handshake begins
ERR = "-ERR"        # without a response code


def go_on(prompt):
    """A challenge of SASL with a text."""
    return GO_ON + base64.b64encode(prompt).decode()


def err(code):
    """-ERR with a response code (RFC 2449 section 8)."""
    return f"-ERR [{code}]"


# ---------------------------------------------------------------------- commands

_NUMBER = r" +\d+ *"
_TEXT = r" [ -~]{1,248}"  # a line has 255 octets at most, its CRLF too (RFC 2449 section 4)

# {command: (a pattern for what stands behind its keyword when that is well-formed, whatever comes of it;
#            has it arguments: may they be missing?)}
COMMANDS = {
    "AUTH": (r" (PLAIN|LOGIN)( [\w+/={}]+)?", True), "CAPA": (r" *", False), "DELE": (_NUMBER, True),
    "LANG": (r" (\*|en(-GB)?)", True), "LIST": (_NUMBER, True), "NOOP": (r" *", False), "PASS": (_TEXT, True),
    "QUIT": (r" *", False), "RETR": (_NUMBER, True), "RSET": (r" *", False), "STAT": (r" *", False),
    "STLS": (r" *", False), "TOP": (_NUMBER + _NUMBER, True), "UIDL": (_NUMBER, True), "USER": (_TEXT, True),
    "UTF8": (r" *", False),
}
GOOD, BAD, MISSING = "good", "bad", "missing"


def arguments(line):
    """(command, of which kind its arguments are) of a command line."""
    command = line.split(" ")[0].upper()
    pattern, has_any = COMMANDS[command]
    rest = line[len(command):]
    if has_any and not rest.strip(" "):
        return command, MISSING
    return command, GOOD if re.fullmatch(pattern, rest, re.IGNORECASE) else BAD


# No message has such a number. Numbers that would be 1 if somebody dropped bits of them are among them.
NO_SUCH_MESSAGE = ("0", "4", "00", "4294967297", "18446744073709551617", "9" * 40)
NOT_A_NUMBER = ("-1", "+1", "x", "1x", "1.0", "0x1", "1,2", "*", "1:2")

# Longer than any command may be; a response may.
LONG_RESPONSE = base64.b64encode(b"\0user@example.test\0" + b"x" * 1000).decode()

Rule = collections.namedtuple("Rule", "source meaning states lines answer says", defaults=[""])

RULES = [
    # ------------------------------------------------------------ whatever the state
    Rule("1939 section 3", "a command that the server does not know is answered -ERR",
         STATES, ("FROB", "FROB 1", "XTND XMIT", "STATS", "LIST1", "\N{SNOWMAN}"), ERR),
    Rule("1939 section 3", "a keyword stands at the beginning of a line",
         STATES, ("", " ", " QUIT", "\tQUIT"), ERR),
    Rule("1939 section 3", "a command consists of printable ASCII: NUL and a CR alone make none",
         (GREETED, OPEN), ("CAPA\0", "QUIT\0", "CAPA\rQUIT", "USER a\0b", "PASS a\0b", "LIST 1\0", "\0"), ERR),
    Rule("1939 section 3", "keywords are known in any case",
         TRANSACTION, ("noop", "NoOp", "rset", "sTAT"), OK),
    Rule("1939 section 3", "and before login",
         (GREETED, ENCRYPTED), ("user {user}", "lang *", "Utf8"), OK),
    Rule("1939 section 3", "one space separates; more of them, and spaces at the end of a line, are overlooked",
         (OPEN,), ("NOOP ", "STAT ", "LIST 1 ", "UIDL  1", "DELE  2  "), OK),
    Rule("1939 section 7", "APOP is not offered (no timestamp in the greeting), so it is not known",
         STATES, ("APOP mrose c4c9334bac560ecc979e58001b3e22fb", "APOP"), ERR),

    # ------------------------------------------------------------ CAPA
    Rule("2449 section 5", "CAPA is there before login and after it",
         STATES, ("CAPA",), LINES),
    Rule("2449 section 5", "it has no argument",
         STATES, ("CAPA x",), ERR),

    # ------------------------------------------------------------ commands in the wrong state
    Rule("1939 section 3", "what works on the maildrop is answered -ERR before login",
         AUTHORIZATION, ("STAT", "LIST", "LIST 1", "RETR 1", "RETR", "DELE 1", "DELE", "NOOP", "RSET", "TOP 1 0", "TOP",
                         "UIDL", "UIDL 1"), ERR),
    Rule("1939 section 3", "with whatever arguments",
         AUTHORIZATION, ("STAT x", "STAT 1", "LIST x", "LIST 1 2", "RETR x", "RETR 1 2", "DELE x", "DELE 1 2", "NOOP x",
                         "RSET x", "TOP 1 x", "TOP x 0", "TOP 1 2 3", "UIDL x", "UIDL 1 2"), ERR),
    Rule("1939 section 3", "what logs in is answered -ERR after login",
         TRANSACTION, ("USER {user}", "USER", "PASS {password}", "PASS"), ERR),
    Rule("5034 section 4", "after a successful login no AUTH may follow",
         TRANSACTION, ("AUTH PLAIN {plain}", "AUTH PLAIN", "AUTH LOGIN", "AUTH", "AUTH FROB"), ERR),
    Rule("2595 section 4", "STLS belongs to AUTHORIZATION",
         TRANSACTION, ("STLS", "STLS x"), ERR),
    Rule("6856 section 2", "UTF8 belongs to AUTHORIZATION",
         TRANSACTION, ("UTF8", "UTF8 x"), ERR),

    # ------------------------------------------------------------ USER and PASS
    Rule("1939 section 7", "a name is taken; whether somebody has it is not told",
         MAY_LOG_IN, ("USER {user}", "USER nobody@example.test", "USER x"), OK),
    Rule("1939 section 7", "USER has a name",
         MAY_LOG_IN, ("USER", "USER ", "USER   "), ERR),
    Rule("1939 section 7", "PASS behind USER opens the maildrop",
         (NAMED,), ("PASS {password}",), OK),
    Rule("1939 section 7", "spaces are a part of the password, also the first and the last",
         (NAMED,), ("PASS  {password}", "PASS {password} "), err("AUTH")),
    Rule("3206 section 5", "wrong credentials, and nothing else, are [AUTH]",
         (NAMED,), ("PASS wrong", "PASS {user}", "PASS " + "x" * 200), err("AUTH")),
    Rule("1939 section 7", "PASS has a password",
         (NAMED,), ("PASS", "PASS "), ERR),
    Rule("1939 section 7", "PASS stands immediately behind a successful USER",
         (GREETED, ENCRYPTED, WIDE), ("PASS {password}", "PASS", "PASS wrong"), ERR),
    Rule("2595 section 2.3", "where passwords need TLS, they are refused without it",
         (LOCKED,), ("USER {user}", "USER", "PASS {password}", "PASS", "AUTH PLAIN {plain}", "AUTH PLAIN",
                     "AUTH LOGIN", "AUTH", "AUTH FROB", "AUTH PLAIN !!!!"), ERR),

    # ------------------------------------------------------------ AUTH
    Rule("5034 section 4", "PLAIN with an initial response",
         MAY_LOG_IN, ("AUTH PLAIN {plain}", "auth plain {plain}"), OK),
    Rule("5034 section 4", "without one: an empty challenge",
         MAY_LOG_IN, ("AUTH PLAIN",), GO_ON),
    Rule("5034 section 4", "LOGIN (draft-murchison-sasl-login) asks for the name first, then for the password",
         MAY_LOG_IN, ("AUTH LOGIN", "auth login"), go_on(b"Username:")),
    Rule("5034 section 4", "LOGIN takes a name that comes along, as clients send it",
         MAY_LOG_IN, ("AUTH LOGIN dXNlcg==",), go_on(b"Password:")),
    Rule("5034 section 4", "the name for LOGIN is base64, and not empty",
         (GREETED,), ("AUTH LOGIN =", "AUTH LOGIN !!!!", "AUTH LOGIN dXNlcg== x"), ERR),
    Rule("5034 section 4", "AUTH has a mechanism",
         MAY_LOG_IN, ("AUTH", "AUTH "), ERR),
    Rule("5034 section 4", "a mechanism that is not there is refused",
         MAY_LOG_IN, ("AUTH CRAM-MD5", "AUTH FROB {plain}", "AUTH PLAI", "AUTH LOGINS", "AUTH *"), ERR),
    Rule("5034 section 4", "what is not base64 is refused: other bytes, a pad that is not at the end",
         (GREETED,), ("AUTH PLAIN !!!!", "AUTH PLAIN =AAA", "AUTH PLAIN AAA=BBB", "AUTH PLAIN AAAAA"), ERR),
    Rule("5034 section 4", "= is the empty response, which PLAIN does not know",
         (GREETED,), ("AUTH PLAIN =",), ERR),
    Rule("4616 section 2", "PLAIN has three fields, the second not empty",
         (GREETED,), ("AUTH PLAIN AAAA", "AUTH PLAIN YWxpY2U=", "AUTH PLAIN AABwYXNz"), ERR),
    Rule("5034 section 4", "nothing stands behind the response",
         (GREETED,), ("AUTH PLAIN {plain} x",), ERR),
    Rule("3206 section 5", "a wrong password is [AUTH], and so is acting for somebody else",
         (GREETED,), ("AUTH PLAIN {plain_wrong}", "AUTH PLAIN {plain_as_other}"), err("AUTH")),

    # ------------------------------------------------------------ the response to a challenge
    Rule("5034 section 4", "the response logs in",
         (CHALLENGED,), ("{plain}",), OK),
    Rule("5034 section 4", "* cancels",
         (CHALLENGED,), ("*",), ERR),
    Rule("5034 section 4", "what is not base64 ends the exchange, with -ERR",
         (CHALLENGED,), ("!!!!", "=AAA", "AAA=BBB", "{plain} x", " {plain}", "* *"), ERR),
    Rule("5034 section 4", "a command is a response like any other, and not obeyed",
         (CHALLENGED,), tuple(COMMANDS) + ("USER {user}", "AUTH PLAIN {plain}"), ERR),
    Rule("4616 section 2", "an empty response is none of PLAIN",
         (CHALLENGED,), ("", "="), ERR),
    Rule("3206 section 5", "a wrong password is [AUTH]",
         (CHALLENGED,), ("{plain_wrong}",), err("AUTH")),
    Rule("5034 section 4", "a response may be longer than a command",
         (CHALLENGED,), (LONG_RESPONSE,), err("AUTH")),

    # ------------------------------------------------------------ STLS
    Rule("2595 section 4", "the handshake follows the +OK",
         (GREETED, NAMED, LOCKED), ("STLS",), TLS),
    Rule("2595 section 4", "there is no TLS within TLS",
         (ENCRYPTED,), ("STLS", "STLS x"), ERR),
    Rule("2595 section 4", "STLS has no argument",
         (GREETED, NAMED, LOCKED), ("STLS x",), ERR),
    Rule("6856 section 2.1", "STLS does not come after UTF8",
         (WIDE,), ("STLS", "STLS x"), ERR),

    # ------------------------------------------------------------ LANG and UTF8
    Rule("6856 section 3.2", "without a language they are listed",
         STATES, ("LANG", "LANG "), LINES),
    Rule("6856 section 3.2", "the answer names the language that was chosen, * leaves it to the server",
         STATES, ("LANG *", "LANG en", "LANG EN", "LANG en-GB"), OK, "en .+"),
    Rule("6856 section 3.2", "a language that is not spoken is -ERR",
         STATES, ("LANG de", "LANG MUL", "LANG en-", "LANG e", "LANG **", "LANG en de"), ERR),
    Rule("6856 section 2.1", "UTF8 turns UTF-8 mode on, and on again",
         AUTHORIZATION, ("UTF8",), OK),
    Rule("6856 section 2.1", "it has no argument",
         AUTHORIZATION, ("UTF8 x", "UTF8 USER"), ERR),

    # ------------------------------------------------------------ QUIT
    Rule("1939 section 4", "QUIT before login closes",
         AUTHORIZATION, ("QUIT", "quit"), BYE),
    Rule("1939 section 6", "QUIT after login goes through UPDATE and closes",
         TRANSACTION, ("QUIT",), BYE),
    Rule("1939 section 5", "QUIT has no argument",
         STATES, ("QUIT x",), ERR),

    # ------------------------------------------------------------ STAT
    Rule("1939 section 5", "messages and octets: a drop listing",
         (OPEN,), ("STAT",), OK, r"3 [1-9]\d*"),
    Rule("1939 section 5", "messages that are marked are not counted",
         (MARKED,), ("STAT",), OK, r"2 [1-9]\d*"),
    Rule("1939 section 5", "an empty maildrop has no message and no octet",
         (EMPTY,), ("STAT",), OK, "0 0"),
    Rule("1939 section 5", "STAT has no argument",
         TRANSACTION, ("STAT 1", "STAT x"), ERR),

    # ------------------------------------------------------------ LIST and UIDL
    Rule("1939 section 5", "a scan listing of each message, of none too",
         TRANSACTION, ("LIST", "LIST "), LINES),
    Rule("1939 section 5", "the scan listing of one message: its number and octets",
         (OPEN,), ("LIST 2", "LIST 002"), OK, r"2 [1-9]\d*"),
    Rule("1939 section 7", "a unique-id listing of each message, of none too",
         TRANSACTION, ("UIDL",), LINES),
    Rule("1939 section 7", "the unique-id listing of one: 1 to 70 characters from ! to ~",
         (OPEN,), ("UIDL 2",), OK, r"2 [!-~]{1,70}"),
    Rule("1939 section 5", "a message that is marked is not listed",
         (MARKED,), ("LIST 2", "UIDL 2"), ERR),
    Rule("1939 section 5", "the others are",
         (MARKED,), ("LIST 1", "LIST 3", "UIDL 1", "UIDL 3"), OK),
    Rule("1939 section 5", "a message that there is not is not listed",
         (OPEN,), tuple(f"{command} {number}" for command in ("LIST", "UIDL") for number in NO_SUCH_MESSAGE), ERR),
    Rule("1939 section 5", "nor in an empty maildrop",
         (EMPTY,), ("LIST 1", "UIDL 1", "LIST 0", "UIDL 0"), ERR),
    Rule("1939 section 3", "a message is named by a number",
         (OPEN,), tuple(f"{command} {number}" for command in ("LIST", "UIDL") for number in NOT_A_NUMBER), ERR),
    Rule("1939 section 3", "by one number",
         TRANSACTION, ("LIST 1 2", "UIDL 1 2", "LIST 1 1"), ERR),

    # ------------------------------------------------------------ RETR
    Rule("1939 section 5", "the message, byte-stuffed",
         (OPEN,), ("RETR 1", "RETR 3", "RETR 01"), LINES),
    Rule("1939 section 5", "not one that is marked",
         (MARKED,), ("RETR 2",), ERR),
    Rule("1939 section 5", "the others as before",
         (MARKED,), ("RETR 1", "RETR 3"), LINES),
    Rule("1939 section 5", "nor one that there is not",
         (OPEN,), tuple(f"RETR {number}" for number in NO_SUCH_MESSAGE), ERR),
    Rule("1939 section 5", "nor one of an empty maildrop",
         (EMPTY,), ("RETR 1", "RETR 0"), ERR),
    Rule("1939 section 5", "RETR has a message number, and nothing else",
         TRANSACTION, ("RETR", "RETR ", "RETR 1 2") + tuple(f"RETR {number}" for number in NOT_A_NUMBER), ERR),

    # ------------------------------------------------------------ DELE and RSET
    Rule("1939 section 5", "DELE marks",
         (OPEN,), ("DELE 1", "DELE 3"), OK),
    Rule("1939 section 5", "what is marked is not marked again",
         (MARKED,), ("DELE 2",), ERR),
    Rule("1939 section 5", "the others are",
         (MARKED,), ("DELE 1",), OK),
    Rule("1939 section 5", "a message that there is not is not marked",
         (OPEN,), tuple(f"DELE {number}" for number in NO_SUCH_MESSAGE), ERR),
    Rule("1939 section 5", "nor one of an empty maildrop",
         (EMPTY,), ("DELE 1", "DELE 0"), ERR),
    Rule("1939 section 5", "DELE has a message number, and nothing else",
         TRANSACTION, ("DELE", "DELE 1 2") + tuple(f"DELE {number}" for number in NOT_A_NUMBER), ERR),
    Rule("1939 section 5", "RSET takes marks back, if there are any",
         TRANSACTION, ("RSET",), OK),
    Rule("1939 section 5", "RSET has no argument",
         TRANSACTION, ("RSET 1", "RSET x"), ERR),

    # ------------------------------------------------------------ TOP
    Rule("1939 section 7", "header, empty line, and so many lines of the body; 0 and more than there are too",
         (OPEN,), ("TOP 1 0", "TOP 1 1", "TOP 3 4294967297", "TOP 1 " + "9" * 40, "TOP  1  1"), LINES),
    Rule("1939 section 7", "not of a message that is marked",
         (MARKED,), ("TOP 2 0",), ERR),
    Rule("1939 section 7", "of the others as before",
         (MARKED,), ("TOP 1 0", "TOP 3 1"), LINES),
    Rule("1939 section 7", "nor of one that there is not",
         (OPEN,), tuple(f"TOP {number} 0" for number in NO_SUCH_MESSAGE), ERR),
    Rule("1939 section 7", "nor of one of an empty maildrop",
         (EMPTY,), ("TOP 1 0",), ERR),
    Rule("1939 section 7", "TOP has both numbers, and they are not negative",
         TRANSACTION, ("TOP", "TOP 1", "TOP 1 ", "TOP 1 2 3") + tuple(f"TOP 1 {number}" for number in NOT_A_NUMBER)
         + tuple(f"TOP {number} 1" for number in NOT_A_NUMBER), ERR),

    # ------------------------------------------------------------ NOOP
    Rule("1939 section 5", "NOOP does nothing",
         TRANSACTION, ("NOOP",), OK),
    Rule("1939 section 5", "and has no argument",
         TRANSACTION, ("NOOP x", "NOOP 1"), ERR),

    # ------------------------------------------------------------ long lines
    Rule("2449 section 4", "a command may have 255 octets with its CRLF",
         (NAMED,), ("PASS " + "x" * 248,), err("AUTH")),
    Rule("2449 section 4", "and after login",
         (OPEN,), ("RETR " + "1".rjust(248, "0"),), LINES),
    Rule("1939 section 3", "a line beyond any limit is one bad command, however long it is",
         STATES + (CHALLENGED,), ("USER " + "x" * 100000, "PASS " + "x" * 100000), ERR),
    Rule("1939 section 3", "whatever it is made of",
         (GREETED, NAMED, CHALLENGED, OPEN, EMPTY), ("\0" * 70000, "NOOP" + " " * 300000), ERR),
]


def cases():
    """(state, command line, rule) of each line of each rule, once."""
    return [(state, line, rule) for rule in RULES for state in rule.states for line in rule.lines]
