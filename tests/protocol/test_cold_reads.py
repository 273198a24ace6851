"""Message bodies that are not in the page cache: read by the shard's helper thread, inside its sandbox."""

import os

import pytest

from harness.material import message


def cold_reads(server):
    return server.sum_of("cold_reads", "shard")


def is_cold(file, offset):
    try:
        os.preadv(file.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def drop_from_page_cache(server):
    """False where the kernel keeps them nevertheless, or does not tell (tmpfs)."""
    dropped = False
    for path in server.directory.rglob("body/*.seg"):
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            dropped = is_cold(file, path.stat().st_size - 1) or dropped  # asking begins to read: behind it is nothing
    return dropped


def make_cold(server):
    """What was written last may be busy for a moment."""
    if not any(drop_from_page_cache(server) for _ in range(100)):
        pytest.skip("this file system does not tell what is in the page cache")


def test_cold_bodies_come_whole_and_stop_nobody(fresh_server):
    server = fresh_server({"server": {"shards": 1}})
    account = server.add_account()
    bodies = [message(body=("%06d\r\n" % number) * (4 ** number * 50)) for number in range(7)]
    with server.imap(account) as imap, server.imap(account) as other:
        for body in bodies:
            imap.append("INBOX", body)
        imap.select()
        other.select()
        make_cold(server)
        tag = imap.send("FETCH 1:* (BODY.PEEK[])")
        other.ok("NOOP")  # in time, or its client gives up
        answer = imap.wait(tag)
        assert [one[b"BODY[]"] for one in answer.fetched().values()] == bodies
        assert cold_reads(server) > 0
        drop_from_page_cache(server)
    with server.pop3(account) as pop3:
        for number, body in enumerate(bodies, 1):
            assert pop3.multiline(f"RETR {number}") == body


@pytest.mark.parametrize("item", ["BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY.PEEK[HEADER.FIELDS (X-A)]", "BODY.PEEK[TEXT]<0.100>"])
def test_imap_reads_no_small_cold_body_on_the_loop(fresh_server, item):
    """What is too small for sendfile goes through the shard's memory."""
    server = fresh_server({"server": {"shards": 1}})
    account = server.add_account()
    with server.imap(account) as imap:
        for number in range(20):
            imap.append("INBOX", b"X-A: %d\r\n" % number + message(body="line\r\n" * 2000))
        imap.select()
        warm = imap.fetch("1:*", item)

        def is_fetched():
            make_cold(server)
            before = cold_reads(server)
            assert imap.fetch("1:*", item) == warm
            return cold_reads(server) > before

        server.wait_for(is_fetched, f"{item} to ask for what is cold")


def test_previews_read_nothing_cold_on_the_loop(fresh_server):
    """Some have their text at their beginning, others far behind it, which is fetched by itself."""
    server = fresh_server({"server": {"shards": 1}})
    account = server.add_account()
    far = b"Content-Type: text/html\r\n\r\n<style>" + b"p { color: red }\r\n" * 5000 + b"</style>far away"
    texts = [b"near by", b"far away"] * 10
    with server.imap(account) as imap:
        for text in texts:
            imap.append("INBOX", far if text == b"far away" else b"\r\nnear by")
        imap.select()

        def is_fetched():
            make_cold(server)
            before = cold_reads(server)
            lazy, found = imap.fetch("1:*", "(PREVIEW (LAZY))"), imap.fetch("1:*", "(PREVIEW)")
            assert [bytes(found[number][b"PREVIEW"]) for number in sorted(found)] == texts
            assert all(lazy[number][b"PREVIEW"] in (None, text) for number, text in enumerate(texts, 1))
            return cold_reads(server) > before

        server.wait_for(is_fetched, "PREVIEW to ask for what is cold")


def asks_cold(server, pop3, line, wanted):
    """Whether something was fetched for this command."""
    make_cold(server)
    before = cold_reads(server)
    if wanted is None:
        pop3.error(line, code="UTF8")
    else:
        assert pop3.multiline(line) == wanted
    return cold_reads(server) > before


def test_pop3_reads_no_cold_body_on_the_loop(fresh_server):
    """What is cut or dot-stuffed, and the header that is looked at for UTF-8, goes through the shard's memory."""
    server = fresh_server({"server": {"shards": 1}, "pop3": {"utf8": True}})
    account = server.add_account()
    stuffed = message(body="".join(f".{number:06}\r\n" for number in range(40_000)))
    plain = message(body="line\r\n" * 50_000)
    wide = "Subject: Gr\u00fc\u00dfe\r\n\r\n".encode() + b"line\r\n" * 50_000
    top = plain[:plain.index(b"\r\n\r\n") + 4] + b"line\r\n" * 3
    with server.imap(account) as imap:
        for one in (stuffed, plain, wide):
            imap.append("INBOX", one)
    with server.pop3(account) as pop3:
        for line, wanted in (("RETR 1", stuffed), ("TOP 2 3", top), ("RETR 3", None)):
            server.wait_for(lambda: asks_cold(server, pop3, line, wanted), f"{line} to ask for what is cold")
