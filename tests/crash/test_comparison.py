"""The crash test must notice: each kind of harm, done behind the ledger's back, is found by the comparison."""

import random

import pytest

from comparison import Comparison
from counters import Counters
from driver import MAILBOXES
from ledger import Append, Delivery, Ledger, Remove, Rename, Store, Transfer
from workload import Client

pytestmark = pytest.mark.smoke


@pytest.fixture
def world(server, tmp_path):
    """A ledger of one account, and in its INBOX one APPEND and one delivery, both acknowledged and compared."""
    account = server.add_account()
    with server.imap(account) as imap:
        for name in MAILBOXES[2:]:
            imap.ok(f'CREATE "{name}"')
    ledger = Ledger(tmp_path / "ledger.jsonl", [account], MAILBOXES)
    one = World(server, ledger, account)
    one.append()
    one.deliver()
    assert one.compare() == []
    yield one
    ledger.close()
    assert ledger.mistakes == []


class World:
    def __init__(self, server, ledger, account):
        self.server, self.ledger, self.account = server, ledger, account
        self.client = Client(server, ledger, [account], 1)
        self.inbox = ledger.box(account, "INBOX")
        self.archive = ledger.box(account, "Archive")

    def append(self):
        operation = Append([self.ledger.new_message(1000, is_delivery=False)], self.inbox, ["\\Flagged"])
        self.ledger.begin(operation)
        with self.server.imap(self.account) as imap:
            answer = imap.append("INBOX", operation.copies[0].message.data, "\\Flagged")
        self.ledger.done(operation, [int(answer.code.split()[2])])
        return operation.copies[0]

    def deliver(self):
        message = self.ledger.new_message(1000, is_delivery=True)
        operation = Delivery(message, [self.inbox], is_lmtp=True)
        self.ledger.begin(operation)
        self.server.deliver(self.account, message.data)
        self.ledger.done(operation, self.inbox)

    def appended(self):
        return next(copy for copy in self.inbox.living.values() if not copy.message.is_delivery)

    def behind_its_back(self, command, mailbox="INBOX"):
        with self.server.imap(self.account) as imap:
            imap.select(mailbox)
            return imap.ok(command)

    def compare(self):
        """The kinds of harm that are found."""
        findings = Comparison(self.server, self.ledger, [self.account], read_all=True).run(with_pop3=True)
        return sorted({line.partition(":")[0] for line in findings.lines})


def test_an_expunged_message_is_lost(world):
    world.behind_its_back(f"UID STORE {world.appended().uid} +FLAGS (\\Deleted)")
    world.behind_its_back("EXPUNGE")
    assert world.compare() == ["lost"]


def test_a_second_copy_is_a_double(world):
    world.behind_its_back("UID COPY 1:* INBOX")
    assert "duplicated" in world.compare()
    assert len(world.ledger.mistakes) == 2  # POP3 sees them too
    world.ledger.mistakes.clear()


def test_a_copy_elsewhere_is_a_double(world):
    world.behind_its_back("UID COPY 1 Archive")
    assert world.compare() == ["duplicated"]


def test_other_flags_are_an_alteration(world):
    world.behind_its_back("UID STORE 1:* +FLAGS (\\Seen)")
    assert world.compare() == ["altered"]


def test_other_bytes_are_an_alteration(world):
    world.appended().message.digest = b""
    assert world.compare() == ["altered"]


def test_a_new_uid_is_lost_and_double(world):
    copy = world.appended()
    world.behind_its_back(f"UID MOVE {copy.uid} Archive")
    world.behind_its_back("UID MOVE 1:* INBOX", "Archive")
    assert world.compare() == ["duplicated", "lost"]


def test_another_uidvalidity_is_an_alteration(world):
    world.archive.uidvalidity += 1
    assert world.compare() == ["altered"]


def test_a_smaller_uidnext_is_an_alteration(world):
    world.inbox.uidnext += 1
    assert world.compare() == ["altered"]


@pytest.mark.parametrize("happened", [True, False])
def test_an_unanswered_operation_may_have_happened_or_not(world, happened):
    copy = world.appended()
    world.ledger.begin(Store([copy], "+", ["\\Seen"]))
    if happened:
        world.behind_its_back(f"UID STORE {copy.uid} +FLAGS (\\Seen)")
    assert world.compare() == []
    world.ledger.begin(Transfer([copy], world.archive, is_move=True))
    if happened:
        world.behind_its_back(f"UID MOVE {copy.uid} Archive")
    assert world.compare() == []
    box = world.archive if happened else world.inbox
    copy = box.living[copy.message.token]
    world.ledger.begin(Remove([copy]))
    if happened:
        world.behind_its_back(f"UID STORE {copy.uid} +FLAGS (\\Deleted)", box.name)
        world.behind_its_back("EXPUNGE", box.name)
    else:
        world.behind_its_back(f"UID STORE {copy.uid} +FLAGS (\\Answered)", box.name)
        copy.choices = {choice | {"\\Answered"} for choice in copy.choices}
    assert world.compare() == []
    assert (copy.message.token in box.living) is not happened


def test_half_a_move_is_a_double(world):
    copy = world.appended()
    world.ledger.begin(Transfer([copy], world.archive, is_move=True))
    world.behind_its_back(f"UID COPY {copy.uid} Archive")
    assert world.compare() == ["duplicated"]


def test_the_other_half_of_a_move_is_a_loss(world):
    copy = world.appended()
    world.ledger.begin(Transfer([copy], world.archive, is_move=True))
    world.behind_its_back(f"UID STORE {copy.uid} +FLAGS (\\Deleted)")
    world.behind_its_back("EXPUNGE")
    assert world.compare() == ["lost"]


def test_an_unanswered_delivery_is_tried_again_until_it_is_there_once(world):
    message = world.ledger.new_message(1000, is_delivery=True)
    world.ledger.begin(Delivery(message, [world.inbox], is_lmtp=False))
    assert world.compare() == []
    assert message.token not in world.inbox.living and len(world.ledger.retries) == 1
    assert world.client.finish_deliveries(float("inf"))
    assert message.token in world.inbox.living
    assert world.compare() == []


def test_a_mailbox_under_another_name_is_lost(world):
    world.behind_its_back("RENAME Archive Elsewhere")
    assert world.compare() == ["duplicated", "lost"]


@pytest.mark.parametrize("happened", [True, False])
def test_an_unanswered_rename_may_have_happened_or_not(world, happened):
    old, new, operation = world.ledger.begin_rename(world.account, random.Random(1))
    if happened:
        world.behind_its_back(f'RENAME "{old}" "{new}"')
    assert world.compare() == []
    assert {box.name for box in operation.names} == ({*operation.names.values()} if happened else
                                                     {box.first_name for box in operation.names})


def test_half_a_rename_is_an_alteration(world):
    work, deep = world.ledger.box(world.account, "Work"), world.ledger.box(world.account, "Work/Deep down")
    world.ledger.begin(Rename({work: "New", deep: "New/Deep down"}))
    world.behind_its_back('RENAME "Work/Deep down" "New/Deep down"')
    assert "altered" in world.compare()


@pytest.mark.parametrize("happened", [True, False])
def test_an_unanswered_rename_of_inbox_may_have_happened_or_not(world, happened):
    operation = world.ledger.begin_rename_inbox(world.account)
    if happened:
        world.behind_its_back(f'RENAME INBOX "{operation.target.name}"')
    assert world.compare() == []
    assert len(world.inbox.living) == (0 if happened else 2)


def test_half_a_rename_of_inbox_is_found(world):
    operation = world.ledger.begin_rename_inbox(world.account)
    world.behind_its_back(f'CREATE "{operation.target.name}"')
    world.behind_its_back(f'UID MOVE 1 "{operation.target.name}"')
    assert world.compare() == ["duplicated", "lost"]


def test_counters_that_go_back_are_found(server, world, tmp_path):
    counters = Counters(server.directory)
    counters.read()
    assert counters.known and counters.backwards() == []
    counters.known = {key: value + 1 for key, value in counters.known.items()}
    counters.read()
    assert len(counters.backwards()) == len(counters.known)
