"""Which address leads where, and what commands say of addresses that are none of theirs."""

import pytest

from harness.material import message

SETTINGS = {"server": {"shards": 2}}


def subjects(server, account):
    with server.imap(account) as imap:
        imap.select()
        found = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])").values()
        return sorted(one[b"BODY[HEADER.FIELDS (SUBJECT)]"].decode().partition(":")[2].strip() for one in found)


def send(client, address, sender="sender@example.net"):
    client.send_message(sender, [address], message(subject=address.partition("@")[0]))


@pytest.mark.parametrize("delimiter", "+-")
def test_a_detail_is_what_no_longer_address_takes(fresh_server, delimiter):
    """The user's own name may have the delimiter. What smtp remembers of an address ends when a longer one is made."""
    server = fresh_server({"smtp": {"recipient_delimiter": delimiter}})
    first, owner, last = (name.replace("+", delimiter) for name in ("first", "list+owner", "first+last"))
    short, target = server.add_account(first), server.add_account("target")
    server.cli("alias", "add", f"{owner}@example.test", target.address)
    detailed = f"{last}{delimiter}x"
    with server.lmtp() as client:
        for _ in range(2):
            send(client, f"{detailed}@example.test")
        send(client, f"{owner}{delimiter}bounce@example.test")
        assert subjects(server, short) == 2 * [detailed]
        long = server.add_account(last)
        for _ in range(2):
            send(client, f"{detailed}@example.test")
        send(client, f"{first}{delimiter}{detailed}@example.test")
        assert subjects(server, long) == 2 * [detailed]
        with server.submission(long) as own:  # it is the sender's own address too
            own.expect(250, f"MAIL FROM:<{detailed}@example.test>")
        server.cli("account", "remove", long.address, "--yes")
        send(client, f"{detailed}@example.test")
    assert subjects(server, short) == sorted(3 * [detailed] + [f"{first}{delimiter}{detailed}"])
    assert subjects(server, target) == [f"{owner}{delimiter}bounce"]


def test_commands_for_accounts_say_that_an_address_is_an_alias(server, tmp_path):
    accounts = [server.add_account(f"target{n}") for n in range(6)]
    server.cli("alias", "add", "one@example.test", accounts[0].address)
    server.cli("alias", "add", "many@example.test", *(account.address for account in accounts))
    (tmp_path / "box/cur").mkdir(parents=True)
    for command in ("account show {}", "account remove {} --yes", "account quota {}", "account app-password list {}",
                    "account move {} --shard 1", "account pop3 {}", "undelete list {}",
                    f"import {{}} {tmp_path}/box --state {tmp_path}/state", f"export {{}} --to {tmp_path}/out"):
        for alias, words in (("One@example.test", "it is an alias, of target0@example.test"),
                             ("many@example.test", "it is an alias, of target0@example.test, target1@example.test, "
                              "target2@example.test and 3 more")):
            done = server.cli(*command.format(alias).split(), check=False)
            assert done.returncode == 3, (command, done.stderr)
            assert f"there is no account {alias}: {words}" in done.stderr, (command, done.stderr)
    done = server.cli("account", "show", "nobody@example.test", check=False)
    assert (done.returncode, done.stderr) == (3, "mansio: there is no account nobody@example.test\n")
    done = server.cli("alias", "add", "x@example.test", "nobody@example.test", check=False)
    assert "there is no account or alias nobody@example.test" in done.stderr


def test_a_star_is_not_taken_for_a_catch_all(server):
    account = server.add_account()
    for address in ("*@example.test", "@example.test"):
        done = server.cli("alias", "add", address, account.address, check=False)
        assert done.returncode == 2 and "no catch-all" in done.stderr, done.stderr
        assert "mansio alias add NAME@example.test" in done.stderr
        done = server.cli("account", "add", address, "--generate-password", check=False)
        assert done.returncode == 2 and "no catch-all" in done.stderr, done.stderr
        assert "mansio account add NAME@example.test" in done.stderr
    assert server.cli_json("alias", "list", "example.test") is not None
    for kind in "alias", "account":
        assert "*" not in server.cli(kind, "list").stdout
