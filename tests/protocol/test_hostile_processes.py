"""A process that was taken over says what it likes to a shard or to auth: they drop it, refuse it, and live on."""

import ctypes
import os
import resource
import select
import socket
import struct
import time

import pytest

from harness import roles, wire
from harness.material import message
from harness.server import PATIENCE_SECONDS

ACCOUNT = bytes(range(16))
STRANGER = bytes(16)


@pytest.fixture
def shard():
    with roles.Role("shard", {"imap": {"max_sessions_per_account": 20}}) as one:
        for role in ("access", "smtp", "auth"):
            one.add_peer(role)
        one.start()
        one.create_account(ACCOUNT)
        yield one


def log_in(shard, session=1):
    """A session as it should be; gives its client."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    shard.peers["access"].send(1, roles.handover(session, shard.ticket(ACCOUNT, session)), theirs.fileno())
    theirs.close()
    line = wire.Line(ours)
    ours.settimeout(wire.TIMEOUT)
    assert line.read_line().startswith(b"a1 OK"), "login"
    return line


def assert_serves(shard, session=4711):
    """A new session gets its answer, without much work."""
    began = shard.cpu_seconds()
    client = log_in(shard, session)
    client.send(b"a2 NOOP\r\na3 LOGOUT\r\n")
    assert client.read_line().startswith(b"a2 OK")
    assert client.closed()
    assert shard.cpu_seconds() - began < 5


def wait_for(condition):
    """The first true result of what the test asks the process again and again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := condition()):
        assert time.monotonic() < deadline
    return result


def delivered(shard):
    kind, body = shard.peers["smtp"].receive()
    assert kind == 2
    request, n = struct.unpack_from("<QI", body)
    return request, list(body[12:12 + n])


# ---------------------------------------------------------------------- in time

def test_orders_that_come_before_the_start_are_carried_out():
    """A peer says what it has to say as soon as it has a channel."""
    with roles.Role("shard") as shard:
        auth = shard.add_peer("auth")
        orders = range(1, 9)
        for number in orders:
            auth.send(1, roles.account_order(number, roles.ACCOUNT_CREATE, bytes([number] * 16)))
        assert [struct.unpack_from("<Qi", auth.receive()[1]) for _ in orders] == [(number, 0) for number in orders]
        shard.start()


# ---------------------------------------------------------------------- hand-overs

@pytest.mark.parametrize("what", ["forged", "expired", "other session", "other shard", "other right", "cut", "none",
                                  "unknown account"])
def test_a_session_needs_its_own_ticket(shard, what):
    session = 99
    ticket = {
        "forged": lambda: shard.ticket(ACCOUNT, session, key=bytes(32)),
        "expired": lambda: shard.ticket(ACCOUNT, session, lifetime=-1),
        "other session": lambda: shard.ticket(ACCOUNT, session + 1),
        "other shard": lambda: shard.ticket(ACCOUNT, session, shard=1),
        "other right": lambda: shard.ticket(ACCOUNT, session, rights=roles.RIGHT_POP3),
        "cut": lambda: shard.ticket(ACCOUNT, session)[:-1],
        "none": lambda: b"",
        "unknown account": lambda: shard.ticket(STRANGER, session),
    }[what]()
    ours, theirs = socket.socketpair()
    shard.peers["access"].send(1, roles.handover(session, ticket), theirs.fileno())
    theirs.close()
    client = wire.Line(ours)
    assert client.read_line().startswith(b"a1 NO [UNAVAILABLE]")
    assert client.closed()
    assert shard.peers["access"].receive() == (2, struct.pack("<Q", session))
    assert shard.counters()["sessions"] == 0
    assert_serves(shard)


@pytest.mark.parametrize("what", ["trailing", "unknown type", "too long", "no descriptor", "cut", "zero byte", "two descriptors",
                                  "unannounced descriptor", "bad enum"])
def test_a_malformed_message_costs_access_its_channel_only(shard, what):
    kept = log_in(shard, 5)
    good = roles.handover(6, shard.ticket(ACCOUNT, 6))
    ours, theirs = socket.socketpair()
    access = shard.peers["access"]
    {
        "trailing": lambda: access.send(1, good + b"x", theirs.fileno()),
        "unknown type": lambda: access.send(77, b""),
        "too long": lambda: access.send_raw(struct.pack("<IHBB", 0x7fffffff, 1, 0, 0)),
        "no descriptor": lambda: access.send(1, good),
        "cut": lambda: access.send(1, good[:-1], theirs.fileno()),
        "zero byte": lambda: access.send_raw(struct.pack("<IHBB", 0, 1, 0, 9)),
        "two descriptors": lambda: access.send_raw(struct.pack("<IHBB", len(good), 1, 2, 0) + good, [theirs.fileno()] * 2),
        "unannounced descriptor": lambda: access.send_raw(struct.pack("<IHBB", len(good), 1, 0, 0) + good, [theirs.fileno()]),
        "bad enum": lambda: access.send(1, good[:8] + b"\x09" + good[9:], theirs.fileno()),
    }[what]()
    assert access.closed()
    assert shard.lost() == (roles.ROLES.index("access"), 0, 1)
    shard.add_peer("access")
    assert_serves(shard)
    kept.send(b"a2 NOOP\r\n")
    assert kept.read_line().startswith(b"a2 OK")
    kept.close()
    ours.close()
    theirs.close()


def hand_over(shard, session, ticket):
    """The first answer."""
    ours, theirs = socket.socketpair()
    shard.peers["access"].send(1, roles.handover(session, ticket), theirs.fileno())
    theirs.close()
    with wire.Line(ours) as client:
        return client.read_line()


def test_the_ticket_of_a_removed_app_password_opens_nothing_however_many_were_removed(shard):
    tickets = {login: shard.ticket(ACCOUNT, login, login=login) for login in range(1, 101)}
    for login in tickets:
        shard.peers["auth"].send(1, roles.account_order(login, roles.ACCOUNT_FORGET_LOGIN, ACCOUNT, login=login))
        assert struct.unpack_from("<Qi", shard.peers["auth"].receive()[1]) == (login, 0)
    for login, ticket in tickets.items():
        assert hand_over(shard, login, ticket).startswith(b"a1 NO [UNAVAILABLE]")
    assert_serves(shard)
    # made later
    assert hand_over(shard, 200, shard.ticket(ACCOUNT, 200, login=200, lifetime=40)).startswith(b"a1 OK")


def odd_descriptors():
    memory = os.memfd_create("x")
    reader, writer = os.pipe()
    listening = socket.create_server(("127.0.0.1", 0))
    datagrams = socket.socketpair(type=socket.SOCK_DGRAM)
    return {"file": memory, "pipe": reader, "other end of a pipe": writer, "listening socket": listening.detach(),
            "datagrams": datagrams[0].detach(), "epoll": select.epoll().fileno(), "folder": os.open("/", os.O_RDONLY)}


@pytest.mark.parametrize("what", list(odd_descriptors()))
def test_what_is_no_connection_is_not_taken_for_one(shard, what):
    descriptors = odd_descriptors()
    if what == "epoll":
        keep = select.epoll()
        descriptors[what] = keep.fileno()
    shard.peers["access"].send(1, roles.handover(6, shard.ticket(ACCOUNT, 6)), descriptors[what])
    assert shard.peers["access"].closed()
    shard.add_peer("access")
    assert_serves(shard)


def test_a_connection_that_is_full_and_waits_does_not_stop_the_shard(shard):
    """The socket blocks and has no room, and access goes on sharing its flags."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    try:
        while True:
            theirs.send(bytes(65536))
    except BlockingIOError:
        pass
    theirs.setblocking(True)
    shard.peers["access"].send(1, roles.handover(6, b"forged"), theirs.fileno())
    assert_serves(shard, 7)
    shard.peers["access"].send(1, roles.handover(8, shard.ticket(ACCOUNT, 8)), theirs.fileno())
    time.sleep(0.2)
    theirs.setblocking(True)
    ours.send(b"a2 NOOP\r\n")
    assert_serves(shard, 9)
    ours.close()
    theirs.close()


def test_a_ticket_that_is_used_again_opens_no_more_than_an_account_may_have(shard):
    ticket = shard.ticket(ACCOUNT, 1)
    kept = []
    for _ in range(60):
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        shard.peers["access"].send(1, roles.handover(1, ticket), theirs.fileno())
        theirs.close()
        kept.append(ours)
    wait_for(lambda: shard.counters()["deliveries_refused"] >= 40)
    assert shard.counters()["sessions"] == 20
    for one in kept:
        one.close()
    wait_for(lambda: shard.counters()["sessions"] == 0)
    assert_serves(shard)


# ---------------------------------------------------------------------- deliveries

def test_a_delivery_for_an_unknown_account_is_put_off_and_one_for_a_known_one_is_not(shard):
    shard.peers["smtp"].send(1, roles.delivery(5, [STRANGER, ACCOUNT], message()))
    assert delivered(shard) == (5, [roles.UNAVAILABLE, roles.OK])


def test_a_process_says_of_its_own_deliveries_only_how_they_ended(shard):
    """Another's confirmation would have a retry stored; another's word that it was left, a copy held back."""
    one = shard.peers["smtp"]
    other = shard.add_peer("smtp", 1)
    key = os.urandom(16)

    def deliver(smtp, number):
        smtp.send(1, roles.delivery(number, [ACCOUNT], message(), key=key))
        shard.peers["smtp"] = smtp
        assert delivered(shard) == (number, [roles.OK])
        return shard.counters()["messages"]

    before = shard.counters()["messages"]
    assert deliver(one, 5) == before + 1
    other.send(3, roles.ends((5, roles.LEFT)))
    assert deliver(other, 6) == before + 2  # a copy
    other.send(3, roles.ends((5, roles.CONFIRMED), (6, roles.CONFIRMED)))
    one.send(3, roles.ends((5, roles.LEFT)))
    shard.counters()
    assert deliver(one, 7) == before + 2  # a retry
    one.send(3, roles.ends((7, roles.CONFIRMED)))
    assert deliver(one, 8) == before + 3


@pytest.mark.parametrize("what", ["no recipients", "too many", "trailing", "cut", "longer than said", "descriptor and body",
                                  "ends with descriptor", "no ends", "too many ends", "unknown end", "type"])
def test_a_malformed_delivery_costs_smtp_its_channel_only(shard, what):
    smtp = shard.peers["smtp"]
    good = roles.delivery(5, [ACCOUNT], message())
    file = os.memfd_create("body")
    os.write(file, message())
    {
        "no recipients": lambda: smtp.send(1, roles.delivery(5, [], message())),
        "too many": lambda: smtp.send(1, roles.delivery(5, [ACCOUNT] * 1001, message())),
        "trailing": lambda: smtp.send(1, good + b"x"),
        "cut": lambda: smtp.send(1, good[:-1]),
        "longer than said": lambda: smtp.send(1, roles.delivery(5, [ACCOUNT], message(), length=1 << 30)),
        "descriptor and body": lambda: smtp.send(1, good, file),
        "ends with descriptor": lambda: smtp.send(3, roles.ends((5, 0)), file),
        "no ends": lambda: smtp.send(3, roles.ends()),
        "too many ends": lambda: smtp.send(3, roles.ends(*[(5, 0)] * 65)),
        "unknown end": lambda: smtp.send(3, roles.ends((5, 3))),
        "type": lambda: smtp.send(9, good),
    }[what]()
    assert smtp.closed()
    assert shard.lost()[0] == roles.ROLES.index("smtp")
    shard.add_peer("smtp")
    shard.peers["smtp"].send(1, good)
    assert delivered(shard) == (5, [roles.OK])
    assert_serves(shard)
    os.close(file)


def test_a_body_that_is_no_file_or_shorter_than_said_is_put_off(shard):
    before = shard.descriptors()
    short_file = os.memfd_create("body")
    os.write(short_file, message())
    reader, writer = os.pipe()
    ours, theirs = socket.socketpair()
    for number, file in enumerate((short_file, reader, writer, ours.fileno(), os.open("/", os.O_RDONLY))):
        shard.peers["smtp"].send(1, roles.delivery(number, [ACCOUNT], b"", length=1000000, inline=False), file)
        assert delivered(shard) == (number, [roles.UNAVAILABLE])
    shard.peers["smtp"].send(1, roles.delivery(9, [ACCOUNT], message()))
    assert delivered(shard) == (9, [roles.OK])
    assert_serves(shard)
    assert shard.descriptors() <= before + 2
    theirs.close()


def test_a_file_that_shrinks_while_it_is_read_harms_nobody(shard):
    file = os.memfd_create("body")
    whole = message(body="x" * 70 + "\r\n") * 1
    whole += (b"x" * 78 + b"\r\n") * 100000
    results = set()
    for number in range(10):
        os.pwrite(file, whole, 0)
        shard.peers["smtp"].send(1, roles.delivery(number, [ACCOUNT] * 5, b"", length=len(whole), inline=False), file)
        time.sleep(0.005 * number)
        os.ftruncate(file, 1000)
        results.update(delivered(shard)[1])
        os.ftruncate(file, len(whole))
    assert results <= {roles.OK, roles.UNAVAILABLE, roles.REFUSED}
    assert_serves(shard)


def test_a_flood_of_deliveries_with_files_takes_a_bounded_number_of_descriptors(shard):
    file = os.memfd_create("body")
    os.write(file, message())
    most = 0
    n = 2000
    for number in range(n):
        shard.peers["smtp"].send(1, roles.delivery(number, [ACCOUNT], b"", length=len(message()), inline=False), file)
        if number % 100 == 0:
            most = max(most, shard.descriptors())
    answers = [delivered(shard) for _ in range(n)]
    assert {number for number, _ in answers} == set(range(n))
    assert most < 600
    assert_serves(shard)


def test_answers_nobody_asked_for_and_orders_out_of_phase(shard):
    auth = shard.peers["auth"]
    auth.send(1, roles.account_order(1, 9, ACCOUNT))
    assert auth.closed()
    auth = shard.add_peer("auth")
    auth.send(2, bytes(28))
    assert auth.closed()
    auth = shard.add_peer("auth")
    file = os.memfd_create("x")
    auth.send(1, roles.account_order(1, 2, ACCOUNT), file)
    assert auth.closed()
    shard.add_peer("auth")
    shard.peers["auth"].send(1, roles.account_order(7, 0, ACCOUNT))
    kind, body = shard.peers["auth"].receive()
    assert kind == 2 and struct.unpack_from("<Qi", body)[1] <= 0
    assert_serves(shard)


def test_a_shard_without_descriptors_says_so_and_keeps_its_channels(shard):
    limit = shard.descriptors() + 3
    resource.prlimit(shard.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    kept = []
    for number in range(20):
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        shard.peers["access"].send(1, roles.handover(100 + number, shard.ticket(ACCOUNT, 100 + number)), theirs.fileno())
        theirs.close()
        kept.append(wire.Line(ours))
    counted = wait_for(lambda: (of := shard.counters())["sessions"] + of["deliveries_refused"] >= len(kept) and of)
    assert counted["deliveries_refused"] > 10
    for _ in range(counted["deliveries_refused"]):
        assert shard.peers["access"].receive()[0] == 2
    file = os.memfd_create("body")
    os.write(file, message())
    shard.peers["smtp"].send(1, roles.delivery(9, [ACCOUNT], b"", length=len(message()), inline=False), file)
    assert delivered(shard) == (9, [roles.UNAVAILABLE])
    for one in kept:
        one.close()
    wait_for(lambda: shard.counters()["sessions"] == 0)
    assert_serves(shard)


# ---------------------------------------------------------------------- to auth

DENIED, PUT_OFF = 1, 4
RIGHT_SMTP = 4
QUEUE, QUEUE_PER_ADDRESS = 50, 10
IN_WORK_PER_ADDRESS = 3  # THROTTLE_FREE_FAILURES


@pytest.fixture
def auth():
    with roles.Role("auth", {"login": {"password_memory": "8KB", "password_iterations": 1, "failure_delay": "1ms",
                                       "failure_delay_max": "1ms", "password_queue": QUEUE, "password_queue_per_address": QUEUE_PER_ADDRESS}}) as one:
        for role in ("access", "smtp", "authwork", "shard"):
            one.add_peer(role)
        one.start()
        yield one


def login(request, user=b"nobody@example.test", password=b"secret", right=1, address=b"192.0.2.1"):
    return (struct.pack("<QQIB", request, request, right, 0) + roles.short(user) + roles.short(password) +
            roles.short(address))


def job(auth):
    kind, body = auth.peers["authwork"].receive()
    assert kind == 1
    return struct.unpack_from("<Q", body)[0]


def verdict(auth):
    """(request, result, ticket) of the next answer to access."""
    kind, body = auth.peers["access"].receive()
    while kind == 3:  # what EXPIRE of POP3 says, told to each access that comes
        kind, body = auth.peers["access"].receive()
    assert kind == 2
    request, result, _ = struct.unpack_from("<QBH", body)
    return request, result, body[12:]


def has_said_something(channel):
    return channel.unread or select.select([channel.sock], [], [], 0.01)[0]


def assert_answers(auth, request=9000):
    """A login goes its way through authwork."""
    auth.peers["access"].send(1, login(request, address=b"198.51.100.7"))
    auth.peers["authwork"].send(3, struct.pack("<QB", job(auth), 0) + roles.short(b""))
    assert verdict(auth) == (request, DENIED, b"")


def test_a_yes_of_authwork_lets_nobody_in_who_does_not_exist(auth):
    auth.peers["access"].send(1, login(1))
    auth.peers["authwork"].send(3, struct.pack("<QB", job(auth), 1) + roles.short(b"$argon2id$"))
    assert verdict(auth) == (1, DENIED, b"")


@pytest.mark.parametrize("what", ["trailing", "cut", "right", "right of smtp", "no right", "long user", "long password", "type",
                                  "descriptor"])
def test_a_malformed_login_costs_access_its_channel_only(auth, what):
    access = auth.peers["access"]
    {
        "trailing": lambda: access.send(1, login(1) + b"x"),
        "cut": lambda: access.send(1, login(1)[:-1]),
        "right": lambda: access.send(1, login(1, right=3)),
        "right of smtp": lambda: access.send(1, login(1, right=RIGHT_SMTP)),
        "no right": lambda: access.send(1, login(1, right=0)),
        "long user": lambda: access.send(1, login(1, user=b"u" * 321)),
        "long password": lambda: access.send(1, login(1, password=b"p" * 1025)),
        "type": lambda: access.send(2, login(1)),
        "descriptor": lambda: access.send(1, login(1), 0),
    }[what]()
    assert access.closed()
    assert auth.lost()[0] == roles.ROLES.index("access")
    auth.add_peer("access")
    assert_answers(auth)


RESOLVE, SMTP_LOGIN, SENDER = 1, 3, 5
LOGGED_OUT = 2


def sender_question(request, account=ACCOUNT, app_password=0, address=b"nobody@example.test"):
    return struct.pack("<QQ", request, request) + account + struct.pack("<Q", app_password) + roles.short(address)


@pytest.mark.parametrize("what", ["right of imap", "two rights", "all rights", "trailing login", "cut login", "trailing sender",
                                  "cut sender", "long sender", "trailing address", "long address", "type", "answer", "descriptor"])
def test_a_malformed_question_costs_smtp_its_channel_only(auth, what):
    """A ticket, which opens mail, is nothing that smtp can get: it may ask for its own right alone."""
    smtp = auth.peers["smtp"]
    good = login(1, right=RIGHT_SMTP)
    address = struct.pack("<QQ", 1, 1) + roles.short(b"nobody@example.test")
    {
        "right of imap": lambda: smtp.send(SMTP_LOGIN, login(1)),
        "two rights": lambda: smtp.send(SMTP_LOGIN, login(1, right=RIGHT_SMTP | 1)),
        "all rights": lambda: smtp.send(SMTP_LOGIN, login(1, right=7)),
        "trailing login": lambda: smtp.send(SMTP_LOGIN, good + b"x"),
        "cut login": lambda: smtp.send(SMTP_LOGIN, good[:-1]),
        "trailing sender": lambda: smtp.send(SENDER, sender_question(1) + b"x"),
        "cut sender": lambda: smtp.send(SENDER, sender_question(1)[:-1]),
        "long sender": lambda: smtp.send(SENDER, sender_question(1, address=b"a" * 513)),
        "trailing address": lambda: smtp.send(RESOLVE, address + b"x"),
        "long address": lambda: smtp.send(RESOLVE, struct.pack("<QQ", 1, 1) + roles.short(b"a" * 513)),
        "type": lambda: smtp.send(7, good),
        "answer": lambda: smtp.send(SMTP_LOGIN + 1, good),
        "descriptor": lambda: smtp.send(SMTP_LOGIN, good, 0),
    }[what]()
    assert smtp.closed()
    assert auth.lost()[0] == roles.ROLES.index("smtp")
    smtp = auth.add_peer("smtp")
    smtp.send(RESOLVE, address)
    kind, body = smtp.receive()
    assert kind == RESOLVE + 1 and struct.unpack_from("<QBI", body) == (1, 1, 0)
    assert_answers(auth)


def test_smtp_learns_nothing_of_who_is_not_there(auth):
    smtp = auth.peers["smtp"]
    for request, (account, app_password, address) in enumerate((
            (ACCOUNT, 0, b""), (ACCOUNT, 7, b""), (ACCOUNT, 0, b"nobody@example.test"), (ACCOUNT, 0, b"\xff\0@"),
            (ACCOUNT, 1 << 63, b""), (STRANGER, 0, b""))):
        smtp.send(SENDER, sender_question(request, account, app_password, address))
        assert smtp.receive() == (SENDER + 1, struct.pack("<QB", request, LOGGED_OUT))
    smtp.send(SMTP_LOGIN, login(6, right=RIGHT_SMTP))
    auth.peers["authwork"].send(3, struct.pack("<QB", job(auth), 1) + roles.short(b"$argon2id$"))
    assert smtp.receive() == (SMTP_LOGIN + 1, struct.pack("<QB", 6, DENIED) + bytes(25))


@pytest.mark.parametrize("what", ["other request", "unasked", "malformed", "type"])
def test_an_authwork_that_answers_what_nobody_asked_is_dropped_and_its_work_goes_on(auth, what):
    authwork = auth.peers["authwork"]
    if what != "unasked":
        auth.peers["access"].send(1, login(1))
        number = job(auth)
    {
        "other request": lambda: authwork.send(3, struct.pack("<QB", number ^ 1, 1) + roles.short(b"")),
        "unasked": lambda: authwork.send(3, struct.pack("<QB", 1, 1) + roles.short(b"")),
        "malformed": lambda: authwork.send(3, struct.pack("<QB", number, 7) + roles.short(b"")),
        "type": lambda: authwork.send(1, struct.pack("<QB", number, 1) + roles.short(b"")),
    }[what]()
    assert authwork.closed()
    auth.add_peer("authwork")
    if what != "unasked":
        auth.peers["authwork"].send(3, struct.pack("<QB", job(auth), 0) + roles.short(b""))
        assert verdict(auth) == (1, DENIED, b"")
    assert_answers(auth)


def test_a_flood_of_logins_is_bounded_for_each_address_and_in_all(auth):
    access, authwork = auth.peers["access"], auth.peers["authwork"]
    for request in range(100):
        access.send(1, login(request, address=b"192.0.2.1"))
    answers = [verdict(auth)[:2] for _ in range(100 - IN_WORK_PER_ADDRESS - QUEUE_PER_ADDRESS)]
    for request in range(100, 400):
        access.send(1, login(request, address=b"192.0.2.%d" % (2 + request % 250)))
    while len(answers) < 400 - (1 + QUEUE + QUEUE):  # one in work, and as many as may wait for their work or their turn
        answers.append(verdict(auth)[:2])
    assert all(result == PUT_OFF for _, result in answers)
    # all that waits is answered, and then the next one is served
    while len(answers) < 400:
        if has_said_something(authwork):
            authwork.send(3, struct.pack("<QB", job(auth), 0) + roles.short(b""))
        if has_said_something(access):
            answers.append(verdict(auth)[:2])
    assert {result for _, result in answers} == {PUT_OFF, DENIED}
    assert_answers(auth)


def test_a_shard_that_answers_nonsense_loses_its_channel_only(auth):
    auth.peers["shard"].send(2, roles.account_order_reply(77, 0))  # too late, or never asked: no harm
    assert_answers(auth, 1)
    auth.peers["shard"].send(2, roles.account_order_reply(77, 5))
    assert auth.peers["shard"].closed()
    assert_answers(auth, 2)


# ---------------------------------------------------------------------- the supervisor mends what broke between two that live

def socket_of(pid, number):
    """A socket of another process, or None where this system does not let us have it."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    fd = libc.syscall(438, process, number, 0)  # pidfd_getfd(2)
    os.close(process)
    return socket.socket(fileno=fd) if fd >= 0 else None


@pytest.mark.parametrize("role", ["access", "smtp"])
def test_a_channel_that_broke_is_made_anew_and_nobody_was_restarted(fresh_server, role):
    server = fresh_server({"server": {"shards": 1}})
    account = server.add_account()
    pids = {one: server.processes(one) for one in roles.ROLES[1:]}
    pid = pids[role][0]
    broken = 0
    for entry in os.listdir(f"/proc/{pid}/fd"):
        if int(entry) > 3 and os.readlink(f"/proc/{pid}/fd/{entry}").startswith("socket:"):
            taken = socket_of(pid, int(entry))
            if taken is None:
                pytest.skip("no descriptors of other processes here")
            with taken:
                if taken.family == socket.AF_UNIX and not taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    taken.send(b"\xff" * 16)
                    broken += 1
    assert broken >= 2
    server.wait_for(lambda: server.log_text().count("channel-mended") >= 2, "new channels")
    with server.imap(account) as imap:
        imap.select()
    server.deliver(account, message())
    assert {one: server.processes(one) for one in roles.ROLES[1:]} == pids
