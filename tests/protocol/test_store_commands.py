"""Commands that the shards carry out: undelete, and the space of removed mail."""

import json
import time

import pytest

from harness.server import Server

MEGABYTE = 1024 * 1024


def message(n, size=0):
    return (f"From: Writer {n} <writer{n}@example.net>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= {n}\r\n\r\n".encode()
            + f"body {n}\r\n".encode() * (1 + size // 10))


def expunge(imap, uids):
    imap.ok(f"UID STORE {uids} +FLAGS.SILENT (\\Deleted)")
    imap.ok("EXPUNGE")


def expunged(server, account, *options):
    return server.cli_json("undelete", "list", account.address, *options)


def messages(server, account, mailbox="INBOX"):
    with server.imap(account) as imap:
        return imap.status(mailbox, "MESSAGES")[b"MESSAGES"]


def delivered(server, n, account=None):
    account = account or server.add_account()
    for i in range(1, n + 1):
        server.deliver(account, message(i))
    return account


# ---------------------------------------------------------------- undelete


def test_expunged_mail_is_listed_with_what_people_know_it_by(server):
    account = delivered(server, 2)
    assert expunged(server, account) == []
    with server.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "1")
    listed, = expunged(server, account)
    assert listed["mailbox"] == "INBOX" and listed["subject"] == "Grüße 1" and "writer1@example.net" in listed["from"]
    assert abs(listed["expunged"] - time.time()) < 60 and listed["size"] > 50
    text = server.cli("undelete", "list", account.address).stdout
    assert "Grüße 1" in text and listed["id"] in text


def test_expunged_mail_comes_back_for_everybody_at_once(server):
    account = delivered(server, 3)
    with server.imap(account) as imap:
        imap.ok("SELECT INBOX")
        imap.ok("UID STORE 2 +FLAGS (\\Flagged)")
        expunge(imap, "1:3")
        server.cli("undelete", "restore", account.address)
        assert imap.ok("NOOP").numbered(b"EXISTS") == [3]
        fetched = imap.ok("FETCH 1:3 (UID FLAGS)").fetched()
        assert [one[b"UID"] for one in fetched.values()] == [b"4", b"5", b"6"]
        assert b"\\Flagged" in fetched[2][b"FLAGS"] and b"\\Deleted" not in fetched[2][b"FLAGS"]
    assert messages(server, account) == 3
    assert expunged(server, account) == []


def test_one_message_is_put_back_by_its_id(server):
    account = delivered(server, 3)
    with server.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "1:3")
    second = expunged(server, account)[1]
    assert server.cli_json("undelete", "restore", account.address, "--id", second["id"])["restored"] == 1
    assert messages(server, account) == 1
    assert [one["subject"] for one in expunged(server, account)] == ["Grüße 1", "Grüße 3"]
    done = server.cli("undelete", "restore", account.address, "--id", second["id"], check=False)
    assert done.returncode == 3 and done.stderr


def test_mail_is_put_back_by_time_and_mailbox(server):
    account = delivered(server, 2)
    with server.imap(account) as imap:
        imap.ok("SELECT INBOX")
        imap.ok("UID MOVE 2 Archive")
        expunge(imap, "1")
        imap.ok("SELECT Archive")
        expunge(imap, "1")
    assert server.cli_json("undelete", "restore", account.address, "--since", "2100-01-01")["restored"] == 0
    assert len(expunged(server, account, "--mailbox", "Archive")) == 1
    restore = ["undelete", "restore", account.address, "--since", "1h", "--mailbox"]
    assert server.cli_json(*restore, "Archive")["restored"] == 1
    assert messages(server, account, "Archive") == 1 and messages(server, account) == 0
    assert server.cli_json(*restore, "inbox")["restored"] == 1
    assert messages(server, account) == 1


def test_subjects_of_strangers_do_not_steer_the_operators_terminal(server):
    account = server.add_account()
    server.deliver(account, b"Subject: =?utf-8?q?=1B[31mred=C2=9B2J=07_=E2=80=AEeno?=\r\n\r\nx\r\n")
    with server.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "1")
    text = server.cli("undelete", "list", account.address).stdout
    assert "?[31mred?2J? ?eno" in text and not set("\x1b\x9b\x07\u202e") & set(text)


def test_mail_of_a_deleted_mailbox_goes_to_inbox(server):
    account = delivered(server, 1)
    with server.imap(account) as imap:
        imap.ok("CREATE Work")
        imap.ok("SELECT INBOX")
        imap.ok("UID MOVE 1 Work")
        imap.ok("DELETE Work")
    assert expunged(server, account)[0]["mailbox"] == ""
    assert "(gone)" in server.cli("undelete", "list", account.address).stdout
    server.cli("undelete", "restore", account.address)
    assert messages(server, account) == 1


def test_what_was_put_back_survives_a_kill(server):
    account = delivered(server, 2)
    with server.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "1:2")
    server.cli("undelete", "restore", account.address)
    server.kill_everything()
    server.start()
    assert messages(server, account) == 2


def test_long_lists_come_whole(server):
    account = server.add_account()
    with server.imap(account) as imap:
        imap.ok("SELECT INBOX")
        for n in range(450):
            imap.append("INBOX", message(n))
        expunge(imap, "1:*")
    listed = expunged(server, account)
    assert len({one["id"] for one in listed}) == len(listed) == 450
    assert server.cli_json("undelete", "restore", account.address)["restored"] == 450
    assert messages(server, account) == 450


@pytest.mark.parametrize("arguments,status", [
    (["undelete", "list", "nobody@example.test"], 3),
    (["undelete", "restore", "nobody@example.test"], 3),
    (["undelete", "list", "not an address"], 2),
    (["undelete", "restore", "nobody@example.test", "--since", "yesterday"], 2),
    (["undelete", "restore", "nobody@example.test", "--since", ""], 2),
    (["undelete", "restore", "nobody@example.test", "--id", "x"], 2),
    (["undelete", "restore", "nobody@example.test", "--since", "2026-02-30"], 2),
    (["undelete", "restore", "nobody@example.test", "--since", "2026-02-28T24:00"], 2),
    (["undelete", "list"], 2), (["undelete"], 2), (["store", "frob"], 2), (["store", "compact", "x"], 2)])
def test_wrong_arguments_have_their_exit_codes(server, arguments, status):
    done = server.cli(*arguments, check=False)
    assert done.returncode == status and done.stderr.strip()


def test_without_a_server_the_commands_say_so():
    server = Server()
    try:
        for arguments in (["undelete", "list", "a@example.test"], ["undelete", "restore", "a@example.test"],
                          ["store", "compact"], ["store", "check"]):
            done = server.cli(*arguments, check=False)
            assert done.returncode == 5 and "server must run" in done.stderr
    finally:
        server.close()


# ---------------------------------------------------------------- space


def space(server):
    shards = [one for one in server.status(counters_of=("shard",))["processes"] if one["role"] == "shard"]
    return {key: sum(one[key] for one in shards)
            for key in ("body_bytes", "body_bytes_dead", "segments", "body_bytes_freed")}


def fill(server, account, n=30):
    with server.imap(account) as imap:
        for i in range(n):
            imap.append("INBOX", message(i, size=200_000))


def test_space_of_removed_mail_comes_back_while_mail_is_read(forgetful):
    account = forgetful.add_account()
    fill(forgetful, account)
    before = space(forgetful)
    assert before["segments"] >= 4 and before["body_bytes"] > 4 * MEGABYTE
    with forgetful.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "1:9,11:19,21:29")
        time.sleep(2)  # the window is over when the clock shows another second
        shard, = forgetful.cli_json("store", "compact")
        assert shard["done"] and shard["freed_bytes"] > 3 * MEGABYTE and shard["segments_damaged"] == 0
        for n, i in enumerate((9, 19, 29), 1):
            assert message(i, size=200_000) in imap.ok(f"FETCH {n} BODY.PEEK[]").fetched()[n][b"BODY[]"]
    after = space(forgetful)
    assert after["body_bytes"] < before["body_bytes"] / 2 and after["body_bytes_freed"] > 3 * MEGABYTE
    files = list((forgetful.directory / "shards" / "00" / "body").glob("*.seg"))
    assert len(files) == after["segments"]
    forgetful.restart()
    with forgetful.imap(account) as imap:
        imap.ok("SELECT INBOX")
        for n, i in enumerate((9, 19, 29), 1):
            assert message(i, size=200_000) in imap.ok(f"FETCH {n} BODY.PEEK[]").fetched()[n][b"BODY[]"]


def test_the_background_frees_space_by_itself_and_copies_no_faster_than_it_may(fresh_server):
    rate, mails = 160 * 1024, [message(i, size=100_000) for i in range(15)]
    server = fresh_server({"server": {"shards": 1}, "store": {
        "undelete_window": "0ms", "segment_size": "1MB", "compaction_rate": f"{rate // 1024}KB"}})
    account = server.add_account()
    with server.imap(account) as imap:
        for mail in mails:  # the last one is in another segment
            imap.append("INBOX", mail)
        imap.ok("SELECT INBOX")
        expunge(imap, "1:9")
    expunged = int(time.time())
    body = server.directory / "shards" / "00" / "body"
    server.stop()
    ends = {path.name: path.stat().st_size for path in body.glob("*.seg")}
    assert len(ends) == 2
    server.wait_for(lambda: int(time.time()) > expunged, "another second, in which the window is over")
    largest, begun = max(map(len, mails)), time.monotonic()
    server.start()  # upkeep begins with the start

    def is_freed():
        copied = sum(path.stat().st_size - ends.get(path.name, 0) for path in body.glob("*.seg") if path.name != "000001.seg")
        assert copied <= rate * (time.monotonic() - begun + 0.25) + largest + 1000
        return copied > 3 * largest and not (body / "000001.seg").exists()
    server.wait_for(is_freed, "the first segment to be freed")
    assert space(server)["body_bytes_freed"] > MEGABYTE
    with server.imap(account) as imap:
        imap.ok("SELECT INBOX")
        for n, mail in enumerate(mails[9:], 1):
            assert mail in imap.fetch(n, "BODY.PEEK[]")[n][b"BODY[]"]


def test_the_file_that_is_being_written_to_gives_its_space_back_too(forgetful):
    account = forgetful.add_account()
    fill(forgetful, account, 2)
    with forgetful.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "1")
        before = space(forgetful)["body_bytes"]
        assert before < MEGABYTE
        forgetful.wait_for(lambda: forgetful.cli_json("store", "compact")[0]["body_bytes"] < 0.6 * before, "the space")
        assert message(1, size=200_000) in imap.ok("FETCH 1 BODY.PEEK[]").fetched()[1][b"BODY[]"]


def test_nothing_goes_while_it_can_be_undeleted(server):
    account = delivered(server, 5)
    with server.imap(account) as imap:
        imap.ok("SELECT INBOX")
        expunge(imap, "1:5")
    server.cli("store", "compact")
    assert server.cli_json("undelete", "restore", account.address)["restored"] == 5
    assert json.loads(server.cli("store", "compact", "--json").stdout)[0]["done"]
    assert "SHARD" in server.cli("store", "compact").stdout


def test_compaction_under_kills_loses_nothing(forgetful):
    account = forgetful.add_account()
    for round_ in range(3):
        fill(forgetful, account, 12)
        with forgetful.imap(account) as imap:
            imap.ok("SELECT INBOX")
            expunge(imap, f"{1 + 12 * round_}:{11 + 12 * round_}")
        time.sleep(1.2)
        forgetful.cli("store", "compact")
        forgetful.kill_role("shard")
    with forgetful.imap(account) as imap:
        assert imap.ok("SELECT INBOX")
        for n in range(1, 4):
            assert message(11, size=200_000) in imap.ok(f"FETCH {n} BODY.PEEK[]").fetched()[n][b"BODY[]"]


# ---------------------------------------------------------------- check


def test_a_whole_store_is_said_to_be_whole(server):
    delivered(server, 20)
    checked = server.cli_json("store", "check")
    assert checked["damaged"] == 0 and checked["damage"] == [] and checked["messages"] >= 20
    assert "All is as it came in" in server.cli("store", "check").stdout


def test_a_damaged_message_is_named_and_all_others_go_on(forgetful):
    account = delivered(forgetful, 10)
    segment = forgetful.directory / "shards" / "00" / "body" / "000001.seg"
    at = segment.read_bytes().index(b"body 4")
    with open(segment, "r+b") as file:
        file.seek(at)
        file.write(b"BODY 4")
    done = forgetful.cli("store", "check", "--json", check=False)
    assert done.returncode == 1
    damage, = json.loads(done.stdout)["damage"]
    assert damage["account"] == forgetful.cli_json("account", "show", account.address)["id"] and damage["segment"] == 1
    text = forgetful.cli("store", "check", check=False)
    assert text.returncode == 1 and f"{account.address}, INBOX, uid {damage['uid']}: {damage['problem']}" in text.stdout
    assert damage["address"] == account.address and damage["mailbox"] == "INBOX" and damage["uid"] in range(1, 11)
    with forgetful.imap(account) as imap:
        imap.ok("SELECT INBOX")
        assert len(imap.fetch("1:*", "(UID BODY.PEEK[])")) == 10


def test_a_check_goes_on_beside_mail_that_comes_and_goes(forgetful):
    account = forgetful.add_account()
    fill(forgetful, account, 20)
    import concurrent.futures
    with concurrent.futures.ThreadPoolExecutor() as pool, forgetful.imap(account) as imap:
        checks = pool.submit(lambda: [forgetful.cli_json("store", "check")["damaged"] for _ in range(5)])
        imap.ok("SELECT INBOX")
        for _ in range(3):
            expunge(imap, "1:5")
            fill(forgetful, account, 5)
            time.sleep(1.1)
            forgetful.cli("store", "compact")
        assert checks.result() == [0] * 5


def test_a_slow_reader_gets_the_whole_message_from_a_segment_that_is_gone(forgetful):
    account = forgetful.add_account()
    large = message(0, size=10_000_000)
    with forgetful.imap(account) as slow, forgetful.imap(account) as other:
        slow.append("INBOX", message(1, size=1_000_000))  # in one segment with the large one
        slow.append("INBOX", large)
        slow.append("INBOX", message(2))
        other.ok("SELECT INBOX")
        expunge(other, "1")
        slow.ok("SELECT INBOX")
        tag = slow.send("FETCH 1 BODY.PEEK[]")  # and reads nothing
        time.sleep(1.5)
        shard, = forgetful.cli_json("store", "compact")
        assert shard["done"] and shard["freed_bytes"] > len(large)
        assert not (forgetful.directory / "shards" / "00" / "body" / "000001.seg").exists()
        assert slow.wait(tag).fetched()[1][b"BODY[]"] == large
        assert other.fetch(1, "BODY.PEEK[]")[1][b"BODY[]"] == large
