"""The runners themselves: a dialogue that agrees with everything would prove nothing."""

import pytest

import imaptest_script
import james_compare
import james_script
from harness import wire


def matches(wanted, got, original=None, variables=None):
    values = wire.parse(got) if not got.startswith(b"OK") else ["OK", got[3:].decode()]
    return imaptest_script.match_response(wanted, values, original, {} if variables is None else variables)


@pytest.mark.parametrize("wanted, got", [
    ("1 fetch (uid 4 flags (\\seen))", b"1 FETCH (FLAGS (\\Seen \\Recent) UID 4)"),
    ("$3 expunge", b"1 EXPUNGE"),
    ("ok [uidnext 4]", b"OK [UIDNEXT 4] Next."),
    ('list ($!ban=\\noselect) "/" a', b'LIST (\\HasNoChildren) "/" "a"'),
    ("1 fetch (body[] {{{\nA: b\n\n\n}}})", b"1 FETCH (BODY[] {8}\r\nA: b\r\n\r\n)"),
    ("search", b"SEARCH"),
])
def test_imaptest_agrees(wanted, got):
    assert matches(wanted, got, 3)


@pytest.mark.parametrize("wanted, got", [
    ("1 fetch (flags (\\seen \\draft))", b"1 FETCH (FLAGS (\\Seen))"),
    ("1 fetch (uid 4)", b"1 FETCH (FLAGS ())"),
    ("2 fetch (uid 4)", b"1 FETCH (UID 4)"),
    ("$1 expunge", b"1 EXPUNGE"),
    ("ok [uidnext 4]", b"OK [UIDNEXT 5] Next."),
    ('list ($!ban=\\noselect) "/" a', b'LIST (\\Noselect) "/" "a"'),
    ("1 fetch (body[] {{{\na: b\n}}})", b"1 FETCH (BODY[] {4}\r\nA: b)"),
    ("search", b"SEARCH 1"),
    ("search 1 2", b"SEARCH 1"),
])
def test_imaptest_differs(wanted, got):
    assert not matches(wanted, got, 3)


def test_imaptest_binds_a_variable_once():
    variables = {}
    assert matches("1 fetch (uid $uid)", b"1 FETCH (UID 9)", variables=variables) and variables == {"uid": "9"}
    assert not matches("2 fetch (uid $uid)", b"2 FETCH (UID 8)", variables=variables)


def james(wanted, *got, in_select=False):
    """The differences, without their lines."""
    hears = [james_script.Hear(one, 1) for one in wanted]
    return [text for _, text in james_compare.untagged(hears, list(got), in_select)]


@pytest.mark.parametrize("wanted, got", [
    ([r"\* 1 FETCH \(FLAGS \(\\Seen \\Recent\) UID 2\)"], ["* 1 FETCH (UID 2 FLAGS (\\Recent \\Seen))"]),
    ([r"\* 1 FETCH \(FLAGS \(\\Seen\) UID 2\)"], ["* 1 FETCH (UID 2)", "* 1 FETCH (FLAGS (\\Seen))"]),
    ([r"\* 1 EXPUNGE", r"\* 2 EXPUNGE"], ["* 3 EXPUNGE", "* 1 EXPUNGE"]),
    ([r'\* LIST \(\\HasNoChildren\) "\." "a\.b"'], ['* LIST (\\HasNoChildren \\Sent) "/" a/b']),
    ([r"\* SEARCH 1 2"], ["* SEARCH 2 1"]),
    ([r"\* OK \[UIDNEXT 4\] Predicted"], ["* OK [UIDNEXT 4] The next."]),
    ([r"\* 1 RECENT"], []),
    ([r'\* 1 FETCH \(BODY \("TEXT" "HTML" \("a" "1" "b" "2"\) NIL NIL "7BIT" 2 1\)\)'],
     ['* 1 FETCH (BODY ("text" "html" ("b" "2" "a" "1") NIL NIL "7bit" 2 1))']),
    ([], ["* 4 EXISTS", "* 1 FETCH (FLAGS ())"]),
])
def test_james_agrees(wanted, got):
    assert james(wanted, *got) == []


@pytest.mark.parametrize("wanted, got, difference", [
    ([r"\* 1 FETCH \(FLAGS \(\\Seen \\Recent\)\)"], ["* 1 FETCH (FLAGS (\\Seen))"], r"message 1: \Recent wanted"),
    ([r"\* 1 FETCH \(BODY\[\] \{3\}" + "\r\nabc\\)"], ["* 1 FETCH (BODY[] {3}\r\nabd)"], None),
    ([r"\* 1 EXPUNGE", r"\* 1 EXPUNGE"], ["* 3 EXPUNGE", "* 1 EXPUNGE"], None),
    ([], ["* SEARCH"], "* SEARCH not wanted"),
    ([r"\* OK \[UIDNEXT 4\] .*"], ["* OK [UIDNEXT 5] The next."], "* OK [UIDNEXT 4] .* wanted"),
    ([r"\* STATUS a \(MESSAGES 1\)"], ["* STATUS a (MESSAGES 2)"], None),
])
def test_james_differs(wanted, got, difference):
    found = james(wanted, *got)
    assert found and (difference is None or found == [difference])


def test_recent_counts_in_select():
    assert james([r"\* 1 RECENT"], "* 0 RECENT", in_select=True)


def test_a_script_with_literals_and_sessions(tmp_path):
    path = tmp_path / "One.test"
    path.write_text("# a comment\nC: a1 NOOP\nS: a1 OK\n\nSESSION: 2\nC: a2 FETCH 1 BODY[]\n"
                    "S: \\* 1 FETCH \\(BODY\\[\\] \\{5\\}\nS: a\\.b\nS: \\)\nS: a2 OK\n")
    first, second = james_script.read(path)
    assert (first.connection, second.connection) == (1, 2)
    assert [one.pattern for one in second.hears] == [
        "\\* 1 FETCH \\(BODY\\[\\] \\{5\\}\r\na\\.b\r\n\\)", "a2 OK"]
