"""Debian's Thunderbird without a screen, driven through its Marionette port: a process, a profile, and the operations
of thunderbird.js by name.

Marionette answers on a loopback port that Thunderbird chooses itself. A message is its length, a colon, and JSON:
[0, number, command, parameters] to it, [1, number, error, result] from it. Thunderbird talks to nobody but loopback:
what it would do on its own is turned off, and whatever is left goes to a proxy that is not there.
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

BINARY = pathlib.Path("/usr/lib/thunderbird/thunderbird")
OPERATIONS = pathlib.Path(__file__).with_suffix(".js")
START_SECONDS = 180
CALL_SECONDS = 120
ANSWER_SECONDS = CALL_SECONDS + 30  # Marionette itself says that a call took too long; then it is still of use
STOP_SECONDS = 20
LOG_TAIL = 6000
OVERDUE = ("script timeout", "timeout")

PREFERENCES = {
    "marionette.port": 0,
    # names are left to a proxy, the proxy is a closed port, and loopback needs none
    "network.proxy.type": 1,
    "network.proxy.socks": "127.0.0.1",
    "network.proxy.socks_port": 9,
    "network.proxy.socks_version": 5,
    "network.proxy.socks_remote_dns": True,
    "network.proxy.socks5_remote_dns": True,
    "network.proxy.failover_direct": False,
    "network.proxy.allow_bypass": False,
    # nothing is asked for in the background
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "app.update.auto": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.blocklist.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "mail.inappnotifications.enabled": False,
    "mailnews.start_page.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.prefetch-next": False,
    "security.OCSP.enabled": 0,
    "security.remote_settings.crlite_filters.enabled": False,
    "security.remote_settings.intermediates.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.unified": False,
    # no windows that nobody would close
    "app.donation.eoy.version.viewed": 999,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.purge.ask": False,
    "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False,
    "mail.spotlight.firstRunDone": True,
    "mail.warn_on_delete_from_trash": False,
    "mail.warn_on_shift_delete": False,
    "mailnews.database.global.indexer.enabled": False,
    # a message that is displayed is read, at once; text as it was typed
    "mailnews.mark_message_read.auto": True,
    "mailnews.mark_message_read.delay": False,
    "mail.identity.default.compose_html": False,
    # what its POP3 client does, on its standard output
    "mailnews.pop3.loglevel": "All",
    "devtools.console.stdout.chrome": True,
    "browser.dom.window.dump.enabled": True,
}


class Failed(Exception):
    """What Thunderbird answered to something that it could not do."""


class Marionette:
    def __init__(self, port):
        self.connection = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
        self.input = self.connection.makefile("rb")
        self.numbers = itertools.count(1)
        self.answers = True
        self._read()  # who it is

    def _read(self):
        length = b""
        while not length.endswith(b":"):
            one = self.input.read(1)
            if not one:
                raise Failed("Thunderbird closed its Marionette port")
            length += one
        return json.loads(self.input.read(int(length[:-1])))

    def call(self, command, **parameters):
        """`answers` stays false behind a call that was not answered, or only after its time: what Thunderbird still does for
        it comes between whatever is called next."""
        number = next(self.numbers)
        self.answers = False
        data = json.dumps([0, number, command, parameters]).encode()
        self.connection.sendall(b"%d:%s" % (len(data), data))
        kind, answered, error, result = self._read()
        assert (kind, answered) == (1, number), (kind, answered)
        self.answers = not error or error["error"] not in OVERDUE
        if error:
            told = (error.get("data") or {}).get("text", "")  # by a dialog that nobody expected
            raise Failed(f"{command}: {error['error']}: {error['message']} {told}")
        return result.get("value") if isinstance(result, dict) else result

    def close(self):
        self.input.close()
        self.connection.close()


class Thunderbird:
    """One Thunderbird with an empty profile in `folder`; accounts are made by set_up()."""

    def __init__(self, folder):
        self.profile = folder / "profile"
        self.profile.mkdir()
        self.log = folder / "log"
        self.imap_log = folder / "imap.moz_log"
        self.environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
        self.environment |= {"HOME": str(folder), "LC_ALL": "C.UTF-8", "TZ": "UTC", "MOZ_CRASHREPORTER_DISABLE": "1",
                             "DBUS_SESSION_BUS_ADDRESS": "disabled:", "NO_AT_BRIDGE": "1",
                             "MOZ_LOG": "sync,IMAP:4", "MOZ_LOG_FILE": str(folder / "imap")}
        self.process = None
        self.marionette = None
        self.ready = False
        text = "".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
        (self.profile / "user.js").write_text(text)

    # ------------------------------------------------------------------ life

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile",
                 self.profile], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
                start_new_session=True)
        self.marionette = Marionette(self._wait("a Marionette port", self._port))
        self.marionette.call("WebDriver:NewSession", acceptInsecureCerts=False)
        self.marionette.call("Marionette:SetContext", value="chrome")
        self.marionette.call("WebDriver:SetTimeouts", script=CALL_SECONDS * 1000)
        self._wait("the main window", self._main_window)
        self.ready = True
        return self

    def _wait(self, what, condition):
        deadline = time.monotonic() + START_SECONDS
        while not (result := condition()):
            assert self.process.poll() is None, f"Thunderbird ended\n{self.log.read_text(errors='replace')}"
            assert time.monotonic() < deadline, f"no {what}\n{self.log.read_text(errors='replace')}"
            time.sleep(0.05)
        return result

    def _port(self):
        path = self.profile / "MarionetteActivePort"
        return int(path.read_text() or 0) if path.exists() else 0

    def _main_window(self):
        for handle in self.marionette.call("WebDriver:GetWindowHandles"):
            self.marionette.call("WebDriver:SwitchToWindow", handle=handle)
            if self.marionette.call("Marionette:GetWindowType") == "mail:3pane":
                return True
        return False

    def is_of_use(self):
        return self.ready and self.process is not None and self.process.poll() is None and self.marionette.answers

    def stop(self):
        if self.process is None:
            return
        process, self.process = self.process, None
        try:
            if self.marionette is not None and self.marionette.answers:
                self.marionette.connection.settimeout(STOP_SECONDS)
                self.marionette.call("Marionette:Quit", flags=["eForceQuit"])
                self.marionette.close()
                process.wait(STOP_SECONDS)
        except (Failed, OSError, subprocess.TimeoutExpired):
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):  # it, and what it started, in a session of its own
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    # ------------------------------------------------------------------ operations

    def call(self, operation, *parameters):
        """An operation of thunderbird.js. The sandbox is thrown away afterwards: nothing is left of one call in the
        next."""
        script = OPERATIONS.read_text() + """
            const [operation, parameters, done] = arguments;
            operations[operation](...parameters).then(
                (value) => done({ value: value ?? null }),
                (error) => done({ error: `${error}\\n${error?.stack ?? ""}` }));"""
        try:
            answer = self.marionette.call("WebDriver:ExecuteAsyncScript", script=script, args=[operation, parameters],
                                          sandbox="system", newSandbox=True)
        except (Failed, OSError) as error:
            raise self._failed(operation, parameters, error) from None
        if answer is None:
            raise self._failed(operation, parameters, "no answer")
        if "error" in answer:
            raise self._failed(operation, parameters, answer["error"])
        return answer["value"]

    def _failed(self, operation, parameters, why):
        return Failed(f"{operation}{parameters}: {why}\nits log ends:\n{self.log.read_text(errors='replace')[-LOG_TAIL:]}")

    def idles(self):
        """Whether what was said last on any IMAP connection is IDLE, and the server's answer to it."""
        said = re.findall(r"I/IMAP (\w+):.*?:(?:SendData|CreateNewLineFromSocket): (.*)", self.imap_log.read_text())
        last = {}
        for connection, line in said:
            last[connection] = (*last.get(connection, ("",))[-1:], line)
        return any(lines[0].endswith(" IDLE") and lines[-1].startswith("+") for lines in last.values())

    def complaints(self):
        """What its IMAP parser could not read."""
        return re.findall(r"PARSER:.*Error.*", self.imap_log.read_text())

    def set_up(self, server, account, kind, tls, outgoing=None, **settings):
        """An account at `server` with its self-made certificate: kind imap or pop3, tls TLS or STARTTLS; outgoing is a
        service to send by; settings of its incoming server are in force from its first connection on. Gives an
        Account."""
        certificate = "".join(pathlib.Path(server.certificate).read_text().splitlines()[1:-1])

        def service(name, kind, tls):
            self.call("trust", "127.0.0.1", server.ports[name], certificate)
            return {"type": kind, "hostname": "127.0.0.1", "port": server.ports[name],
                    "socketType": {"STARTTLS": 2, "TLS": 3}[tls]}

        incoming = service(kind + ("s" if tls == "TLS" else ""), kind, tls)
        made = self.call("setUp", {"address": account.address, "password": account.password, "incoming": incoming,
                                   "outgoing": outgoing and service(*outgoing), "settings": settings})
        return Account(self, made)


class Account:
    """An account in Thunderbird. Messages are named by their subjects."""

    def __init__(self, thunderbird, made):
        self.thunderbird = thunderbird
        self.key = made["key"]
        self.authentication = made["incoming"], made["outgoing"]

    def call(self, operation, *parameters):
        return self.thunderbird.call(operation, self.key, *parameters)

    def messages(self, folder="INBOX"):
        """{subject: {author, read, flagged, replied, deleted}} without asking the server."""
        return {one["subject"]: one for one in self.call("messages", folder)}

    def subjects(self, folder="INBOX"):
        """The subjects, sorted, as often as they are there."""
        return sorted(one["subject"] for one in self.call("messages", folder))

    def local_folder(self):
        return pathlib.Path(self.call("localFolder"))
