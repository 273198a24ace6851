#!/usr/bin/python3
"""life_of_a_package.py OLD.deb NEW.deb: installs, runs, upgrades, removes and purges, on the system that it is run on: only
for one that is thrown away (throw_away.sh). There is no systemd: this starts what the unit would start."""

import imaplib
import pathlib
import pwd
import smtplib
import ssl
import subprocess
import sys
import time

UNIT = pathlib.Path("/lib/systemd/system/mansio.service")
CONFIG = pathlib.Path("/etc/mansio/mansio.toml")
MAIL = pathlib.Path("/var/lib/mansio")
PROGRAM = pathlib.Path("/usr/bin/mansio")
ADDRESS, PASSWORD = "alice@example.test", "a long enough password"
PATIENCE_S = 60
DPKG = ("dpkg", "--no-triggers") # the index of the man pages takes half a minute


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    print(f"{time.monotonic():.1f} $", *command, done.stdout, done.stderr, sep="\n" if done.returncode else " ", flush=True)
    assert done.returncode == 0, f"{command} ended with {done.returncode}"
    return done.stdout + done.stderr


class Service:
    """What systemd would do with the unit: its commands, with the capabilities that it leaves them."""

    def command(self, name):
        settings = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#")
        kept = [f"+{one.removeprefix('CAP_').lower()}" for one in settings["CapabilityBoundingSet"].split()]
        return ["setpriv", "--no-new-privs", f"--bounding-set={','.join(['-all', *kept])}", *settings[name].split()]

    def start(self):
        self.process = subprocess.Popen(self.command("ExecStart"))
        end = time.monotonic() + PATIENCE_S
        while subprocess.run([PROGRAM, "status"], capture_output=True, check=False).returncode:
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.1)

    def reload(self):
        """What it says, if it says no."""
        done = subprocess.run(self.command("ExecReload"), capture_output=True, text=True, check=False)
        return done.stderr if done.returncode else None

    def stop(self):
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0


def users_of_processes():
    status = [path.read_text() for path in pathlib.Path("/proc").glob("[0-9]*/status")]
    return {pwd.getpwuid(int(text.split("Uid:")[1].split()[0])).pw_name for text in status if "PPid:\t0" not in text
            and text.split()[1] not in ("python3", "sh")}


def deliver(subject):
    with smtplib.SMTP("127.0.0.1", 25) as smtp:
        smtp.sendmail("bob@example.net", [ADDRESS], f"Subject: {subject}\r\n\r\ntext\r\n")


def subjects():
    trusting = ssl._create_unverified_context()
    with imaplib.IMAP4_SSL("127.0.0.1", 993, ssl_context=trusting) as imap:
        imap.login(ADDRESS, PASSWORD)
        imap.select("INBOX", readonly=True)
        answer = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
    return [part[1].split(b":")[1].strip().decode() for part in answer if isinstance(part, tuple)]


def configure():
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-keyout", "/etc/mansio/key.pem", "-out", "/etc/mansio/certificate.pem")
    CONFIG.write_text(CONFIG.read_text().replace("#certificate", "certificate").replace("#key", "key")
                      .replace("#hostname", "hostname"))
    run("mansio", "config", "check")


def main(old, new):
    service = Service()
    run(*DPKG, "-i", old)
    configure()
    service.start()
    run("mansio", "domain", "add", "example.test")
    run("mansio", "account", "add", ADDRESS, "--password-file", "-", input=PASSWORD + "\n")
    deliver("before")
    assert subjects() == ["before"]
    assert users_of_processes() == {"root", "mansio", "mansio-net"}

    assert service.reload() is None
    key = pathlib.Path("/etc/mansio/key.pem")
    good = key.read_text()
    key.write_text("no key")
    assert "no private key" in service.reload(), "who renews a certificate hears that it is refused"
    assert subjects() == ["before"], "and the old one stays in use"
    key.write_text(good)
    assert service.reload() is None

    edited = CONFIG.read_text()
    run(*DPKG, "-i", new)
    assert subjects() == ["before"], "the old server is at work until somebody restarts it"
    service.stop()
    service.start()
    assert CONFIG.read_text() == edited
    deliver("after")
    assert subjects() == ["before", "after"]
    assert '"damaged":0' in run("mansio", "store", "check", "--json").replace(" ", "")
    service.stop()

    run(*DPKG, "-r", "mansio")
    assert not PROGRAM.exists() and not UNIT.exists()
    assert CONFIG.read_text() == edited and (MAIL / "shards").is_dir()

    run(*DPKG, "-i", new)
    service.start()
    assert subjects() == ["before", "after"], "what was removed and came again has its mail"
    service.stop()

    said = run(*DPKG, "-P", "mansio")
    assert not CONFIG.exists() and (MAIL / "shards").is_dir() and f"rm -r {MAIL}" in said
    assert pwd.getpwnam("mansio"), "who owns the mail stays"


if __name__ == "__main__":
    main(*sys.argv[1:])
