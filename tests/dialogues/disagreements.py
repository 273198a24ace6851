"""Where we and a dialogue part, and why we stay.

KNOWN["corpus/dialogue"] lists the differences that a run must show, all of them and no others: the lines of the script,
a regular expression for the whole text of the difference, the RFC section that decides, and what it says there.
"""

import typing


class Disagreement(typing.NamedTuple):
    lines: tuple
    difference: str
    rfc: str
    why: str


# ---------------------------------------------------------------------- reasons that several dialogues share

def again_recent(*lines):
    """James gives \\Recent once more to who selects the same mailbox again."""
    return Disagreement(lines, r"\* \d+ RECENT wanted|message \d+: \\Recent wanted",
                        "RFC 3501 sections 2.3.2 and 6.3.1",
                        "a message is recent in the first session that is told of it, and SELECT ends the session "
                        "before it: it deselects first")


def not_there(*lines):
    """James sends an empty literal for a part that the message does not have."""
    return Disagreement(lines, r"message \d+: BODY\[[\d.]+(HEADER|TEXT|MIME)?\] \{0\}\\r\\n wanted, came NIL",
                        "RFC 3501 section 4.5", "NIL is what does not exist, as distinct from the empty string")


def nothing_asked(*lines):
    return Disagreement(lines, r"A\d+ OK wanted, came A\d+ BAD .*", "RFC 3501 section 9 (fetch)",
                        "between the parentheses of FETCH stands at least one item")


def no_charset(*lines):
    return Disagreement(lines, r"message \d+: BODY with the default charset wanted",
                        "RFC 3501 section 7.4.2, RFC 2045 section 5.2, RFC 2046 section 4.1.2",
                        "a part without Content-Type gets the default with its charset; a Content-Type that is there "
                        "and names none is given as it is, and who reads it assumes US-ASCII")


def wildcard(lines, difference):
    return Disagreement(lines, difference, "RFC 3501 sections 5.1 and 6.3.3",
                        "names with * and % are hard to use with LIST, and CREATE may answer NO to a name that the "
                        "server does not take")


def superior(lines, difference):
    return Disagreement(lines, difference, "RFC 3501 sections 6.3.5 and 6.3.4",
                        "RENAME should create the superior names that the new name needs, so they are there, and what "
                        "is there can be deleted")


def no_such_namespace(lines, difference):
    return Disagreement(lines, difference, "RFC 3501 section 5.1.2 and 6.3.8, RFC 2342 section 5",
                        "names of namespaces are the server's choice, told by NAMESPACE; #private and #any are "
                        "James's. Here they are names like others, without a root")


JAMES = "james-mpt-imap/"

KNOWN = {
    "imaptest/esearch": [
        Disagreement((58, 60, 62, 64, 69, 71, 73, 75), "OK wanted, BAD There is no message of that number.",
                     "RFC 3501 section 9 (seq-number)",
                     "a message sequence number that is greater than the number of messages should be answered with BAD"),
        Disagreement((59, 61, 63, 65, 70, 72, 74, 76), r"esearch \(tag \$tag\).* wanted, came: ",
                     "RFC 3501 section 9 (seq-number)", "what was answered with BAD has no result"),
    ],
    "imaptest/move": [
        Disagreement((47,), r"1 exists wanted, came: \* OK \[COPYUID .*\] .* / \* 2 EXISTS / .*\* 1 EXPUNGE",
                     "RFC 3501 section 7.4.1",
                     "EXPUNGE lowers the number of messages at once, no EXISTS needs to follow: 2 EXISTS before it and "
                     "1 EXISTS after it say the same"),
    ],
    JAMES + "AuthenticatePlain": [
        Disagreement((21, 43, 85, 93, 101), r"\d+ (OK|NO) wanted, came \d+ BAD .*", "RFC 3501 section 9 (authenticate)",
                     "the mechanism is an atom, not a quoted string, and nothing in the command is a literal"),
        Disagreement((27, 49, 107), r"\d+ OK wanted, came \d+ BAD .*", "RFC 3501 section 3",
                     "follows from the line before: SELECT without a login"),
    ],
    JAMES + "BodyPartialFetch": [again_recent(73, 81)],
    JAMES + "ConcurrentExistsResponse": [
        Disagreement((95,), r"3b OK wanted, came 3b BAD .*", "RFC 3501 sections 9 (seq-number) and 7.4.1",
                     "a number above those that the session was told of is answered with BAD; the session hears of the "
                     "message with this answer"),
        Disagreement((108,), r"\* 1 FETCH \(FLAGS \(\\Flagged \\Recent\)\) wanted", "RFC 3501 section 7.4.2 (FLAGS)",
                     "follows from that: nobody has flagged the message"),
    ],
    JAMES + "CreateErrorWithLongName": [
        Disagreement((20,), "A1 BAD wanted, came A1 OK .*", "RFC 3501 section 5.1",
                     "no RFC limits a name to 200 octets; ours is longer"),
        Disagreement((26,), r"A4 BAD wanted, came A4 NO \[ALREADYEXISTS\] .*", "RFC 3501 section 6.3.5",
                     "follows from that: the new name exists, which is NO"),
    ],
    JAMES + "ExamineReadOnly": [
        again_recent(71, 95),
        Disagreement((74,), r"\* OK \[PERMANENTFLAGS .* wanted", "RFC 3501 sections 6.3.2 and 7.1",
                     "in a mailbox opened by EXAMINE no flag can be changed permanently: the list is empty"),
    ],
    JAMES + "ExpungeBasics": [again_recent(687, 695, 698, 701, 713)],
    JAMES + "FetchHeaderFields": [again_recent(281, 588)],
    JAMES + "FetchInternalDate": [
        Disagreement((37,), r'message 5: INTERNALDATE .* wanted, came "17-Jul-1996 02:44:25 -0700"',
                     "RFC 3501 sections 2.3.3 and 6.3.11",
                     "the internal date of an appended message is the one given; its zone may be west of UTC, which "
                     "the script's pattern leaves out"),
    ],
    JAMES + "FetchMultipartBodyStructure": [
        nothing_asked(209),
        not_there(589, 593, 597, 601, 650, 654, 658, 662, 666, 670, 674, 678, 682),
        no_charset(686),
    ],
    JAMES + "FetchMultipartMixedComplex": [again_recent(131, 139, 571)],
    JAMES + "FetchNILSaveDate": [
        Disagreement((43,), r'message 1: SAVEDATE NIL wanted, came "[^"]+"', "RFC 8514 section 4.2",
                     "NIL is for storage that does not know when a message came into its mailbox; this one does"),
    ],
    JAMES + "FetchRFC822Header": [not_there(55)],
    JAMES + "FetchSimpleBodyStructure": [
        nothing_asked(92),
        not_there(*range(129, 205, 5)),
    ],
    JAMES + "FetchStructureComplex": [
        nothing_asked(781),
        not_there(*range(1424, 1437, 4), *range(1454, 1487, 4), *range(2150, 2163, 4), *range(2180, 2213, 4),
                  *range(2312, 2325, 4), *range(2333, 2366, 4), *range(2610, 2667, 4), *range(2929, 2982, 4),
                  *range(3046, 3107, 4)),
        no_charset(3110, 3111, 3113, 3114),
    ],
    JAMES + "SearchOptionSave": [
        Disagreement((52,), r"\* SEARCH 1 wanted", "RFC 5182 section 1",
                     "with SAVE and no other option there is no SEARCH response at all"),
    ],
    JAMES + "Id": [
        Disagreement((21, 29), r"\* ID NIL wanted", "RFC 2971 section 3.2",
                     "the answer is NIL or a list of fields; ours has the name"),
        Disagreement((24,), "a1 OK wanted, came a1 BAD .*", "RFC 2971 section 4",
                     "spaces, no commas, stand between the strings"),
        Disagreement((32,), "a1 OK wanted, came a1 BAD .*", "RFC 2971 section 4",
                     "a value is a string or NIL, not an atom"),
    ],
    JAMES + "JustTag": [
        Disagreement((24,), r"\* BYE .* wanted", "RFC 3501 sections 2.2.1 and 7.1.3",
                     "what does not have the syntax of a command is answered with BAD; nothing asks for the end of the "
                     "connection"),
    ],
    JAMES + "ListNamespace": [
        no_such_namespace((33, 36), r'\* LIST \(\\Noselect\) "\." "#private" wanted'),
        no_such_namespace((32, 35), r'\* LIST \(\\Noselect\) "/" "" not wanted'),
    ],
    JAMES + "ListWithPercentWildcardInMailboxName": [
        wildcard((2, 6), r"\w+ OK wanted, came \w+ NO \[CANNOT\] .*"),
        wildcard((13, 20, 27, 29, 37, 39, 47, 54),
                 r'\* LIST \(\\HasNoChildren\) "\." "(star\*|percent%)mailbox" wanted'),
        wildcard((60, 64), r"\w+ OK wanted, came \w+ NO \[NONEXISTENT\] .*"),
    ],
    JAMES + "MimePartialFetch": [again_recent(130, 140)],
    JAMES + "MoveNoMSG": [
        Disagreement((38,), r"a4 BAD wanted, came a4 NO \[TRYCREATE\] .*", "RFC 3501 sections 6.4.8 and 6.4.7",
                     "a UID that does not exist is passed over without an error; a destination that does not exist is "
                     "NO with TRYCREATE"),
    ],
    JAMES + "NoCommand": [
        Disagreement((24,), r"\* BYE .* wanted", "RFC 3501 sections 2.2.1 and 7.1.3", "as in JustTag"),
    ],
    JAMES + "PeekMultipartAlternative": [again_recent(68)],
    JAMES + "PeekMultipartMixedComplex": [again_recent(130)],
    JAMES + "RenameHierarchy": [
        superior((37, 47, 57, 67, 77), r'\* LIST \(\\HasChildren\) "/" alpha not wanted'),
        superior((47, 57, 67, 77, 89), r'\* LIST \(\\HasChildren\) "/" alpha/beta/gamma not wanted'),
        superior((87,), "A18 NO wanted, came A18 OK .*"),
        superior((89,), r'\* LIST \(\\Noselect \\HasChildren\) "/" alpha not wanted'),
    ],
    JAMES + "RenameSelected": [
        again_recent(92, 100, 106, 112, 118, 124, 148, 154, 160, 166, 172, 180, 181, 184, 185, 186, 189, 195, 201, 207,
                     213, 226, 234, 240, 246, 252, 258),
    ],
    JAMES + "SharedMailbox": [
        no_such_namespace((34,), "a005 NO wanted, came a005 OK .*"),
        no_such_namespace((40, 42, 48), r'\* LIST \(\\Has(No)?Children\) "\." "(other|test2|other\.test3)" wanted'),
        no_such_namespace((37,), r'\* LIST \(\\HasChildren\) "/" #(any|private) not wanted'),
    ],
    JAMES + "ValidNonAuthenticated": [
        Disagreement((20, 22), r"\w+ NO wanted, came \w+ BAD .*", "RFC 3501 section 3",
                     "a command in the wrong state is answered with BAD or NO, as the server likes"),
    ],
}
