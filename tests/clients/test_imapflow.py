"""imapflow, the IMAP library of many web mailers, from npm: one session of what they do (imapflow/session.js)."""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import subprocess

import pytest

from harness.material import NESTED, message
from harness.programs import Mail, far_side
from harness.server import PROJECT

FOLDER = PROJECT / "tests" / "clients" / "imapflow"
INSTALL = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1",
           "--fetch-timeout=20000"]
INSTALL_SECONDS = 120


@pytest.fixture(scope="module")
def modules():
    """The folder where npm has put what imapflow/package-lock.json names; installed once for each such file."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    lock = (FOLDER / "package-lock.json").read_bytes()
    installed = PROJECT / "build-clients" / f"imapflow-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not installed.is_dir():
        fresh = installed.with_name(f"{installed.name}.{os.getpid()}")
        fresh.mkdir(parents=True)
        try:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(FOLDER / name, fresh)
            try:
                done = subprocess.run(INSTALL, cwd=fresh, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                      timeout=INSTALL_SECONDS, check=False)
            except subprocess.TimeoutExpired:
                pytest.skip(f"imapflow cannot be installed from npm (not within {INSTALL_SECONDS} s)")
            if done.returncode != 0:
                reason = next((line for line in done.stderr.splitlines() if "code E" in line), "npm ci failed")
                pytest.skip(f"imapflow cannot be installed from npm ({reason})")
            with contextlib.suppress(OSError):  # another run was faster
                fresh.rename(installed)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return installed / "node_modules"


@pytest.mark.smoke
@pytest.mark.parametrize("service,qresync", [("imap", False), ("imaps", True)])
def test_a_session_of_a_web_mailer(server, account, home, modules, service, qresync):
    mails = [NESTED] + [message(subject=subject, body=f"{subject} body, Grüße\r\n")
                        for subject in ("second", "third", "fourth")]
    with server.imap(account) as imap:
        for data in mails:
            imap.append("INBOX", data)
    own = message(subject="own", body="written here\r\n")
    order = {"host": "localhost", "port": server.ports[service], "secure": service == "imaps", "qresync": qresync,
             "user": account.address, "password": account.password, "ca": str(server.certificate),
             "message": base64.b64encode(own).decode()}
    home.environment["MODULES"] = str(modules)
    seen = json.loads(home.run("node", FOLDER / "session.js", input=json.dumps(order).encode()))

    assert seen["server"]["name"] == "Mansio"
    uses = {(path, use) for path, use, _ in seen["folders"]}
    assert uses >= {("INBOX", "\\Inbox"), ("Sent", "\\Sent"), ("Trash", "\\Trash")}
    assert seen["exists"] == 4
    assert [base64.b64decode(one["source"]) for one in seen["first"]] == mails
    assert [one["size"] for one in seen["first"]] == [len(data) for data in mails]
    assert [one["subject"] for one in seen["first"]] == ["Grüße two lines", "second", "third", "fourth"]
    assert seen["first"][0]["from"] == "jane@example.net" and seen["first"][0]["type"] == "multipart/mixed"
    assert seen["first"][0]["parts"] == ["text/plain", "message/rfc822", "application/octet-stream"]
    # as imapflow reads format=flowed
    assert seen["text"] == {"type": "text/plain", "content": "first line\nsecond line"}
    assert seen["attachment"] == {"name": "data.bin", "content": "000102030405"}
    assert seen["found"] == {"subject": [2], "unseen": [1, 2, 3, 4], "text": [1], "either": [2, 3]}
    assert seen["changed"] == [[2, ["$Later", "\\Flagged"]], [3, ["\\Seen"]]]
    assert seen["moved"] == {"3": 1} and seen["copied"] == {"2": 2} and seen["left"] == 2
    assert seen["appended"] == 1 and seen["status"]["messages"] == 1 and seen["status"]["unseen"] == 0
    assert seen["told"] == {"exists": 3, "flags": 3, "expunged": {"uid": 5} if qresync else {"seq": 3}}
    assert base64.b64decode(seen["fetched"]["source"]) == own
    assert set(seen["fetched"]["flags"]) >= {"\\Seen", "$Own"} and seen["fetched"]["date"] == "2001-02-03T04:05:06.000Z"

    after = far_side(server, account)
    assert after["INBOX"] == sorted([Mail(mails[0], ""), Mail(mails[1], "F")])
    assert after["Archive"] == sorted([Mail(mails[1], "F"), Mail(mails[2], "S")])
    assert after["Projects/&AMk-t&AOk-"] == [Mail(own, "S")] and "Junk" not in after
