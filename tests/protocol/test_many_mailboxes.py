"""An account with thousands of mailboxes is loaded over several turns of its shard: whoever comes meanwhile waits for it,
in order, and sees the whole of it."""

import concurrent.futures

import pytest

from harness import wire
from harness.material import message

LEVELS = "/".join(["z" * 230] * 3)
MAILBOXES = 2500 # of 900 bytes: some 8 ms, of which a turn takes 3


SETTINGS = {"server": {"shards": 1}}


@pytest.fixture(scope="module")
def made(server):
    account = server.add_account()
    names = [f"{LEVELS}/{number:05}{'y' * 200}" for number in range(MAILBOXES)]
    with server.imap(account) as imap:
        for tag in [imap.send(f"CREATE {name}") for name in names]:
            assert imap.wait(tag).status == b"OK"
    server.deliver(account, message(subject="the first"))
    return server, account, {name.encode() for name in names}


def login_of(account):
    return b"a LOGIN " + wire.quoted(account.address) + b" " + wire.quoted(account.password) + b"\r\n"


def test_all_who_come_at_once_see_all_of_it(made):
    server, account, names = made
    server.restart()

    def read(_):
        with server.imap(account) as imap:
            imap.select()
            return set(imap.list(f"{LEVELS}/*")), len(imap.search("ALL"))

    def retrieve(_):
        with server.pop3(account) as pop3:
            return pop3.stat()[0]

    def deliver(number):
        return server.deliver(account, message(subject=f"of {number}"))

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        reads = [pool.submit(read, n) for n in range(5)]
        deliveries = [pool.submit(deliver, n) for n in range(3)]
        retrievals = [pool.submit(retrieve, n) for n in range(3)]
        assert all(future.result()[0] == names and 1 <= future.result()[1] <= 4 for future in reads)
        assert all(1 <= future.result() <= 4 for future in retrievals)
        for future in deliveries:
            future.result()
    with server.imap(account) as imap:
        imap.select()
        assert len(imap.search("ALL")) == 4
    server.assert_log_is_clean()


def test_clients_that_do_not_wait_leave_nothing(made):
    """Neither a session nor a descriptor."""
    server, account, names = made
    login = login_of(account)
    for _ in range(3):
        server.restart()
        for _ in range(6):
            line = server.connect("imap")
            line.send(login)
            line.abort()
        with server.imap(account) as imap:
            assert set(imap.list(f"{LEVELS}/*")) == names
            server.wait_for(lambda: server.sum_of("sessions_imap") == 1, "the end of the others")


def test_a_stop_does_not_wait_for_it(made):
    server, account, _ = made
    login = login_of(account)
    server.restart()
    lines = [server.connect("imap") for _ in range(4)]
    for line in lines:
        line.send(login)
    server.stop()
    for line in lines:
        line.close()
    server.start()
    with server.imap(account) as imap:
        imap.select()
