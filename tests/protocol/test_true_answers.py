"""What the command line says is so: mistakes are told as what they are, and no success where there was none."""

import json
import os
import subprocess

import pytest

from harness.server import binary

MEGABYTE = 1024 * 1024


def change(server, section, **values):
    server.settings.setdefault(section, {}).update(values)
    server.write_config()


def backup_folder(server):
    folder = server.root / "backup"
    if not folder.exists():
        server.cli("backup", folder)
    return folder


# ------------------------------------------------------------------ account add --from


def add(server, source, *options, **keywords):
    return server.cli("account", "add", "--from", source, *options, check=False, **keywords)


@pytest.mark.parametrize("source", ["/", "/proc/self/mem"], ids=["folder", "read-error"])
def test_a_list_that_cannot_be_read_is_not_taken_for_its_end(server, source):
    done = add(server, source)
    assert done.returncode == 1 and "reading failed" in done.stderr and "added: 0" in done.stdout
    answer = json.loads(add(server, source, "--json").stdout)
    assert answer["failed"] == 0 and "reading failed" in answer["errors"][0]["message"]


def test_a_byte_order_mark_is_no_part_of_an_address(server):
    done = add(server, "-", input="\ufeffmark1@example.test secret\nmark2@example.test secret\n")
    assert (done.returncode, done.stdout) == (0, "added: 2 accounts\n")
    assert {"mark1@example.test", "mark2@example.test"} <= {one["address"] for one in server.cli_json("account", "list")}
    # in another line it is what the administrator wrote
    assert "line 2" in add(server, "-", input="mark3@example.test secret\n\ufeffmark4@nowhere.test secret\n").stderr


def test_a_nul_in_a_list_is_told_and_the_next_line_read(server):
    done = add(server, "-", input="nul1@example.test sec\0ret\nnul2@example.test secret\n")
    assert "line 1: there is a NUL byte in it" in done.stderr and "added: 1 account\n" in done.stdout


# ------------------------------------------------------------------ the configuration


@pytest.mark.parametrize("command", [["config", "check"], ["status"], ["serve"]], ids=lambda command: command[-1])
def test_a_configuration_that_is_too_large_is_no_success(tmp_path, command):
    path = tmp_path / "mansio.toml"
    path.write_bytes(b"#" * (MEGABYTE + 1))
    done = subprocess.run([binary(), *command, "-c", path], capture_output=True, text=True, timeout=60, check=False)
    told = done.stdout + done.stderr
    assert done.returncode in (6, 78) and "Success" not in told
    assert "larger than 1024 KB" in told or "over a limit" in told


def test_an_answer_that_cannot_be_written_is_told(server):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([binary(), "config", "show", "-c", server.config], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=60, check=False)
    assert done.returncode == 1 and "cannot be written" in done.stderr


def test_users_that_are_not_apart_are_warned_of(tmp_path):
    path = tmp_path / "mansio.toml"

    def check(text, *options):
        path.write_text(text)
        done = subprocess.run([binary(), "config", "check", path, *options], capture_output=True, text=True, timeout=60,
                              check=False)
        assert done.returncode == 0
        return done
    done = check('[server]\n\nuser = "root"\n')
    assert done.stderr.startswith(f"{path}:3:1: warning: ") and "is root" in done.stderr
    assert done.stdout == f"{path}: good, with warnings\n"
    told, = json.loads(check('[server]\nuser = "root"\n', "--json").stdout)
    assert told["severity"] == "warning" and told["line"] == 2 and "is root" in told["text"]
    done = check('[server]\nuser = "no-such-user"\nuser_id = 9\nnetwork_user = "nor-this-one"\nnetwork_user_id = 9\n')
    assert f"{path}:4:1: warning: " in done.stderr and "one user" in done.stderr
    assert check("").stdout == f"{path}: good\n"


def test_a_mailbox_that_there_cannot_be_is_refused_for_pop3(server, account):
    done = server.cli("account", "pop3", account.address, "--mailbox", "/a//b/", check=False)
    assert done.returncode == 2 and "there can be no mailbox" in done.stderr
    server.cli("account", "pop3", account.address, "--mailbox", "Archive/2026")


# ------------------------------------------------------------------ the running server


def test_who_only_speaks_with_the_server_needs_no_faultless_file(fresh_server):
    server = fresh_server()
    good = server.config.read_text()
    server.config.write_text(good + '\n[mime]\nmax_depth = "deep"\nmax_dept = 7\n')
    for command in (["status"], ["who"], ["log", "level"], ["metrics"], ["kick", "nobody@example.test"]):
        done = server.cli(*command, check=False)
        assert done.returncode == (3 if command[0] == "kick" else 0) and "there are mistakes in" in done.stderr
    assert server.cli("reload", check=False).returncode == 6
    assert server.cli("account", "list", check=False).returncode == 6
    server.config.write_text(good.replace("directory", "directroy"))
    assert server.cli("status", check=False).returncode == 6, "which server was meant?"
    server.config.write_text(good)


def test_status_says_what_it_knows_where_nobody_answers(tmp_path):
    path = tmp_path / "mansio.toml"
    path.write_text(f'[server]\ndirectory = "{tmp_path}/store"\n')
    done = subprocess.run([binary(), "status", "-c", path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5 and done.stdout.startswith(f"nobody answers at {tmp_path}/store/run/control.sock")
    done = subprocess.run([binary(), "status", "--json", "-c", path], capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout)["error"]["code"] == "unavailable" and json.loads(done.stdout)["running"] is False


def test_a_reload_does_not_promise_what_no_restart_brings(fresh_server):
    server = fresh_server({"server": {"shards": 1}})
    change(server, "server", shards=3)
    told = server.cli_json("reload")
    assert told["needs_restart"] == [] and told["for_new_store"] == [{"setting": "server.shards", "before": 1, "after": 3}]
    assert "of no effect on a store that is there:\n  server.shards = 3" in server.cli("reload").stdout
    assert "setting-needs-restart" not in server.log_text()


def test_a_reload_tells_of_levels_that_stay_as_they_were_set(fresh_server):
    server = fresh_server()
    server.cli("log", "level", "shard.0", "error")
    change(server, "server", log_level="debug")
    assert "but 1 process keeps the level" in server.cli("reload").stdout
    server.cli("log", "level", "default")
    change(server, "server", log_level="info")
    told = server.cli("reload").stdout
    assert 'server.log_level = "info"' in told and "keep" not in told


def test_a_start_says_who_may_use_the_store(server):
    done = server.cli("serve", check=False)
    assert done.returncode == 1
    assert "event=store-in-use" in done.stdout + done.stderr and "or a mansio command" in done.stdout + done.stderr


# ------------------------------------------------------------------ undelete


@pytest.mark.parametrize("verb", ["list", "restore"])
def test_undelete_knows_no_mailbox_that_is_not_there(server, account, verb):
    done = server.cli("undelete", verb, account.address, "--mailbox", "Typo", check=False)
    assert done.returncode == 3 and "no such mailbox" in done.stderr and done.stdout == ""
    answer = server.cli("undelete", verb, account.address, "--mailbox", "Typo", "--json", check=False)
    assert answer.returncode == 3 and json.loads(answer.stdout)["error"]["code"] == "not_found"
    for name in ("inbox", "Sent"):
        assert server.cli("undelete", verb, account.address, "--mailbox", name).returncode == 0


# ------------------------------------------------------------------ backups


@pytest.mark.parametrize("zone", ["Z", "+01:00", "-0530"])
def test_a_time_with_a_zone_is_no_backup_that_is_missing(server, zone):
    done = server.cli("backup", "verify", "--at", f"2126-11-22T22:52{zone}", backup_folder(server), check=False)
    assert done.returncode == 2 and "UTC, without a zone" in done.stderr


def test_the_name_of_a_backup_that_is_not_there_is_not_found(server):
    done = server.cli("backup", "verify", "--at", "2026-01-31T12-00-00Z", backup_folder(server), check=False)
    assert done.returncode == 3 and "there is no backup" in done.stderr


@pytest.mark.parametrize("name", ["", "backup", "deep/../backup/", "shards/00"])
def test_a_backup_does_not_go_into_the_store_itself(server, name):
    (server.directory / "deep").mkdir(exist_ok=True)
    before = sorted(os.listdir(server.directory))
    done = server.cli("backup", f"{server.directory}/{name}", check=False)
    assert done.returncode == 1 and "in the store's own folder" in done.stderr
    assert sorted(os.listdir(server.directory)) == before
    (server.directory / "deep").rmdir()
