"""The command line: on the running server and on the directory alone, for people and as JSON, with its exit codes."""

import json
import os
import pty
import select
import signal
import stat
import subprocess
import termios

import pytest

from harness.server import PASSWORD, PROJECT, binary

COMMANDS = ["account add", "account list", "account show", "account password", "account remove", "domain add",
            "domain list", "domain remove", "alias add", "alias list", "alias remove", "status", "serve",
            "undelete list", "undelete restore", "store check", "store compact", "store salvage",
            "backup", "backup list", "backup verify", "restore", "config check", "config show",
            "account move", "account quota", "export", "import", "who", "kick", "metrics", "log level", "reload"]


@pytest.fixture(scope="module", params=["running", "stopped"])
def served(request):
    """A server that runs, and one that does not: every command works on both."""
    from harness.server import Server
    one = Server()
    try:
        one.start()
        one.add_domain()
        if request.param == "stopped":
            one.stop()
        yield one
    finally:
        one.close()


def addresses(server):
    text = server.cli("account", "list", "--json").stdout
    return {one["address"] for one in json.loads(text)}


def test_accounts_come_are_listed_shown_and_go(served):
    account = served.add_account("coming")
    assert account.address in addresses(served)
    shown = served.cli_json("account", "show", account.address)
    assert shown["address"] == account.address and shown["id"] and isinstance(shown["shard"], int)
    assert account.address in served.cli("account", "list").stdout
    assert account.address in served.cli("account", "show", account.address).stdout
    served.cli("account", "remove", account.address, "--yes")
    assert account.address not in addresses(served)


def test_domains_come_are_listed_and_go(served):
    served.cli("domain", "add", "other.example")
    assert "other.example" in [one["domain"] for one in served.cli_json("domain", "list")]
    assert "other.example" in served.cli("domain", "list").stdout
    served.cli("domain", "remove", "other.example", "--yes")
    assert "other.example" not in [one["domain"] for one in served.cli_json("domain", "list")]


def test_aliases_come_are_listed_and_go(served):
    account = served.add_account()
    served.cli("alias", "add", "info@example.test", account.address)
    listed = {one["address"]: one["targets"] for one in served.cli_json("alias", "list")}
    assert listed["info@example.test"] == [account.address]
    served.cli("alias", "remove", "info@example.test")
    assert "info@example.test" not in served.cli("alias", "list").stdout


def test_alias_loops_are_refused(served):
    served.cli("alias", "add", "one@example.test", "two@example.test", check=False)
    done = served.cli("alias", "add", "two@example.test", "one@example.test", check=False)
    assert done.returncode != 0


def test_what_exists_or_does_not_is_said(served):
    account = served.add_account()
    with served.password_file() as path:
        for arguments in (["account", "add", account.address, "--password-file", path],
                          ["account", "add", "x@nowhere.example", "--password-file", path],
                          ["account", "add", "not an address", "--password-file", path],
                          ["account", "show", "nobody@example.test"],
                          ["account", "remove", "nobody@example.test", "--yes"],
                          ["domain", "add", "example.test"],
                          ["domain", "add", "not a domain"],
                          ["domain", "remove", "nowhere.example", "--yes"],
                          ["alias", "remove", "nobody@example.test"]):
            done = served.cli(*arguments, check=False)
            assert done.returncode != 0 and done.stderr.strip(), arguments


def test_a_domain_with_accounts_is_not_removed_silently(served):
    served.add_account()
    assert served.cli("domain", "remove", "example.test", check=False).returncode != 0
    assert "example.test" in served.cli("domain", "list").stdout


def test_removing_an_account_says_what_it_destroys_and_asks(served):
    account = served.add_account()
    done = served.cli("account", "remove", account.address, input="n\n", check=False)
    assert done.returncode != 0 and account.address in done.stdout + done.stderr
    assert account.address in addresses(served)
    done = served.cli("account", "remove", account.address, check=False)
    assert done.returncode != 0, "without an answer nothing is removed"
    assert account.address in addresses(served)


def test_a_password_file_that_cannot_be_read_is_named(served, tmp_path):
    for command in ("add", "new@example.test"), ("password", served.add_account().address):
        done = served.cli("account", *command, "--password-file", tmp_path / "none", check=False)
        assert done.returncode == 2
        assert done.stderr == f"mansio: cannot read the password file {tmp_path}/none: No such file or directory\n"


@pytest.mark.parametrize("command", [("domain", "list"), ("backup", "backups")], ids=" ".join)
def test_where_there_is_no_store_yet_that_is_said(tmp_path, command):
    (tmp_path / "mansio.toml").write_text(f'server.directory = "{tmp_path}/store"\n')
    done = subprocess.run([binary(), *command, "-c", "mansio.toml"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 5
    assert done.stderr == (f"mansio: there is no store in {tmp_path}/store yet, and no server answers at "
                           f"{tmp_path}/store/run/control.sock; start the server once: mansio serve -c mansio.toml\n")


def test_who_may_not_ask_the_server_hears_who_may(served):
    without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    run = served.directory / "run"
    mode = stat.S_IMODE(run.stat().st_mode)
    run.chmod(0)
    try:
        done = subprocess.run([*without, binary(), "status", "-c", served.config], capture_output=True, text=True, check=False)
    finally:
        run.chmod(mode)
    assert done.returncode == 1
    assert done.stderr == (f"mansio: cannot reach the server at {run}/control.sock: Permission denied; run this as root, or as the "
                           "user who starts the server\n")


def test_passwords_are_not_taken_from_arguments(served):
    done = served.cli("account", "add", "new@example.test", "--password", PASSWORD, check=False)
    assert done.returncode != 0 and "new@example.test" not in addresses(served)


def asks_without_echo(terminal):
    """Reads until the question stands there."""
    seen = b""
    while not seen.endswith(b"New password: "):
        assert select.select([terminal], [], [], 30)[0], seen
        seen += os.read(terminal, 1024)
    assert not termios.tcgetattr(terminal)[3] & termios.ECHO


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT], ids=lambda one: one.name)
def test_a_signal_ends_the_question_for_a_password_at_once_and_the_echo_comes_back(served, number):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(binary(), ["mansio", "account", "add", "new@example.test", "-c", served.config])
    asks_without_echo(terminal)
    if number == signal.SIGINT:
        os.write(terminal, b"half\x1a")  # Ctrl-Z, where nobody could say fg: it goes on
        asks_without_echo(terminal)
        os.write(terminal, b"half\x03")  # Ctrl-C
    else:
        os.kill(pid, number)
    ended = (0, 0)

    def is_over():
        nonlocal ended
        ended = os.waitpid(pid, os.WNOHANG)
        return ended[0] == pid
    served.wait_for(is_over, "the end of the command")
    assert os.WTERMSIG(ended[1]) == number
    assert termios.tcgetattr(terminal)[3] & termios.ECHO
    os.close(terminal)


def test_many_accounts_come_from_a_list(served):
    there = served.add_account()
    lines = ["list1@example.test secret one", "list2@example.test secret", "", "list3@nowhere.example secret", f"{there.address} secret",
             "list4@example.test", "list5@example.test \tsecret"]
    done = served.cli("account", "add", "--from", "-", input="\n".join(lines), check=False)
    assert done.returncode == 3, "of the first line that was refused"
    assert "added: 3 accounts" in done.stdout and "not added: 3" in done.stdout
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == ["line 4", "line 5", "line 6"]
    assert {"list1@example.test", "list2@example.test", "list5@example.test"} <= addresses(served)
    again = served.cli("account", "add", "--from", "-", "--json", input="list1@example.test x\r\nlist6@example.test x\r\n", check=False)
    answer = json.loads(again.stdout)
    assert again.returncode == 4 and (answer["added"], answer["failed"]) == (1, 1)
    assert answer["errors"][0]["line"] == 1 and answer["errors"][0]["address"] == "list1@example.test"
    path = served.root / "list"
    path.write_text("list7@example.test " + "x" * 200000 + "\n")
    done = served.cli("account", "add", "--from", path, check=False)
    assert done.returncode != 0 and "too long" in done.stderr
    assert served.cli("account", "add", "a@example.test", "--from", path, check=False).returncode == 2
    assert served.cli("account", "add", "--from", served.root / "missing", check=False).returncode == 1
    if served.process:
        client = served.imap()
        client.ok("LOGIN list1@example.test \"secret one\"")
        client.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(served, command):
    done = served.cli(*command.split(), "--help")
    assert f"mansio {command}" in done.stdout and "xample" in done.stdout
    assert not done.stderr


def test_each_command_group_has_a_manual_page_that_is_installed():
    pages = {page.name: page.read_text() for page in (PROJECT / "man").iterdir()}
    installed = (PROJECT / "meson.build").read_text()
    assert all(f"'man/{name}'" in installed for name in pages)
    for command in COMMANDS:
        group, _, verb = command.partition(" ")
        page = "mansio.1" if group == "serve" else f"mansio-{group}.1"
        assert page in pages and verb in pages[page], command
        assert page == "mansio.1" or f".Xr {page[:-2]} 1" in pages["mansio.1"], command


def test_help_names_every_command(served):
    text = served.cli("--help").stdout
    assert all(command.split()[0] in text for command in COMMANDS)


@pytest.mark.parametrize("address", ["a b@@", "a" * 70 + "@example.test", "a@" + "b" * 70 + ".test", "a" * 3000 + "@x.test"],
                         ids=["malformed", "long local part", "long label", "long"])
def test_an_address_that_there_cannot_be_is_wrong_usage_however_it_is_wrong(served, address):
    for words in (["account", "add", address, "--password-file", "-"], ["account", "show", address], ["domain", "add", address],
                  ["alias", "add", address, "nobody@example.test"], ["alias", "add", "list@example.test", address]):
        done = served.cli(*words, input=PASSWORD, check=False)
        assert done.returncode == 2 and address[:60] in done.stderr, words[:2]


@pytest.mark.parametrize("arguments", [[], ["frob"], ["account"], ["account", "frob"], ["account", "show"],
                                       ["status", "x"],
                                       ["account", "list", "--frob"]])
def test_wrong_usage_has_its_own_exit_code(served, arguments):
    done = served.cli(*arguments, check=False)
    assert done.returncode == 2 and done.stderr.strip()


def test_a_new_password_works_and_the_old_one_does_not(server):
    account = server.add_account()
    with server.imap(account):
        pass
    with server.password_file("another long secret") as path:
        server.cli("account", "password", account.address, "--password-file", path)
    with server.imap() as imap:
        imap.no(f'LOGIN {account.address} "{account.password}"')
        imap.ok(f'LOGIN {account.address} "another long secret"')


def test_a_removed_account_cannot_log_in_and_a_new_one_sees_no_old_mail(server):
    account = server.add_account("phoenix")
    server.deliver(account, b"Subject: private\r\n\r\nold\r\n")
    server.cli("account", "remove", account.address, "--yes")
    with server.imap() as imap:
        imap.no(f'LOGIN {account.address} "{account.password}"')
    again = server.add_account("phoenix")
    with server.imap(again) as imap:
        assert imap.status("INBOX", "MESSAGES") == {b"MESSAGES": 0}


def test_status_names_every_process_and_listener(server):
    status = server.status()
    assert {one["role"] for one in status["processes"]} >= {"supervisor", "access", "smtp", "auth", "authwork", "shard"}
    assert {one["service"] for one in status["listeners"]} == {"imap", "imaps", "pop3", "pop3s", "smtp", "lmtp",
                                                                 "submission", "submissions"}
    text = server.cli("status").stdout
    assert "shard" in text and "imaps" in text


def test_status_of_a_stopped_server_says_so(fresh_server):
    server = fresh_server()
    server.stop()
    assert server.cli("status", check=False).returncode != 0


@pytest.mark.parametrize("text,where", [
    ("[server]\nfrob = 1\n", ":2:1:"),
    ("[frob]\n", ":1:"),
    ("[server]\nshards = \"two\"\n", ":2:"),
    ("[server]\nshards = 99999\n", ":2:"),
    ("[server\n", ":1:"),
    ("[listen]\nimap = [\"nowhere\"]\n", ":2:"),
])
def test_a_broken_configuration_is_refused_with_its_place(server, tmp_path, text, where):
    path = tmp_path / "broken.toml"
    path.write_text(text)
    done = subprocess.run([binary(), "serve", "-c", path], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0 and f"broken.toml{where}" in done.stderr, done.stderr
