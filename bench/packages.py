"""The peers' Debian packages, unpacked aside: never installed, and no service of the system is touched.

A peer's files are laid over /usr in a mount namespace of its own, so that its programs find their modules and libraries
where they were built to look, and nobody else sees them.
"""

import os
import pathlib
import shutil
import subprocess

PACKAGES = {
    "dovecot": ["dovecot-core", "dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd"],
    "cyrus": ["cyrus-common", "cyrus-imapd", "cyrus-pop3d", "sasl2-bin"],
}
# what they link with and a small machine does not have; those that are installed stay where they are
LIBRARIES = {
    "dovecot": ["libapparmor1", "libcap2", "libcrypt1", "libexttextcat-2.0-0", "libicu72", "liblua5.4-0", "liblz4-1", "libnsl2",
                "libpam0g", "libsodium23", "libstemmer0d", "libsystemd0", "libtirpc3", "libunwind8", "libwrap0", "libzstd1"],
    "cyrus": ["libclamav12", "libdb5.3", "libical3", "libicu72", "libjansson4", "libldap-2.5-0", "libmspack0", "libnsl2", "libpcre3",
              "libpq5", "libsasl2-2", "libsasl2-modules", "libsasl2-modules-db", "libtirpc3", "libwrap0", "libxapian30", "libxml2",
              "libzephyr4"],
}
PROGRAMS = {
    "dovecot": ["sbin/dovecot", "lib/dovecot/imap", "lib/dovecot/lmtp", "lib/dovecot/pop3", "lib/dovecot/auth"],
    "cyrus": ["lib/cyrus/bin/master", "lib/cyrus/bin/imapd", "lib/cyrus/bin/pop3d", "lib/cyrus/bin/lmtpd", "sbin/saslpasswd2"],
}


class Unavailable(Exception):
    """Why a peer cannot take part."""


def _run(*command, cwd=None):
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(map(str, command[:4]))} ...: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def _is_installed(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True, text=True, check=False)
    return done.stdout == "installed"


def obtain(name, folder):
    """Downloads and unpacks a peer's packages into folder/name, once. Gives that folder."""
    place = folder / name
    if (place / "complete").exists():
        return place
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise Unavailable("this is not a Debian system")
    shutil.rmtree(place, ignore_errors=True)
    downloads = place / "packages"
    downloads.mkdir(parents=True)
    wanted = PACKAGES[name] + [library for library in LIBRARIES[name] if not _is_installed(library)]
    _run("apt-get", "download", "-q", "-q", *wanted, cwd=downloads)
    for archive in sorted(downloads.iterdir()):
        _run("dpkg", "-x", archive, place)
    shutil.rmtree(downloads)
    # Debian 12 has /lib in /usr, but not all its packages say so
    if (place / "lib").is_dir():
        shutil.copytree(place / "lib", place / "usr" / "lib", symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(place / "lib")
    missing = [line.strip() for program in PROGRAMS[name] for line in _run(*inside(place), "ldd", f"/usr/{program}").splitlines()
               if "not found" in line]
    if missing:
        raise Unavailable("libraries are missing: " + ", ".join(sorted(set(missing))))
    (place / "complete").touch()
    return place


def inside(place):
    """A command that runs another one, which follows it, with the peer's files laid over /usr."""
    lower = str(pathlib.Path(place).resolve() / "usr").replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
    namespaces = ["--mount"] if os.geteuid() == 0 else ["--mount", "--user", "--map-current-user", "--keep-caps"]
    return ["unshare", *namespaces, "sh", "-c", 'mount -t overlay overlay -o "lowerdir=$0:/usr" /usr && exec "$@"', lower]
