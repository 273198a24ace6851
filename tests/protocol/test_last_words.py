"""What the server says last reaches a client that is still sending: no reset comes behind it."""

from harness.material import message

FLOOD = b"x\r\n" * 400_000


def everything(line):
    """All that comes until the end of the connection, which must be an end and no reset."""
    while data := line.sock.recv(65536):
        line.unread += data
    return line.unread


def pour(client, *parts):
    """Sends without a look at what comes back; the server may stop reading at any time."""
    client.line.sock.settimeout(5)
    for part in parts:
        try:
            client.line.send(part)
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            break
    client.line.sock.settimeout(30)


def test_what_was_done_before_too_many_bad_commands_is_answered(server, account):
    with server.imap(account) as imap:
        text = message()
        pour(imap, b"a APPEND INBOX {%d+}\r\n" % len(text), text, b"\r\n", FLOOD)
        said = everything(imap.line)
        assert b"a OK [APPENDUID " in said
        assert said.endswith(b"* BYE Too many bad commands.\r\n")


def test_a_command_that_is_far_too_long_hears_why_it_was_the_last(server, account):
    with server.imap(account) as imap:
        pour(imap, b"a LIST \"\" \"", b"x" * 4_000_000)
        assert b"* BYE That command is far too long.\r\n" in everything(imap.line)


def test_an_upload_into_a_mailbox_session_that_ends_hears_why(server, account):
    piece = b"x" * 76 + b"\r\n"
    with server.imap(account) as imap, server.imap(account) as other:
        imap.ok("CREATE Gone")
        imap.select("Gone")
        imap.line.send(b"a APPEND INBOX {30000000+}\r\n" + piece * 1000)
        other.ok("DELETE Gone")
        pour(imap, *(piece * 1000 for _ in range(100)))
        assert everything(imap.line).endswith(b"* BYE The selected mailbox was deleted.\r\n")


def test_logout_with_more_behind_it_is_answered(server, account):
    with server.imap(account) as imap:
        pour(imap, b"a LOGOUT\r\n" + FLOOD)
        assert everything(imap.line).endswith(b"a OK LOGOUT completed.\r\n")


def test_pop3_quit_with_more_behind_it_is_answered(server, account):
    with server.pop3(account) as pop3:
        pour(pop3, b"QUIT\r\n" + FLOOD)
        assert everything(pop3.line) == b"+OK Good-bye.\r\n"


def test_pop3_hears_which_command_was_the_last(server, account):
    with server.pop3(account) as pop3:
        pour(pop3, FLOOD)
        said = everything(pop3.line)
        assert said.startswith(b"-ERR ") and said.endswith(b"\r\n")


def test_smtp_quit_with_more_behind_it_is_answered(server, account):
    with server.smtp() as smtp:
        pour(smtp, b"QUIT\r\n" + FLOOD)
        assert everything(smtp.line).startswith(b"221 ")


def test_access_hears_which_command_was_the_last(server):
    with server.imap() as imap:
        pour(imap, FLOOD)
        assert b"* BYE " in everything(imap.line)


def test_a_login_that_is_refused_with_more_behind_it_hears_why(fresh_server):
    """As of a client that sends its upload at once."""
    server = fresh_server({"server": {"shards": 1}, "imap": {"max_sessions_per_account": 1}})
    account = server.add_account()
    name, password = account.address.encode(), account.password.encode()
    imap = b"a LOGIN \"%b\" \"%b\"\r\n" % (name, password), (b"a NO [LIMIT] too many sessions of this account\r\n"
                                                     b"* BYE too many sessions of this account\r\n")
    pop3 = b"USER %b\r\nPASS %b\r\n" % (name, password), b"-ERR [SYS/TEMP] too many sessions of this account\r\n"
    with server.imap(account):
        for service in ("imap", "imaps", "pop3", "pop3s") * 3:
            said, heard = imap if service.startswith("imap") else pop3
            with (server.imap if service.startswith("imap") else server.pop3)(None, service) as client:
                pour(client, said + FLOOD)
                assert everything(client.line).endswith(heard), service
