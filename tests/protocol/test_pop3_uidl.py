"""POP3's unique ids (RFC 1939 section 7): they never change, whatever is done to a message, and those of another server stay
when its mail is imported."""

import mailbox
import re

import pytest

from harness.material import message

OURS = re.compile(rb"0{8}[0-9a-f]{8}")


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def mail(subject):
    return f"Subject: {subject}\r\nFrom: a@example.net\r\n\r\nHello.\r\n".encode()


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def maildir(folder, names):
    for sub in ("cur", "new", "tmp"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for n, name in enumerate(names):
        write(folder / "cur" / f"{name}:2,S", mail(name).replace(b"\r\n", b"\n"))


def import_(server, account, path, state, *options):
    return server.cli_json("import", "--state", state, account.address, path, *options)


def ids(server, account):
    """{subject: unique id}"""
    found = {}
    with server.pop3(account) as pop3:
        for number, uidl in pop3.uidl().items():
            subject = re.search(rb"Subject: ([^\r]*)", pop3.multiline(f"TOP {number} 0")).group(1)
            assert pop3.ok(f"UIDL {number}").split()[2] == uidl
            found[subject.decode()] = uidl
    return found


NAMES = ["1276528487.M36P1.host,S=70", "1276528488.M37P1.host,S=70", "1276528489.M38P1.host"]


def test_a_list_of_dovecot_with_ids_that_were_told(server, account, tmp_path, state):
    maildir(tmp_path / "box", NAMES)
    write(tmp_path / "box/dovecot-uidlist", f"3 V1275660208 N9 G1\n4 Pold-id/1 W80 :{NAMES[0]}:2,\n"
                                            f"5 W80 Px~! :{NAMES[1]}:2,S\n")
    assert import_(server, account, tmp_path / "box", state)["with_uidl"] == 2
    found = ids(server, account)
    assert found[NAMES[0]] == b"old-id/1" and found[NAMES[1]] == b"x~!" and OURS.fullmatch(found[NAMES[2]])


def test_a_list_of_dovecot_without_them_means_its_default(server, account, tmp_path, state):
    maildir(tmp_path / "box", NAMES[:2])
    maildir(tmp_path / "box/.Archive", ["other"])
    write(tmp_path / "box/dovecot-uidlist", f"3 V1275660208 N9 G1\n4 :{NAMES[0]}:2,\n171 W80 :{NAMES[1]}:2,S\n")
    write(tmp_path / "box/.Archive/dovecot-uidlist", "3 V1275660209 N9 G1\n4 :other:2,\n")
    assert import_(server, account, tmp_path / "box", state)["with_uidl"] == 2, "POP3 has shown the INBOX only"
    assert ids(server, account) == {NAMES[0]: b"000000044c0907b0", NAMES[1]: b"000000ab4c0907b0"}


@pytest.mark.parametrize("pattern,wanted", [("%v-%u", b"1275660208-4"), ("%f", NAMES[0].encode()),
                                            ("%08Xv%08Xu", b"4c0907b000000004"), ("none", None)])
def test_a_pattern_that_is_said(server, account, tmp_path, state, pattern, wanted):
    maildir(tmp_path / "box", NAMES[:1])
    write(tmp_path / "box/dovecot-uidlist", f"3 V1275660208 N9 G1\n4 :{NAMES[0]}:2,\n")
    import_(server, account, tmp_path / "box", state, "--uidl", pattern)
    (found,) = ids(server, account).values()
    assert found == wanted if wanted else OURS.fullmatch(found)


def test_lists_of_courier(server, account, tmp_path, state):
    maildir(tmp_path / "box", NAMES)
    write(tmp_path / "box/courierpop3dsizelist", f"/3 9 1275660208\n{NAMES[0]} 70 4:1275660208\n{NAMES[1]} 70 0:0\n")
    write(tmp_path / "box/courierimapuiddb", f"1 1275660208 9\n4 {NAMES[0]}\n5 {NAMES[1]}\n6 {NAMES[2]}\n")
    import_(server, account, tmp_path / "box", state)
    found = ids(server, account)
    assert found[NAMES[0]] == b"UID4-1275660208" and found[NAMES[1]] == NAMES[1].encode()
    other = server.add_account()
    import_(server, other, tmp_path / "box", tmp_path / "other", "--uidl", "%v-%u")
    assert ids(server, other)[NAMES[2]] == b"1275660208-6"


def test_a_file_with_names_and_ids(server, account, tmp_path, state):
    maildir(tmp_path / "box", NAMES)
    write(tmp_path / "ids", f"{NAMES[0]} first\n{NAMES[1]}:2,S second\nnobody third\n")
    import_(server, account, tmp_path / "box", state, "--uidl-file", tmp_path / "ids")
    found = ids(server, account)
    assert found[NAMES[0]] == b"first" and found[NAMES[1]] == b"second" and OURS.fullmatch(found[NAMES[2]])


def test_fields_of_an_mbox(server, account, tmp_path, state):
    box = mailbox.mbox(tmp_path / "mbox")
    for subject, uidl in (("one", "abc.1"), ("two", "x" * 71), ("three", "0000000000000001"), ("four", "a b"), ("five", "")):
        field = f"X-UIDL: {uidl}\r\n".encode() if uidl else b""
        box.add(field + mail(subject))
    box.flush()
    box.close()
    assert import_(server, account, tmp_path / "mbox", state)["with_uidl"] == 1
    found = ids(server, account)
    assert found.pop("one") == b"abc.1"
    assert all(OURS.fullmatch(one) for one in found.values()), "what POP3 cannot have, or looks like ours, is ours"
    assert len(set(found.values())) == 4


def test_an_id_is_unique_in_the_account(server, account, tmp_path, state):
    maildir(tmp_path / "box", NAMES)
    write(tmp_path / "ids", "".join(f"{name} same\n" for name in NAMES))
    import_(server, account, tmp_path / "box", state, "--uidl-file", tmp_path / "ids")
    import_(server, account, tmp_path / "box", state, "--uidl-file", tmp_path / "ids", "--again")
    with server.pop3(account) as pop3:
        found = list(pop3.uidl().values())
    assert len(found) == 6 and len(set(found)) == 6 and found.count(b"same") == 1
    assert sum(1 for one in found if OURS.fullmatch(one)) == 5


def test_ids_stay_whatever_is_done(fresh_server, tmp_path, state):
    server = fresh_server()
    account = server.add_account()
    maildir(tmp_path / "box", NAMES)
    write(tmp_path / "ids", f"{NAMES[0]} first\n{NAMES[1]} second\n")
    import_(server, account, tmp_path / "box", state, "--uidl-file", tmp_path / "ids")
    server.deliver(account, message("new"))
    before = ids(server, account)

    def unchanged():
        return ids(server, account) == before

    server.restart()
    assert unchanged()
    with server.imap(account) as imap:
        imap.select()
        imap.ok("UID MOVE 1:3 Archive")
        imap.select("Archive")
        imap.ok("UID MOVE 1:3 INBOX")
    assert unchanged(), "moved away and back"
    with server.imap(account) as imap:
        imap.select()
        imap.ok("STORE 1:* +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    server.cli("undelete", "restore", account.address)
    assert unchanged(), "expunged and undeleted"
    server.cli("account", "move", account.address, "--shard", 1 - server.cli_json("account", "show", account.address)["shard"])
    assert unchanged(), "in another shard"
    server.cli("store", "compact")
    assert unchanged()


def test_a_copy_has_an_id_of_its_own(server, account, tmp_path, state):
    maildir(tmp_path / "box", NAMES[:1])
    write(tmp_path / "ids", f"{NAMES[0]} first\n")
    import_(server, account, tmp_path / "box", state, "--uidl-file", tmp_path / "ids")
    with server.imap(account) as imap:
        imap.select()
        imap.ok("UID COPY 1 INBOX")
    with server.pop3(account) as pop3:
        first, second = pop3.uidl().values()
    assert first == b"first" and OURS.fullmatch(second)


@pytest.mark.parametrize("options", [("--uidl", "x"), ("--uidl", "%z"), ("--uidl", "%u%")])
def test_what_is_no_pattern_is_refused(server, account, tmp_path, state, options):
    maildir(tmp_path / "box", NAMES[:1])
    done = server.cli("import", "--state", state, account.address, tmp_path / "box", *options, check=False)
    assert done.returncode == 2


def test_hidden_mail_and_dates_go_along_to_another_shard(fresh_server, tmp_path):
    server = fresh_server({"pop3": {"mode": "keep"}})
    account = server.add_account()
    for n in range(4):
        server.deliver(account, message(f"{n}"))
    with server.pop3(account) as pop3:
        pop3.ok("DELE 1")
        pop3.ok("DELE 3")
        pop3.ok("QUIT")
    before = ids(server, account)
    assert len(before) == 2
    server.cli("account", "move", account.address, "--shard", 1 - server.cli_json("account", "show", account.address)["shard"])
    assert ids(server, account) == before


def test_salvage_keeps_ids(fresh_server, tmp_path, state):
    server = fresh_server({"server": {"shards": 1}})
    account = server.add_account()
    maildir(tmp_path / "box", NAMES)
    write(tmp_path / "ids", f"{NAMES[0]} first\n{NAMES[2]} third\n")
    import_(server, account, tmp_path / "box", state, "--uidl-file", tmp_path / "ids")
    before = ids(server, account)
    server.stop()
    server.cli("store", "salvage", "0")
    server.start()
    assert ids(server, account) == before
