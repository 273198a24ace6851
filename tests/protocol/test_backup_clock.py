"""Backups of a machine whose clock was wrong: named by the true time, the newest is the one made last, none is lost."""

import pytest

from harness.clock import DAY, Clock


@pytest.fixture
def clock():
    one = Clock()
    yield one
    one.close()


@pytest.fixture
def served(fresh_server, clock):
    return fresh_server({"server": {"shards": 1}}, environment=clock.environment)


def folder(server):
    return server.root / "backup"


def names(server):
    return [one["name"] for one in server.cli_json("backup", "list", folder(server))]


def backup(server, *options, expect=0):
    done = server.cli("backup", folder(server), *options, check=False)
    assert done.returncode == expect, done.stderr
    return done


@pytest.mark.parametrize("days", [400, -400], ids=["was-ahead", "is-behind"])
def test_with_a_clock_that_is_ahead_of_another_run_nothing_is_lost(served, clock, days):
    account = served.add_account()
    clock.set(max(days, 0) * DAY)
    backup(served)
    clock.set(min(days, 0) * DAY)
    for i in range(3):
        served.deliver(account, f"Subject: {i}\r\n\r\n".encode())
        done = backup(served, "--keep", "2", expect=1)
        assert "is dated later than now" in done.stderr and "removed" not in done.stdout
    made = names(served)
    assert len(made) == 4, "none was removed"
    assert made[1:] == sorted(made[1:]) and made[3] < made[0], "named by the time that it was"
    verified = served.cli_json("backup", "verify", folder(served))
    assert (verified["name"], verified["messages"]) == (made[3], 3), "the latest is the one that was made last"
    at_that_day = served.cli_json("backup", "verify", "--at", made[3][:10], folder(served))
    assert at_that_day["name"] == made[3]
    # said to programs too
    told = served.cli("backup", folder(served), "--json", check=False)
    assert told.returncode == 1 and made[0] in told.stdout and '"warning"' in told.stdout
    # when it is gone all is as ever
    (folder(served) / "generations" / made[0]).rename(served.root / "away")
    assert "were removed" in backup(served, "--keep", "2").stdout
    assert len(names(served)) == 2


def test_a_clock_that_is_set_back_by_an_hour_needs_no_word(served, clock):
    served.add_account()
    clock.set(3600)
    backup(served)
    clock.set(0)
    done = backup(served, "--keep", "1")
    assert done.stderr == "" and "1 older backup was removed" in done.stdout
    made = names(served)
    assert len(made) == 1 and done.stdout.startswith(made[0])
