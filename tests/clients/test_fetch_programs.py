"""Programs that fetch mail by POP3 (two of them by IMAP too), each told to leave mail on the server and each told to
delete it, in each mode that the server has for POP3 (docs/pop3.md), run twice with new mail in between: every
message arrives whole, none twice, and the server keeps what it should."""

import poplib
import ssl

import pytest

from harness.clock import DAY, Clock
from harness.material import AWKWARD_BODIES, message
from harness.programs import bodies, far_side, maildir, need
from harness.server import DOMAIN, Account, Server

FETCHMAIL = """
set no bouncemail
set invisible
poll localhost proto {protocol} service {port} {uidl}
    user "{user}" password "{password}" {keep} {tls} sslcertck sslcertfile "{certificate}"
    no rewrite no mimedecode pass8bits mda "{mda}"
"""
# fetchmail and getmail hand each message to a program (getmail writes no Maildir as root); this one has a Maildir
DELIVER = """#!/bin/sh
file=$$.$(ls "$HOME/Maildir/new" | wc -l)
cat >"$HOME/Maildir/tmp/$file" && mv "$HOME/Maildir/tmp/$file" "$HOME/Maildir/new/$file"
"""
GETMAIL = """
[retriever]
type = {type}
server = localhost
port = {port}
username = {user}
password = {password}
ca_certs = {certificate}
[destination]
type = MDA_external
path = {mda}
allow_root_commands = true
[options]
delete = {delete}
read_all = false
delivered_to = false
received = false
"""
MPOP = """
account default
host localhost
port {port}
user {user}
password {password}
auth user
tls on
tls_starttls {starttls}
tls_trust_file {certificate}
keep {keep}
delivery maildir {maildir}
received_header off
"""


class Program:
    """A program with its configuration, its memory and its Maildir; the last two outlive a run."""

    NEEDS = ()
    SERVICES = ("pop3s", "pop3")  # TLS from the start, STLS

    def __init__(self, home, server, account, deletes, service):
        need(*self.NEEDS)
        self.home, self.server, self.account, self.deletes, self.service = home, server, account, deletes, service
        self.port = server.ports[service]
        self.maildir = home.folder / "Maildir"
        for part in ("cur", "new", "tmp"):
            (self.maildir / part).mkdir(parents=True)
        self.mda = home.write("deliver", DELIVER, 0o700)
        self.configure()

    def fill(self, text, **more):
        return text.format(port=self.port, user=self.account.address, password=self.account.password,
                           certificate=self.server.certificate, maildir=self.maildir, mda=self.mda, **more)

    def configure(self):
        """Writes what the program reads at each run."""

    def fetch(self):
        """One run; everything fetched stands in the Maildir afterwards."""
        raise NotImplementedError

    def fetched(self):
        return bodies(maildir(self.maildir))

    def keep(self, body):
        (self.maildir / "new" / str(len(list((self.maildir / "new").iterdir())))).write_bytes(body)


class Fetchmail(Program):
    NEEDS = ("fetchmail",)
    # told to leave mail, it reads by TOP and not by RETR
    SERVICES = ("pop3s", "pop3", "imaps")

    def configure(self):
        tls = 'sslproto "tls1.2+"' if self.service == "pop3" else "ssl"
        self.config = self.home.write("fetchmailrc", self.fill(
            FETCHMAIL, protocol=self.service[:4], uidl="uidl" if self.service[:4] == "pop3" else "", tls=tls,
            keep="no keep" if self.deletes else "keep"))

    def fetch(self):
        self.home.run("fetchmail", "-f", self.config, "--nodetach", "--pidfile", self.home.folder / "pid",
                      "-i", self.home.folder / "ids", expect=(0, 1))


class Getmail(Program):
    NEEDS = ("getmail",)
    SERVICES = ("pop3s", "imaps")  # no STLS in getmail6

    def configure(self):
        self.home.write(".getmail/getmailrc", self.fill(GETMAIL, type=f"Simple{self.service[:4].upper()}SSLRetriever",
                                                        delete="true" if self.deletes else "false"))

    def fetch(self):
        self.home.run("getmail", "--quiet")

    def fetched(self):
        """Without what getmail says of IMAP mail."""
        return sorted(body.replace(b"X-getmail-retrieved-from-mailbox: INBOX\r\n", b"") for body in super().fetched())


class Mpop(Program):
    NEEDS = ("mpop",)

    def configure(self):
        self.config = self.home.write("mpoprc", self.fill(MPOP, starttls="on" if self.service == "pop3" else "off",
                                                          keep="off" if self.deletes else "on"))

    def fetch(self):
        self.home.run("mpop", "-C", self.config)


class Curl(Program):
    """curl remembers nothing: the loop of a shell script that does."""

    NEEDS = ("curl",)

    def configure(self):
        self.known = set()

    def curl(self, path="", *options):
        return self.home.run("curl", "-sS", "--cacert", self.server.certificate, "--ssl-reqd", "-u",
                             f"{self.account.address}:{self.account.password}", *options,
                             f"{self.service}://localhost:{self.port}/{path}")

    def listed(self):
        """{unique id: number}; an empty list is printed as an empty line."""
        lines = self.curl("", "-X", "UIDL").decode().strip().splitlines()
        return {uid: number for number, uid in (line.split() for line in lines)}

    def fetch(self):
        # numbers hold for one session, and each request is one
        while new := self.listed().keys() - self.known:
            uid = new.pop()
            self.keep(self.curl(self.listed()[uid]))
            self.known.add(uid)
        while self.deletes and (numbers := self.listed().values()):
            self.curl(next(iter(numbers)), "-X", "DELE", "-l")


class Poplib(Program):
    def configure(self):
        self.known = set()

    def connect(self):
        context = ssl.create_default_context(cafile=self.server.certificate)
        if self.service == "pop3s":
            return poplib.POP3_SSL("localhost", self.port, timeout=30, context=context)
        pop3 = poplib.POP3("localhost", self.port, timeout=30)
        pop3.stls(context)
        return pop3

    def fetch(self):
        pop3 = self.connect()
        pop3.user(self.account.address)
        pop3.pass_(self.account.password)
        for line in pop3.uidl()[1]:
            number, uid = line.split()
            if uid not in self.known:
                self.keep(b"".join(one + b"\r\n" for one in pop3.retr(int(number))[1]))
                self.known.add(uid)
            if self.deletes:
                pop3.dele(int(number))
        pop3.quit()


PROGRAMS = (Fetchmail, Getmail, Mpop, Curl, Poplib)


@pytest.fixture
def program(request, home):
    """program(server, account, deletes=True): the program that the test is for, set up for an account."""
    kind, service = request.param
    return lambda server, account, deletes: kind(home, server, account, deletes, service)


def programs(which):
    return pytest.mark.parametrize("program", which, indirect=True,
                                   ids=lambda one: f"{one[0].__name__.lower()}-{one[1]}")


every_way = programs([(kind, service) for kind in PROGRAMS for service in kind.SERVICES])
once = programs([(kind, kind.SERVICES[0]) for kind in PROGRAMS])
leaves_or_deletes = pytest.mark.parametrize("deletes", [False, True], ids=["leaves", "deletes"])


def deliver(server, account, name, some):
    for number, body in enumerate(some):
        server.deliver(account, message(subject=f"{name} {number}", body=body, recipient=f"someone@{DOMAIN}"))


def inbox(server, account):
    return bodies(far_side(server, account)["INBOX"])


def set_mode(server, account, mode, *options):
    server.cli("account", "pop3", account.address, "--mode", mode, *options)


def fetch_twice_with_new_mail_between(server, account, program, stays, some=AWKWARD_BODIES[:3]):
    """Every message is fetched once, whole; stays: whether it is on the server then."""
    deliver(server, account, "first", some)
    first = inbox(server, account)
    program.fetch()
    assert program.fetched() == first
    assert inbox(server, account) == (first if stays else [])
    deliver(server, account, "second", some)
    second = inbox(server, account)
    for _ in range(2):
        program.fetch()
        assert program.fetched() == (second if stays else sorted(first + second))
        assert inbox(server, account) == (second if stays else [])
    assert len(program.fetched()) == 2 * len(some)


@pytest.mark.smoke
@every_way
@leaves_or_deletes
def test_the_client_decides(server, account, program, deletes):
    fetch_twice_with_new_mail_between(server, account, program(server, account, deletes), not deletes, AWKWARD_BODIES)


@once
@leaves_or_deletes
def test_in_delete_mode_what_was_fetched_is_gone(server, account, program, deletes):
    set_mode(server, account, "delete")
    program = program(server, account, deletes)
    fetch_twice_with_new_mail_between(server, account, program, stays=False)


@once
@leaves_or_deletes
def test_in_keep_mode_all_stays_for_others(server, account, program, deletes):
    set_mode(server, account, "keep")
    fetch_twice_with_new_mail_between(server, account, program(server, account, deletes), stays=True)
    everything = len(inbox(server, account))
    phone = server.cli_json("account", "app-password", "add", account.address, "phone")["password"]
    with server.pop3(Account(address=account.address, password=phone)) as pop3:
        assert pop3.stat()[0] == everything == 6


@pytest.fixture(scope="module")
def dated():
    """A server whose time is moved, and its clock."""
    clock = Clock()
    server = Server(environment=clock.environment)
    try:
        server.start()
        server.add_domain()
        yield server, clock
    finally:
        server.close()
        clock.close()


@pytest.mark.plain
@once
@leaves_or_deletes
def test_what_was_fetched_is_gone_some_days_later(dated, program, deletes):
    server, clock = dated
    clock.set(0)
    account = server.add_account()
    set_mode(server, account, "days", "--days", "7")
    program = program(server, account, deletes)
    fetch_twice_with_new_mail_between(server, account, program, stays=True)
    fetched = program.fetched()

    def days_later(days):
        clock.set(days * DAY)
        server.cli("store", "compact")  # which does the background work of all shards

    days_later(6)
    assert inbox(server, account) == fetched
    program.fetch()
    server.deliver(account, message(subject="third"))
    days_later(8)
    server.wait_for(lambda: len(inbox(server, account)) == 1, "what was retrieved to be deleted")
    left = inbox(server, account)
    program.fetch()
    assert program.fetched() == sorted(fetched + left) and inbox(server, account) == left
