"""The running server in its operator's hands: reload, who is connected, kick, metrics, log levels, status."""

import concurrent.futures
import datetime
import json
import os
import re
import signal
import ssl
import subprocess

import pytest

from harness import wire
from harness.material import message
from harness.server import Account, binary, date_certificate, make_certificate, toml


# ------------------------------------------------------------------ reload


def change(server, section, **values):
    server.settings.setdefault(section, {}).update(values)
    server.write_config()


def test_a_reload_changes_what_can_be_changed_and_says_what_cannot(fresh_server):
    server = fresh_server()
    change(server, "imap", max_keyword_length="20B", max_line="128KB")
    told = server.cli_json("reload")
    assert told["changed"] == [{"setting": "imap.max_keyword_length", "before": "100B", "after": "20B"}]
    assert told["needs_restart"] == [{"setting": "imap.max_line", "before": "64KB", "after": "128KB"}]
    assert told["tls"] is True
    log = server.log_text()
    assert 'event=setting-changed setting=imap.max_keyword_length before="\\"100B\\"" after="\\"20B\\""' in log
    assert 'event=setting-needs-restart setting=imap.max_line' in log
    # the next one knows what is in force and what is not
    again = server.cli_json("reload")
    assert again["changed"] == [] and again["needs_restart"] == told["needs_restart"]


def test_a_reload_says_for_people_what_it_did(fresh_server):
    server = fresh_server()
    assert server.cli("reload").stdout == "reloaded: no setting has changed; certificate and key were read again\n"
    change(server, "smtp", max_transactions=5)
    change(server, "server", hostname="other.example.test")
    assert server.cli("reload").stdout == (
        "reloaded; certificate and key were read again\n"
        "in force now:\n"
        "  smtp.max_transactions = 5   # in place of 1000\n"
        "in the file, in force after a restart:\n"
        '  server.hostname = "other.example.test"   # in place of "mail.example.test"\n')


@pytest.mark.smoke
def test_what_was_changed_holds_for_open_sessions_and_new_ones(fresh_server):
    server = fresh_server()
    account = server.add_account()
    server.deliver(account, message())
    with server.imap(account) as imap, server.smtp() as smtp:
        imap.select()
        imap.ok("STORE 1 +FLAGS (a-keyword-of-30-bytes-in-length)")
        change(server, "imap", max_keyword_length="20B")
        change(server, "smtp", max_message_size="64KB")
        server.cli("reload")
        assert imap.command("STORE 1 +FLAGS (another-keyword-of-30-bytes-now)").status != "OK"
        imap.ok("STORE 1 +FLAGS (short)")
        smtp.expect(552, "MAIL FROM:<a@example.net> SIZE=70000")
        with server.smtp() as fresh:
            fresh.expect(552, "MAIL FROM:<a@example.net> SIZE=70000")
            assert any("SIZE 65536" in line for line in fresh.expect(250, "EHLO client.example.net"))
        with server.imap(account) as fresh:
            fresh.ok("NOOP")


def test_quotas_follow_a_reload(fresh_server):
    server = fresh_server()
    account = server.add_account()
    server.deliver(account, message())
    change(server, "quota", messages=1)
    server.cli("reload")
    with server.lmtp() as client:
        client.expect(250, "MAIL FROM:<a@example.net>")
        client.expect(250, f"RCPT TO:<{account.address}>")
        client.expect(354, "DATA")
        client.expect(552, "Subject: one too many\r\n\r\nx\r\n.")
    change(server, "quota", messages=0)
    server.cli("reload")
    server.deliver(account, message())


def test_a_process_that_starts_after_a_reload_has_the_same_settings(fresh_server):
    server = fresh_server()
    change(server, "smtp", max_transactions=1, max_line="8KB")
    server.cli("reload")
    server.kill_role("smtp")
    account = server.add_account()
    with server.smtp() as client:
        client.send_message("a@example.net", [account.address], message())
        assert client.command("MAIL FROM:<a@example.net>")[0] >= 400
    assert [one["setting"] for one in server.cli_json("reload")["needs_restart"]] == ["smtp.max_line"]


def is_taken(smtp, address):
    """Whether a message came in. Without auth it is 451 for a moment."""
    smtp.command("RSET")
    smtp.command("MAIL FROM:<a@example.net>")
    if smtp.command(f"RCPT TO:<{address}>")[0] == 451:
        return False
    smtp.command("RSET")
    smtp.send_message("a@example.net", [address], message())
    return True


def test_one_reload_after_the_other_while_processes_come_and_go(fresh_server):
    """Each reload frees the configuration of the one before: nobody may still look at it."""
    server = fresh_server()
    account = server.add_account()
    with server.imap(account) as imap, server.smtp() as smtp:
        for n, role in enumerate(("access", "auth", "authwork", "access")):
            os.kill(server.processes(role)[0], signal.SIGKILL)
            change(server, "pop3", mailbox=f"Box {n}")
            change(server, "smtp", max_transactions=10 + n)
            told = {one["setting"] for one in server.cli_json("reload")["changed"]}
            assert told == {"pop3.mailbox", "smtp.max_transactions"}
            imap.ok(f'CREATE "Box {n}"')
            server.wait_for(lambda: is_taken(smtp, account.address.replace("@", "+detail@")), "auth to be back for smtp")
        server.wait_ready()
        with server.pop3(account):
            assert [one["mailbox"] for one in who(server) if one["protocol"] == "pop3"] == ["Box 3"]


def test_hangup_reloads_too(fresh_server):
    server = fresh_server()
    log = server.new_log()
    log()
    change(server, "login", timeout="2m")
    server.process.send_signal(signal.SIGHUP)
    text = ""

    def told():
        nonlocal text
        text += log()
        return "event=reloaded" in text
    server.wait_for(told, "the reload")
    assert 'setting=login.timeout before="\\"1m\\"" after="\\"2m\\""' in text


def test_a_file_with_errors_changes_nothing_and_all_of_them_are_said(fresh_server):
    server = fresh_server()
    account = server.add_account()
    log = server.new_log()
    log()
    good = server.config.read_text()
    server.config.write_text(toml({**server.settings, "imap": {"max_keywrods": 5, "max_keyword_length": "20B"},
                                   "pop3": {"timeout": "soon"}}))
    server.process.send_signal(signal.SIGHUP)
    text = ""

    def told():
        nonlocal text
        text += log()
        return "pop3.timeout" in text
    server.wait_for(told, "the refusal")
    assert "did you mean imap.max_keywords?" in text and "event=setting-changed" not in text
    # the command line has read the file before
    done = server.cli("reload", check=False)
    assert done.returncode == 6 and len(done.stderr.splitlines()) == 2
    server.config.write_text(good)
    assert server.cli_json("reload")["changed"] == []
    with server.imap(account) as imap:
        imap.ok("NOOP")


def test_without_an_option_serve_reads_what_the_environment_names(fresh_server, tmp_path):
    server = fresh_server(wrapper=["sh", "-c", 'MANSIO_CONFIG=$3 "$0" serve; exit $?'])
    change(server, "imap", max_keyword_length="20B")
    assert [one["setting"] for one in server.cli_json("reload")["changed"]] == ["imap.max_keyword_length"]
    for variable, options in ((str(tmp_path / "none"), ()), (str(server.config), ("-c", tmp_path / "none"))):
        done = subprocess.run([binary(), "serve", *options], env={**os.environ, "MANSIO_CONFIG": variable},
                              capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 78 and f"{tmp_path}/none" in done.stderr


def test_keys_that_cannot_be_used_change_nothing(fresh_server):
    server = fresh_server()
    account = server.add_account()
    change(server, "tls", key=server.root / "none.pem")
    change(server, "imap", max_keyword_length="20B")
    done = server.cli("reload", "--json", check=False)
    line = 1 + next(n for n, text in enumerate(server.config.read_text().splitlines()) if text.startswith("key ="))
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (6, "config")
    assert error["message"] == f"{server.config}:{line}:1: cannot read {server.root / 'none.pem'}: not found"
    assert error["message"] in server.cli("config", "check", check=False).stderr.splitlines()
    (server.root / "other").mkdir()
    make_certificate(server.root / "other")
    change(server, "tls", key=server.root / "other/key.pem")
    done = server.cli("reload", check=False)
    assert done.returncode == 6 and "does not belong to the certificate" in done.stderr
    assert done.stderr == "mansio: " + server.cli("config", "check", check=False).stderr
    change(server, "tls", key=server.root / "key.pem")
    assert [one["setting"] for one in server.cli_json("reload")["changed"]] == ["imap.max_keyword_length"]
    with server.imap(account, "imaps") as imap:
        imap.ok("NOOP")


def test_tls_cannot_be_taken_away_from_listeners_that_need_it(fresh_server):
    server = fresh_server()
    account = server.add_account()
    change(server, "tls", certificate="", key="")
    change(server, "listen", **{name: [] for name in ("imaps", "pop3s", "submissions")})
    done = server.cli("reload", check=False)
    assert done.returncode == 1 and "restart the server" in done.stderr and "listen.imaps" in done.stderr
    with server.imap(account, "imaps") as imap:
        imap.ok("NOOP")

def starttls_is_offered(server):
    with server.smtp(hello=False) as smtp:
        smtp_offers = any("STARTTLS" in line for line in smtp.expect(250, "EHLO client.example.net"))
    with server.imap() as imap:
        imap_offers = "STARTTLS" in str(imap.ok("CAPABILITY").untagged)
    assert smtp_offers == imap_offers
    return smtp_offers


def test_tls_comes_and_goes_by_reload(fresh_server):
    services = ("imaps", "pop3s", "submissions")
    server = fresh_server({"tls": {"certificate": "", "key": ""}, "listen": {name: [] for name in services}})
    account = server.add_account()
    assert not starttls_is_offered(server)
    change(server, "tls", certificate=server.certificate, key=server.root / "key.pem")
    assert server.cli_json("reload")["tls"] is True
    assert starttls_is_offered(server)
    with server.smtp() as client:
        client.start_tls(server.certificate)
    # the default wants listeners now, which only a start makes
    for name in services:
        del server.settings["listen"][name]
    server.write_config()
    waiting = server.cli_json("reload")["needs_restart"]
    assert {one["setting"] for one in waiting} == {f"listen.{name}" for name in services}
    with server.imap(account) as imap:
        change(server, "tls", certificate="", key="")
        assert server.cli_json("reload")["tls"] is False
        assert not starttls_is_offered(server)
        imap.ok("NOOP")


def test_who_asks_for_tls_after_it_was_taken_away_is_told_so_and_goes_on(fresh_server):
    server = fresh_server({"listen": {name: [] for name in ("imaps", "pop3s", "submissions")}})
    account = server.add_account()
    with server.smtp() as smtp, server.imap() as imap, server.pop3() as pop3:
        change(server, "tls", certificate="", key="")
        assert server.cli_json("reload")["tls"] is False
        smtp.expect_status(454, "4.7.0", "STARTTLS")  # RFC 3207, 4
        assert not any("STARTTLS" in line for line in smtp.expect(250, "EHLO client.example.net"))
        smtp.expect(250, "NOOP")
        imap.no("STARTTLS", code=b"UNAVAILABLE")
        assert "STARTTLS" not in str(imap.ok("CAPABILITY").untagged)
        imap.login(account)
        assert pop3.error("STLS", "SYS/TEMP")
        assert b"STLS" not in pop3.multiline("CAPA")
        pop3.login(account)


def test_the_oldest_version_of_tls_follows_a_reload(fresh_server):
    server = fresh_server()
    old = ssl.create_default_context(cafile=server.certificate)
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    def speaks():
        with wire.Line.open("127.0.0.1", server.ports["imaps"]) as line:
            try:
                with old.wrap_socket(line.sock, server_hostname="localhost") as wrapped:
                    return wrapped.recv(1) == b"*"
            except (ssl.SSLError, OSError):
                return False
    assert speaks()
    change(server, "tls", minimum_version="1.3")
    server.cli("reload")
    assert not speaks()
    change(server, "tls", minimum_version="1.2")
    server.cli("reload")
    assert speaks()


def test_a_reload_without_a_server_says_so(fresh_server):
    server = fresh_server()
    server.stop()
    assert server.cli("reload", check=False).returncode == 5
    server.start()


# ------------------------------------------------------------------ who, kick


def who(server, *options):
    return server.cli_json("who", *options)


@pytest.mark.smoke
def test_who_tells_of_each_connection(fresh_server):
    server = fresh_server()
    account = server.add_account("alice")
    assert who(server) == []
    with server.imap(account) as plain, server.imap(account, "imaps") as tls, server.pop3(account), \
            server.imap() as stranger, server.smtp():
        plain.ok("CREATE Work/2026")
        plain.select("Work/2026")
        tls.ok("NOOP")
        listed = who(server)
        assert {(one["protocol"], one["account"], one["address"], one["mailbox"], one["process"].split(".")[0])
                for one in listed} == {
            ("imap", account.address, "127.0.0.1", "Work/2026", "shard"),
            ("imap", account.address, "127.0.0.1", None, "shard"),
            ("pop3", account.address, "127.0.0.1", "INBOX", "shard")}
        assert {one["mailbox"]: one["tls"] for one in listed if one["protocol"] == "imap"} == \
            {"Work/2026": None, None: "TLSv1.3"}
        assert all(len(one["session"]) == 16 and one["seconds"] >= one["idle_seconds"] >= 0 for one in listed)
        assert all(f"session={one['session']}" in server.log_text() for one in listed)
        rest = [one for one in who(server, "--all") if one["account"] is None]
        assert sorted((one["protocol"], one["process"]) for one in rest) == [("imap", "access.0"), ("smtp", "smtp.0")]
        stranger.ok("NOOP")
        text = server.cli("who").stdout
        assert text.splitlines()[0].split() == \
            ["ACCOUNT", "PROTOCOL", "ADDRESS", "TLS", "MAILBOX", "SINCE", "IDLE", "SESSION", "PROCESS"]
        assert text.splitlines()[-1] == "3 connections; 2 without a login (--all shows them)"
    server.wait_for(lambda: who(server, "--all") == [], "all to be gone")


def test_many_connections_are_listed_page_by_page(fresh_server):
    server = fresh_server({"login": {"max_connections_per_address": 2000},
                           "imap": {"max_sessions_per_account": 2000}, "server": {"shards": 1}})
    account = server.add_account()
    clients = [server.imap(account) for _ in range(600)]
    for client in clients:
        client.select()
    listed = who(server)
    assert len({one["session"] for one in listed}) == len(listed) == 600
    assert {one["mailbox"] for one in listed} == {"INBOX"}
    assert server.cli("who").stdout.splitlines()[-1] == "600 connections"
    # more than one request of the command line ends
    assert server.cli_json("kick", account.address) == {"kicked": 600}
    for client in clients:
        assert client.read_response().startswith(b"* BYE") and client.line.closed()
    assert server.cli("kick", account.address, check=False).returncode == 3


def test_names_of_mailboxes_do_not_steer_the_operators_terminal(fresh_server):
    server = fresh_server()
    account = server.add_account()
    with server.imap(account) as imap:
        imap.ok("CREATE a&IC4-b")
        imap.select("a&IC4-b")
        assert who(server)[0]["mailbox"] == "a\u202eb"
        assert "  a?b  " in server.cli("who").stdout


@pytest.mark.smoke
def test_kick_ends_the_connections_of_an_account_and_no_others(fresh_server):
    server = fresh_server()
    alice, bob = server.add_account("alice"), server.add_account("bob")
    server.deliver(alice, message())
    with server.imap(bob) as other:
        plain, tls, pop3 = server.imap(alice), server.imap(alice, "imaps"), server.pop3(alice)
        pop3.command("DELE 1")
        plain.select()
        plain.send("IDLE")
        assert plain.read_response().startswith(b"+")
        assert server.cli_json("kick", alice.address.upper()) == {"kicked": 3}
        for client in (plain, tls):
            assert client.read_response().startswith(b"* BYE Closed by the operator")
            assert client.line.closed()
        assert pop3.line.closed()
        other.ok("NOOP")
    with server.imap(alice) as again:
        assert again.status("INBOX", "MESSAGES") == {b"MESSAGES": 1}
    assert "event=kicked" in server.log_text()


def test_kick_ends_submissions_however_the_name_was_typed(fresh_server):
    server = fresh_server()
    alice, bob = server.add_account("alice"), server.add_account("bob")
    with server.submission(Account(address="Alice", password=alice.password)) as short, \
            server.submission(alice) as whole, server.submission(bob) as other:
        assert [one["account"] for one in who(server)].count(alice.address) == 2
        assert server.cli_json("kick", alice.address) == {"kicked": 2}
        for client in (short, whole):
            assert client.line.read_line().startswith(b"421 4.3.2 closed by the operator") and client.line.closed()
        other.expect(250, "NOOP")


def test_kick_by_session_and_by_address(fresh_server):
    server = fresh_server()
    account = server.add_account()
    first, second = server.imap(account), server.imap(account)
    first.select()
    session = next(one["session"] for one in who(server) if one["mailbox"])
    assert server.cli("kick", session).stdout == "1 connection closed\n"
    assert first.read_response().startswith(b"* BYE") and first.line.closed()
    second.ok("NOOP")
    assert server.cli("kick", session, check=False).returncode == 3
    stranger, smtp = server.imap(), server.smtp()
    assert server.cli("kick", "--address", "192.0.2.1", check=False).returncode == 3
    second.ok("NOOP")
    assert server.cli_json("kick", "--address", "127.0.0.1") == {"kicked": 3}
    assert second.read_response().startswith(b"* BYE") and second.line.closed()
    assert stranger.read_response().startswith(b"* BYE") and stranger.line.closed()
    assert smtp.line.read_line().startswith(b"421 4.3.2 closed by the operator") and smtp.line.closed()


@pytest.mark.parametrize("why", ["kick", "time-out"])
def test_who_is_in_the_middle_of_a_handshake_is_closed_at_once(fresh_server, why):
    """Nothing can be said to it, however long it may take to listen; and its place is free though it holds on."""
    server = fresh_server({"login": {"timeout": "10m" if why == "kick" else "1s"}, "imap": {"write_timeout": "10m"}})
    clients = [server.imap(), server.pop3()] + [server.smtp()] * (why == "kick")
    for client, command in zip(clients, (b"a STARTTLS", b"STLS", b"STARTTLS")):
        client.line.send(command + b"\r\n")
        assert client.line.read_line().startswith((b"a OK", b"+OK", b"220 "))
    if why == "kick":
        assert server.cli_json("kick", "--address", "127.0.0.1") == {"kicked": 3}
    for client in clients:
        assert client.line.sock.recv(100) == b""
    server.wait_for(lambda: server.sum_of("connections") == 0, "their places are free")


def test_a_process_that_does_not_answer_costs_only_its_own_connections(fresh_server):
    server = fresh_server({"server": {"shards": 1}})
    reader, sender = server.add_account(), server.add_account()
    inside, outside, lmtp = server.imap(reader), server.submission(sender), server.lmtp(over_socket=True)
    shard, = server.processes("shard").values()
    commands = (("who",), ("who", "--json"), ("kick", "--address", "unix", "--json"), ("kick", reader.address))
    with concurrent.futures.ThreadPoolExecutor() as at_once:
        os.kill(shard, signal.SIGSTOP)
        try:
            listed, array, *kicked = at_once.map(lambda command: server.cli(*command, check=False), commands)
        finally:
            os.kill(shard, signal.SIGCONT)
    assert [one.returncode for one in (listed, array, *kicked)] == [5] * 4
    assert listed.stderr == array.stderr == "mansio: shard.0 does not answer now: its connections are missing\n"
    assert listed.stdout.splitlines()[-1].startswith("1 connection")
    assert [one["process"] for one in json.loads(array.stdout)] == ["smtp.0"]
    assert {one.stderr for one in kicked} == {
        "mansio: shard.0 does not answer now: its connections may be open still; try again\n"}
    assert json.loads(kicked[0].stdout) == {"kicked": 1} and kicked[1].stdout == "0 connections closed\n"
    assert lmtp.line.read_line().startswith(b"421 4.3.2 closed by the operator")
    outside.expect(250, "NOOP")
    assert inside.read_response().startswith(b"* BYE")  # as soon as its process went on


def test_kick_wants_to_know_whom(server):
    for wrong in ([], ["--address", "not an address"], ["not-a-session"], ["a@example.test", "--address", "::1"]):
        done = server.cli("kick", *wrong, check=False)
        assert done.returncode == 2 and done.stderr


# ------------------------------------------------------------------ metrics


NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\}})? (-?[0-9.]+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def parse_metrics(text):
    """{name: {frozenset of labels: value}} of a text that is all that Prometheus' format 0.0.4 and its naming want."""
    assert text.endswith("\n")
    found, types, helps, current = {}, {}, set(), None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, said = line.split(" ", 3)
            assert re.fullmatch(NAME, name) and name not in helps and said.endswith(".")
            helps.add(name)
            current = name
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current and name in helps and name not in types and kind in ("counter", "gauge")
            assert (kind == "counter") == name.endswith("_total"), name
            types[name] = kind
            found[name] = {}
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            assert name == current and name in types, line  # all of a name stand together, behind its head
            pairs = LABEL.findall(labels or "")
            assert ",".join(f'{key}="{text}"' for key, text in pairs) == (labels or "")
            assert len({key for key, _ in pairs}) == len(pairs)
            key = frozenset(pairs)
            assert key not in found[name], f"twice: {line}"
            found[name][key] = float(value)
    return found


def total(metrics, name, **labels):
    """Over all processes."""
    wanted = set(labels.items())
    return sum(value for key, value in metrics[name].items() if wanted <= key)


@pytest.mark.smoke
def test_metrics_count_what_was_done(fresh_server):
    server = fresh_server()
    account = server.add_account()
    server.deliver(account, message())
    with server.imap(account) as imap, server.pop3(account) as pop3, server.smtp() as smtp:
        imap.select()
        imap.ok("STORE 1 +FLAGS (\\Seen)")
        imap.send("IDLE")
        assert imap.read_response().startswith(b"+")
        pop3.command("STAT")
        smtp.expect(250, "NOOP")
        metrics = parse_metrics(server.wait_told("metrics"))
        assert total(metrics, "mansio_sessions", protocol="imap") == 1
        assert total(metrics, "mansio_sessions", protocol="pop3") == 1
        assert total(metrics, "mansio_sessions_idling") == 1
        assert total(metrics, "mansio_connections", process="smtp.0") == 1
    assert total(metrics, "mansio_commands_total", protocol="imap", command="store") == 1
    assert total(metrics, "mansio_commands_total", protocol="imap", command="select") == 1
    assert total(metrics, "mansio_commands_total", protocol="imap", command="login", process="access.0") == 1
    assert total(metrics, "mansio_commands_total", protocol="pop3", command="pass", process="access.0") == 1
    assert total(metrics, "mansio_commands_total", protocol="pop3", command="stat") == 1
    assert total(metrics, "mansio_commands_total", protocol="smtp", command="noop") == 1
    assert total(metrics, "mansio_logins_total", protocol="imap") == 1
    assert total(metrics, "mansio_connections_accepted_total", service="lmtp") == 1
    assert total(metrics, "mansio_messages_received_total", result="delivered") == 1
    assert total(metrics, "mansio_deliveries_total", result="stored") == 1
    assert total(metrics, "mansio_store_messages") == 1 and total(metrics, "mansio_store_bytes") > 0
    assert total(metrics, "mansio_batches_total") > 0 and total(metrics, "mansio_fsyncs_total") > 0
    assert total(metrics, "mansio_fsync_seconds_total") >= 0 and total(metrics, "mansio_wal_bytes") > 0
    assert total(metrics, "mansio_accounts") == 1
    assert set(metrics["mansio_process_up"].values()) == {1}
    assert json.loads(server.cli("metrics", "--json").stdout).startswith("# HELP ")


def test_metrics_of_a_process_that_is_down_are_left_out(fresh_server):
    server = fresh_server({"server": {"restart_delay_min": "1m", "restart_delay_max": "1m"}})
    os.kill(server.processes("smtp")[0], signal.SIGKILL)
    server.wait_for(lambda: not any(one["ready"] for one in server.status()["processes"] if one["role"] == "smtp"),
                    "smtp to be gone")
    metrics = parse_metrics(server.wait_told("metrics", silent=["smtp.0"]))
    assert metrics["mansio_process_up"][frozenset({("process", "smtp.0")})] == 0
    assert not any(("process", "smtp.0") in key for key in metrics["mansio_connections"])


def http(server, text):
    """Status line, head and body of the answer to a request; the connection is closed behind it."""
    with wire.Line.open("127.0.0.1", server.ports["metrics"]) as line:
        line.sock.sendall(text)
        answer = b""
        while piece := line.sock.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(field.split(": ", 1) for field in head.decode().split("\r\n")[1:])
    assert int(fields["Content-Length"]) == len(body) and fields["Connection"] == "close"
    return head.split(b"\r\n")[0].decode(), fields, body.decode()


@pytest.mark.smoke
def test_metrics_are_served_on_a_port_of_this_machine(fresh_server):
    server = fresh_server({"metrics": {"listen": ["127.0.0.1:0"]}, "server": {"access_processes": 2}})

    def all_are_up():
        status, fields, body = http(server, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status == "HTTP/1.1 200 OK" and fields["Content-Type"].startswith("text/plain; version=0.0.4")
        return total(parse_metrics(body), "mansio_process_up") == len(server.status()["processes"]) - 1

    for _ in range(3):
        server.wait_for(all_are_up, "all processes to answer")


def test_many_scrapes_at_once_are_all_answered(fresh_server):
    server = fresh_server({"metrics": {"listen": ["127.0.0.1:0"]}})
    lines = [wire.Line.open("127.0.0.1", server.ports["metrics"]) for _ in range(8)]
    for line in lines:
        line.sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    for line in lines:
        assert line.read_line().startswith(b"HTTP/1.1 200")
        line.close()


@pytest.mark.parametrize("request_text, status", [
    (b"GET / HTTP/1.0\r\n\r\n", 404), (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 405),
    (b"GET /metrics HTTP/1.1\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\r\n\r\n", 400), (b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 9000, 431),
    (b"GET /metrics HTTP/2.0\r\n\r\n", 505)])
def test_the_port_of_metrics_refuses_what_it_does_not_know(fresh_server, request_text, status):
    server = fresh_server({"metrics": {"listen": ["127.0.0.1:0"]}})
    assert http(server, request_text)[0].startswith(f"HTTP/1.1 {status} ")
    assert http(server, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")[0] == "HTTP/1.1 200 OK"


def test_metrics_listen_on_this_machine_alone(server):
    path = server.root / "other.toml"
    path.write_text('[metrics]\nlisten = ["127.0.0.1:9090", "*:9091", "192.0.2.1:9092", "[::1]:9090"]\n')
    done = server.cli("config", "check", path, check=False)
    assert done.returncode == 6 and len(done.stderr.splitlines()) == 2 and '*:9091' in done.stderr


# ------------------------------------------------------------------ log levels


def levels(server):
    return {one["process"]: (one["level"], one["configured"]) for one in server.cli_json("log", "level")}


@pytest.mark.smoke
def test_log_levels_change_while_the_server_runs(fresh_server):
    server = fresh_server({"server": {"access_processes": 2}})
    assert set(levels(server).values()) == {("info", True)}
    server.cli("log", "level", "smtp", "debug")
    assert levels(server)["smtp.0"] == ("debug", False) and levels(server)["shard.0"] == ("info", True)
    server.cli("log", "level", "access.1", "error")
    assert levels(server)["access.1"] == ("error", False) and levels(server)["access.0"] == ("info", True)
    assert {one["role"]: one["log_level"] for one in server.status()["processes"]}["smtp"] == "debug"
    log = server.new_log()
    log()
    text = ""

    def debug_lines():
        nonlocal text
        text += log()
        return "level=debug role=smtp.0 event=smtp-state" in text
    with server.smtp():
        server.wait_for(debug_lines, "lines for debugging")
    assert "level=debug role=shard" not in text
    # a successor has it too, and a reload does not touch it
    server.kill_role("smtp")
    server.cli("reload")
    assert levels(server)["smtp.0"] == ("debug", False)
    text = ""
    with server.smtp():
        server.wait_for(debug_lines, "lines for debugging")
    server.cli("log", "level", "default")
    assert set(levels(server).values()) == {("info", True)}
    server.cli("log", "level", "warning")
    assert set(levels(server).values()) == {("warning", False)}
    server.restart()
    assert set(levels(server).values()) == {("info", True)}


def test_the_configured_level_follows_a_reload(fresh_server):
    server = fresh_server()
    change(server, "server", log_level="debug")
    server.cli("reload")
    assert set(levels(server).values()) == {("debug", True)}
    with server.smtp():
        server.wait_for(lambda: "level=debug role=smtp.0" in server.log_text(), "lines for debugging")


def test_levels_and_processes_that_there_are_not(server):
    for arguments, status in ((["loud"], 2), (["imap", "debug"], 3), (["shard.9", "debug"], 3)):
        done = server.cli("log", "level", *arguments, check=False)
        assert done.returncode == status and done.stderr
    assert "supervisor.0  info\n" in server.cli("log", "level").stdout


# ------------------------------------------------------------------ status


def test_status_is_one_screen_with_what_is_wrong_first(fresh_server):
    server = fresh_server({"server": {"restart_delay_min": "1m", "restart_delay_max": "1m"}})
    account = server.add_account()
    server.deliver(account, message())
    with server.imap(account):
        text = server.wait_told("status")
        lines = text.splitlines()
        assert lines[0].startswith("mansio ") and str(server.directory) in lines[0]
        assert lines[1] == "  nothing is wrong" and lines[2] == ""
        facts = dict(line.split(None, 1) for line in lines[3:lines.index("", 3)])
        assert facts["sessions"] == "1 IMAP (0 in IDLE), 0 POP3"
        assert "1 message (0 failed)" in text and "1 domain, 1 account, 0 aliases" in text
        assert len(lines) <= 40 and max(map(len, lines)) <= 120
        table = [line.split() for line in lines[lines.index("", 3) + 1:]]
        assert table[0] == ["PROCESS", "STATE", "PID", "UP", "RESTARTS", "LONGEST", "WORK"]
        assert ["shard.0", "ready"] in [line[:2] for line in table]
    os.kill(server.processes("smtp")[0], signal.SIGKILL)
    server.wait_for(lambda: not any(one["ready"] for one in server.status()["processes"] if one["role"] == "smtp"),
                    "smtp to be gone")
    lines = server.wait_told("status").splitlines()
    assert lines[1] == "  smtp.0 does not run; the log says why (event process-ended)"


def test_status_tells_of_processes_that_were_started_again(fresh_server):
    server = fresh_server()
    server.kill_role("authwork")
    assert "  authwork.0 ended by itself and was started again, 1 time; it runs for " in server.cli("status").stdout


def test_status_tells_of_a_process_that_does_not_answer_and_of_nothing_that_it_does_not_know(fresh_server):
    server = fresh_server({"server": {"shards": 1}})
    server.deliver(server.add_account(), message())
    shard, = server.processes("shard").values()
    told = {}

    def silent():
        told.update({f'{one["role"]}.{one["index"]}': one for one in server.status(counters_of=())["processes"]})
        return {name for name, one in told.items() if not one["answered"]}
    server.wait_for(lambda: not silent(), "all processes to answer")
    lines, metrics = [], {}

    def only_the_shard_is():
        """In each of the three: another process may be slow for a second on a busy machine."""
        lines[:] = server.cli("status").stdout.splitlines()
        metrics.update(parse_metrics(server.cli("metrics").stdout))
        down = [name for name, value in metrics["mansio_process_up"].items() if value == 0]
        return silent() == {"shard.0"} and sum("has not answered" in line for line in lines) == 1 and len(down) == 1

    os.kill(shard, signal.SIGSTOP)  # as by a disk that does not come back
    try:
        server.wait_for(only_the_shard_is, "the others to answer")
    finally:
        os.kill(shard, signal.SIGCONT)
    assert told["shard.0"]["ready"] and "messages" not in told["shard.0"]
    assert lines[1] == "  shard.0 runs, but has not answered within a second: it is busy, waits for a disk, or was stopped"
    facts = dict(line.split(None, 1) for line in lines[3:lines.index("", 3)])
    assert facts["sessions"] == "- IMAP (- in IDLE), - POP3"
    assert facts["store"] == "- messages, -, of them - dead"
    assert facts["disk"] == "- batches, - waits of - on average"
    assert facts["directory"] == "1 domain, 1 account, 0 aliases" and facts["mail"].startswith("in      1 message ")
    row, = (line.split() for line in lines if line.startswith("shard.0 "))
    assert row[1] == "silent" and row[-1] == "-"
    assert metrics["mansio_process_up"][frozenset({("process", "shard.0")})] == 0
    assert metrics["mansio_process_up"][frozenset({("process", "smtp.0")})] == 1
    server.wait_for(lambda: server.cli("status").stdout.splitlines()[1] == "  nothing is wrong", "the shard to go on")


# ------------------------------------------------------------------ the certificate


def dated(server, begin, end):
    """Days from now."""
    now = datetime.datetime.now(datetime.timezone.utc)
    date_certificate(server.root, now + datetime.timedelta(days=begin), now + datetime.timedelta(days=end))


@pytest.mark.parametrize("begin, end, words", [(-400, -40, "ended at"), (-85, 5, "ends at"), (40, 90, "is not valid before")])
def test_dates_of_a_certificate_that_clients_refuse_are_said_everywhere(fresh_server, begin, end, words):
    server = fresh_server()
    assert "warning" not in server.status()["certificate"]
    dated(server, begin, end)
    told = f"the certificate in {server.certificate} {words} "
    line = 1 + next(n for n, text in enumerate(server.config.read_text().splitlines()) if text.startswith("certificate ="))
    done = server.cli("config", "check")
    assert done.stderr.startswith(f"{server.config}:{line}:1: warning: {told}") and "good, with warnings" in done.stdout
    assert server.cli_json("reload")["warning"].startswith(told)
    assert server.cli("reload").stdout.splitlines()[-1].startswith(f"warning: {told}")
    assert server.cli("status").stdout.splitlines()[1].startswith(f"  {told}")
    certificate = server.status()["certificate"]
    assert certificate["warning"].startswith(told) and certificate["file"] == str(server.certificate)
    metrics = parse_metrics(server.wait_told("metrics"))
    assert list(metrics["mansio_certificate_not_after_seconds"].values()) == [certificate["not_after"]]
    assert list(metrics["mansio_certificate_not_before_seconds"].values()) == [certificate["not_before"]]
    assert certificate["not_after"] - certificate["not_before"] == (end - begin) * 86400
    log = server.new_log()
    log()
    server.restart()
    assert f'level=warning role=supervisor event=certificate problem="{told}' in log()


def test_a_pipe_as_certificate_stops_nobody(fresh_server):
    server = fresh_server()
    server.certificate.rename(server.root / "kept.pem")
    os.mkfifo(server.certificate)
    done = server.cli("reload", check=False)
    assert done.returncode == 6 and "a folder, a pipe, a socket or a device, not a file" in done.stderr
    assert server.status()["certificate"]["file"] == str(server.certificate)
    server.certificate.unlink()
    server.certificate.mkdir()
    done = server.cli("reload", check=False)
    assert done.returncode == 6 and "a folder, a pipe" in done.stderr
    server.certificate.rmdir()
    (server.root / "kept.pem").rename(server.certificate)
    server.cli("reload")


def test_a_pipe_as_configuration_stops_nobody(fresh_server):
    server = fresh_server()
    log = server.new_log()
    log()
    kept = server.config.read_text()
    other = server.root / "same.toml"
    other.write_text(kept)
    server.config.unlink()
    os.mkfifo(server.config)
    done = subprocess.run([binary(), "reload", "-c", other], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 6 and "a folder, a pipe" in done.stderr
    done = subprocess.run([binary(), "serve", "-c", server.config], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78 and "a folder, a pipe" in done.stderr
    server.config.unlink()
    server.config.write_text(kept)
    # what somebody gives to a command by a pipe is read
    done = subprocess.run([binary(), "config", "check", "/dev/stdin"], input=kept, capture_output=True, text=True, timeout=30,
                          check=False)
    assert done.returncode == 0, done.stderr
    server.cli("reload")
