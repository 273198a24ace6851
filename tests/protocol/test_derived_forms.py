"""What is kept of a message for ENVELOPE and BODYSTRUCTURE is bounded by its size; no message is refused for it, neither when it
comes nor when it is read again: moved, restored or salvaged, also under other limits."""

import json
import mailbox

import pytest

from harness.material import message

FOLD = 50
TOGETHER = 30  # bytes of ENVELOPE, BODY and BODYSTRUCTURE for each byte of mail, at the very most


def folded(name, address, n):
    """A field of n addresses, some on each line."""
    line = address * FOLD
    return f"{name}: " + "\r\n ".join([line] * (n // FOLD)) + "\r\n"


def with_messages(n, inner, subject="many addresses"):
    """A multipart of n messages with this header."""
    part = f"--b\r\nContent-Type: message/rfc822\r\n\r\n{inner}Subject: inside\r\n\r\n\r\n"
    return (f"Subject: {subject}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + part * n + "--b--\r\n").encode()


def with_parameters(n=2, size=200_000):
    """Their printed form is three times as long."""
    name = "\r\n ".join(["\x01" * 900] * (size // 900))
    part = f"--b\r\nContent-Type: a/b; name*=''\r\n {name}\r\n\r\nbody\r\n"
    return ("Subject: long parameters\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + part * n + "--b--\r\n").encode()


def digest(n):
    return b"Subject: digest\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * n + b"--b--\r\n"


HOSTILE = {
    "groups": with_messages(15, folded("From", ":;", 2400)),
    "letters": with_messages(20, folded("From", "a,", 4800)),
    "top": (folded("From", ":;", 20000) + folded("To", "a,", 4000) + "Subject: x\r\n\r\nbody\r\n").encode(),
    "digest": digest(5000),
    "small digest": digest(300),
    "parameters": with_parameters(),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_kept_is_bounded_and_nothing_is_refused(server, account, kind):
    server.deliver(account, HOSTILE[kind])
    with server.imap(account) as imap:
        imap.append("INBOX", HOSTILE[kind])
        imap.select()
        length = sum(len(line) for line in imap.ok("FETCH 1 (ENVELOPE BODY BODYSTRUCTURE)").untagged)
        size = int(imap.fetch(1, "RFC822.SIZE")[1][b"RFC822.SIZE"])
        assert length <= TOGETHER * size
        own = imap.fetch(2, "(BODY.PEEK[] ENVELOPE)")[2]
        assert own[b"BODY[]"] == HOSTILE[kind]
        assert own[b"ENVELOPE"][1] == HOSTILE[kind].split(b"Subject: ")[1].split(b"\r\n")[0]


def test_a_message_over_all_bounds_is_one_part(server, account):
    with server.imap(account) as imap:
        imap.append("INBOX", HOSTILE["parameters"])
        imap.select()
        whole = HOSTILE["parameters"].split(b"\r\n\r\n", 1)[1]
        one = imap.fetch(1, "(BODY BODYSTRUCTURE BODY.PEEK[1])")[1]
        assert one[b"BODY"] == [b"application", b"octet-stream", None, None, None, b"7bit", str(len(whole)).encode()]
        assert one[b"BODYSTRUCTURE"][:7] == one[b"BODY"] and one[b"BODY[1]"] == whole


def test_addresses_that_fit_are_there(server, account):
    """Of real mail all, and of the messages in another one the first ones."""
    with server.imap(account) as imap:
        imap.append("INBOX", (folded("From", "me@example.org,", 50) + folded("To", "someone@example.org,", 2000) + "\r\n").encode())
        imap.append("INBOX", with_messages(15, folded("From", ":;", 2400)))
        imap.select()
        envelope = imap.fetch(1, "ENVELOPE")[1][b"ENVELOPE"]
        assert [len(one) for one in envelope[2:6]] == [50, 50, 50, 2000]
        inner = [part[7] for part in imap.fetch(2, "BODY")[2][b"BODY"][:15]]
        assert len(inner[0][2]) == 4800 and inner[0][2] == inner[0][3] == inner[0][4]
        assert inner[0][2][-1] == [None] * 4, "a group ends"
        assert [one[1] for one in inner] == [b"inside"] * 15 and inner[-1][2] is None


def test_such_mail_does_not_end_an_import(server, account, tmp_path):
    """It came to somebody once, and stands among others."""
    box = mailbox.mbox(tmp_path / "in.mbox")
    for one in (b"Subject: before\n\nx\n", HOSTILE["letters"].replace(b"\r\n", b"\n"), b"Subject: after\n\nx\n"):
        box.add(mailbox.mboxMessage(one))
    box.close()
    told = json.loads(server.cli("import", account.address, tmp_path / "in.mbox", "--mailbox", "INBOX", "--state", tmp_path / "state",
                                 "--json").stdout)
    assert told["messages"] == 3
    with server.imap(account) as imap:
        imap.select()
        assert [one[b"ENVELOPE"][1] for one in imap.fetch("1:3", "ENVELOPE").values()] == [b"before", b"many addresses", b"after"]


def test_stored_mail_is_read_again_under_any_limits(fresh_server):
    """More of it is looked at then than when it came."""
    server = fresh_server({"server": {"shards": 2}, "mime": {"max_header_size": "64KB", "max_addresses": 1000}})
    account = server.add_account()
    mails = [with_messages(15, folded("From", "a,", 9600)), with_parameters(), message("the last one")]
    with server.imap(account) as imap:
        for one in mails:
            imap.append("INBOX", one)
    server.cli("backup", server.root / "backup")
    server.settings["mime"] = {"max_header_size": "16MB", "max_header_total": "64MB", "max_addresses": 65535}
    server.write_config()
    server.restart()
    check = server.cli_json("store", "check")
    assert check["damaged"] == 0

    def assert_whole():
        with server.imap(account) as imap:
            assert [one.body for one in imap.contents()[b"INBOX"]] == mails

    shard = server.cli_json("account", "show", account.address)["shard"]
    server.cli("account", "move", account.address, "--shard", 1 - shard)
    assert_whole()
    server.cli("restore", server.root / "backup", "--account", account.address)
    assert_whole()
    server.stop()
    server.cli("store", "salvage")
    server.start()
    assert_whole()
