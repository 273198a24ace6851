"""smtp remembers where addresses lead. What an administrator changes holds from the moment that the command has ended,
also for connections that have just used the address."""

import pytest

from harness.material import message
from harness.wire import dot_stuffed


def subjects(server, account):
    with server.imap(account) as imap:
        imap.select()
        found = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])").values()
        return [one[b"BODY[HEADER.FIELDS (SUBJECT)]"].decode().partition(":")[2].strip() for one in found]


def send(client, address, subject):
    client.send_message("sender@example.net", [address], message(subject=subject))


def test_an_alias_that_turns_leads_to_the_new_account_at_once(server):
    accounts = [server.add_account(), server.add_account()]
    expected = {0: [], 1: []}
    server.cli("alias", "add", "turns@example.test", accounts[1].address)
    with server.lmtp() as client:
        for turn in range(6):
            now, before = accounts[turn % 2], accounts[(turn + 1) % 2]
            server.cli("alias", "add", "turns@example.test", now.address)
            server.cli("alias", "remove", "turns@example.test", before.address)
            remembered = server.sum_of("addresses_known")
            for copy in range(2):
                send(client, "turns@example.test", f"{turn}.{copy}")
                expected[turn % 2].append(f"{turn}.{copy}")
            assert server.sum_of("addresses_known") == remembered + 1
    assert [subjects(server, account) for account in accounts] == [expected[0], expected[1]]


def test_an_account_that_was_removed_is_not_known_any_more(server):
    account = server.add_account("comes-and-goes")
    with server.lmtp() as client:
        for number in range(3):
            send(client, account.address, f"of life {number}")
            assert subjects(server, account) == [f"of life {number}"]
            server.cli("account", "remove", account.address, "--yes")
            client.expect(250, "MAIL FROM:<sender@example.net>")
            client.expect(550, f"RCPT TO:<{account.address}>")
            client.expect(250, "RSET")
            account = server.add_account("comes-and-goes")
        send(client, account.address, "last")
    assert subjects(server, account) == ["last"]


@pytest.mark.parametrize("lmtp", [True, False])
def test_an_account_that_is_removed_before_its_mail_has_come_is_refused_at_once(server, lmtp):
    """No 451: who is told to come again would hear then that there is no such user."""
    account, other = server.add_account(), server.add_account()
    with server.lmtp() if lmtp else server.smtp() as client:
        client.expect(250, "MAIL FROM:<sender@example.net>")
        for one in [account, other] if lmtp else [account]:
            client.expect(250, f"RCPT TO:<{one.address}>")
        server.cli("account", "remove", account.address, "--yes")
        client.expect(354, "DATA")
        client.line.send(dot_stuffed(message(subject="late")))
        answers = [client.read() for _ in range(2 if lmtp else 1)]
        assert [code for code, _ in answers] == ([550, 250] if lmtp else [550])
        assert answers[0][1][0].startswith("5.1.1 ")
    if lmtp:
        assert subjects(server, other) == ["late"]


def test_details_and_spellings_lead_where_the_address_does(server):
    account = server.add_account("plain")
    with server.lmtp() as client:
        for address in 2 * ("plain+one@example.test", "PLAIN@EXAMPLE.test", "plain@example.test"):
            send(client, address, address)
    assert len(subjects(server, account)) == 6


def test_mail_goes_to_the_shard_that_an_account_moved_to(fresh_server):
    server = fresh_server({"server": {"shards": 2}})
    account = server.add_account()
    with server.lmtp() as client:
        send(client, account.address, "before")
        for shard in (1, 0, 1):
            server.cli("account", "move", account.address, "--shard", shard, check=False)  # it may be there
            send(client, account.address, f"in {shard}")
    assert subjects(server, account) == ["before", "in 1", "in 0", "in 1"]


def test_after_a_kill_of_auth_all_is_asked_again(fresh_server):
    server = fresh_server()
    account, other = server.add_account(), server.add_account()
    server.cli("alias", "add", "turns@example.test", account.address)
    with server.lmtp() as client:
        send(client, "turns@example.test", "before")
        server.kill_role("auth")
        server.cli("alias", "add", "turns@example.test", other.address)
        server.cli("alias", "remove", "turns@example.test", account.address)
        send(client, "turns@example.test", "after")
    assert (subjects(server, account), subjects(server, other)) == (["before"], ["after"])
