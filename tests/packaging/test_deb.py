"""The Debian package: what it holds and says, and what its scripts do, run on a folder that stands for the system, with
stand-ins for the commands that would change this machine."""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import server as harness_server

pytestmark = [
    pytest.mark.plain,
    pytest.mark.skipif(not (shutil.which("dpkg-deb") and shutil.which("dpkg-shlibdeps")),
                       reason="dpkg-dev is not here: no package can be made"),
]

PROJECT = harness_server.PROJECT
SCRIPTS = ("postinst", "prerm", "postrm")
STAND_IN = '#!/bin/sh\necho "${0##*/} $*" >>"$CALLS"\n'


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(folder, *options):
    return PROJECT / run(PROJECT / "packaging" / "build-deb", "--binary", harness_server.binary(), "--output", folder,
                         *options, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}).strip()


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def tree(package):
    """The package unpacked, its control files in DEBIAN."""
    folder = package.parent / "tree"
    run("dpkg-deb", "-R", package, folder)
    return folder


def test_the_package_carries_the_version_of_the_project(package):
    version = re.search(r"^  version: '(.*)',$", (PROJECT / "meson.build").read_text(), re.M).group(1)
    architecture = run("dpkg", "--print-architecture").strip()
    assert package.name == f"mansio_{version}_{architecture}.deb"
    assert run("dpkg-deb", "-f", package, "Package", "Version", "Architecture").split("\n")[:3] == [
        "Package: mansio", f"Version: {version}", f"Architecture: {architecture}"]


def test_the_package_depends_on_the_libraries_of_the_program(package):
    depends = {one.split()[0] for one in run("dpkg-deb", "-f", package, "Depends").split(", ")}
    assert {"libc6", "libssl3", "libsqlite3-0", "libuv1", "libseccomp2", "adduser"} <= depends


def test_everything_belongs_to_root_and_only_programs_can_be_run(package):
    modes = {}
    for line in run("dpkg-deb", "-c", package).splitlines():
        mode, owner, _size, _day, _time, name = line.split(None, 5)
        assert owner == "root/root", line
        modes[name.removeprefix(".")] = mode
    assert modes["/usr/bin/mansio"] == "-rwxr-xr-x"
    for name, mode in modes.items():
        if name != "/usr/bin/mansio":
            assert mode == ("drwxr-xr-x" if name.endswith("/") else "-rw-r--r--"), name
    pages = {f"/usr/share/man/man{page.suffix[1:]}/{page.name}.gz" for page in (PROJECT / "man").iterdir()}
    documents = {f"/usr/share/doc/mansio/{name}" for name in ("README.md", "NEWS.md.gz", "copyright", "changelog.gz")}
    others = {"/etc/mansio/mansio.toml", "/lib/systemd/system/mansio.service"}
    assert pages | documents | others <= set(modes)
    assert not any(name.startswith("/var") for name in modes), "a removal of the package would reach for mail"


def test_the_program_runs_and_its_configuration_is_short_and_good(tree):
    program, config = tree / "usr/bin/mansio", tree / "etc/mansio/mansio.toml"
    assert run(program, "--version").startswith("mansio ")
    run(program, "config", "check", config)
    assert len(config.read_text().splitlines()) <= 10
    assert (tree / "DEBIAN/conffiles").read_text() == "/etc/mansio/mansio.toml\n"


def test_the_checksums_are_right(tree):
    lines = (tree / "DEBIAN/md5sums").read_text().splitlines()
    for line in lines:
        checksum, name = line.split("  ")
        assert hashlib.md5((tree / name).read_bytes()).hexdigest() == checksum
    assert len(lines) == sum(1 for path in tree.rglob("*")
                             if path.is_file() and path.relative_to(tree).parts[0] not in ("DEBIAN", "etc"))


def test_the_same_sources_give_the_same_package(package, tmp_path):
    assert build(tmp_path).read_bytes() == package.read_bytes()


def test_the_unit_is_good(tree, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / "mansio.service"
    text = (tree / "lib/systemd/system/mansio.service").read_text().replace("/usr/bin/mansio", str(tree / "usr/bin/mansio"))

    def complaints(text):
        unit.write_text(text)
        done = subprocess.run(["systemd-analyze", "--man=no", "verify", unit], capture_output=True, text=True, check=False)
        return re.findall(r"^(?:\S*/)?mansio\.service.*", done.stderr, re.M)

    assert complaints(text) == []
    assert len(complaints(text.replace("[Service]", "[Service]\nExecBegin=true"))) == 1, "it says what is wrong"


def test_lintian_finds_no_error(package):
    if not shutil.which("lintian"):
        pytest.skip("lintian is not here")
    done = subprocess.run(["lintian", "--no-tag-display-limit", package], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not re.search(r"^E:", done.stdout, re.M), done.stdout + done.stderr


def test_it_installs_serves_upgrades_and_goes(package, tmp_path):
    """With the system's own dpkg and users, in a copy of the system that is thrown away."""
    here = pathlib.Path(__file__).parent
    if shutil.which("adduser") is None or shutil.which("ip") is None:
        pytest.skip("adduser or ip is not here: a package cannot be installed")
    (tmp_path / "copy").mkdir()
    files = [build(tmp_path, "--version", "99.0"), shutil.copy(package, tmp_path), shutil.copy(here / "life_of_a_package.py", tmp_path)]
    new, old, life = (f"/run/files/{pathlib.Path(file).name}" for file in files)
    done = subprocess.run([here / "throw_away.sh", tmp_path, "/usr/bin/python3", life, old, new],
                          capture_output=True, text=True, check=False)
    if done.returncode == 99 or done.stderr.startswith("unshare: "):
        pytest.skip(f"no copy of the system can be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------- scripts

class System:
    """A folder that stands for /: the scripts' paths are moved into it, the commands they call only write down how."""

    def __init__(self, tree, root, systemd):
        self.root = root
        self.calls = root / "calls"
        self.stand_ins = root / "bin"
        self.stand_ins.mkdir(parents=True)
        for name in ("getent", "adduser", "systemctl", "deb-systemd-helper", "deb-systemd-invoke"):
            self.stand_in(name)
        self.stand_in("getent", STAND_IN + "exit 2\n")
        for name in SCRIPTS:
            text = (tree / "DEBIAN" / name).read_text()
            for path in ("/var/lib/mansio", "/etc/mansio", "/run/systemd/system"):
                text = text.replace(path, f"{root}{path}")
            (root / name).write_text(text)
        for path in ("var/lib", "etc/mansio", "run/systemd/system" if systemd else "run"):
            (root / path).mkdir(parents=True)

    def stand_in(self, name, text=STAND_IN):
        (self.stand_ins / name).write_text(text)
        (self.stand_ins / name).chmod(0o755)

    def run(self, script, *arguments):
        """What it called, and what it said to the user."""
        self.calls.write_text("")
        environment = {"PATH": f"{self.stand_ins}:{os.environ['PATH']}", "CALLS": str(self.calls)}
        done = subprocess.run(["sh", self.root / script, *arguments], env=environment, capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, done.stderr
        return self.calls.read_text().splitlines(), done.stderr


@pytest.fixture
def system(tree, tmp_path):
    return System(tree, tmp_path / "system", systemd=True)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_sound(tree, script):
    assert (tree / "DEBIAN" / script).stat().st_mode & 0o777 == 0o755
    run("sh", "-n", tree / "DEBIAN" / script)


def test_an_installation_makes_users_and_folder_and_starts_the_server(system):
    calls, _said = system.run("postinst", "configure", "")
    users = [call.split()[-1] for call in calls if call.startswith("adduser --system --group")]
    assert users == ["mansio", "mansio-net"]
    assert calls[-1] == "deb-systemd-invoke start mansio.service"
    assert "deb-systemd-helper enable mansio.service" in calls
    assert (system.root / "var/lib/mansio").stat().st_mode & 0o777 == 0o711


def test_an_upgrade_stops_nothing_before_the_new_version_is_there(system):
    calls, _said = system.run("prerm", "upgrade", "9.9")
    assert calls == []
    calls, _said = system.run("postinst", "configure", "0.0.1")
    assert calls[-1] == "deb-systemd-invoke restart mansio.service"


def test_a_server_that_does_not_start_is_no_broken_package(system):
    system.stand_in("deb-systemd-invoke", STAND_IN + "exit 1\n")
    _calls, said = system.run("postinst", "configure", "")
    assert "journalctl -u mansio" in said


def test_without_systemd_nothing_is_started(tree, tmp_path):
    system = System(tree, tmp_path / "system", systemd=False)
    calls, _said = system.run("postinst", "configure", "")
    assert not any(call.startswith(("systemctl", "deb-systemd-invoke")) for call in calls)
    assert "deb-systemd-helper enable mansio.service" in calls


def test_removal_stops_and_purge_keeps_the_mail_and_says_so(system):
    mail = system.root / "var/lib/mansio/shards/00/body/000001.seg"
    mail.parent.mkdir(parents=True)
    mail.write_text("mail")
    assert system.run("prerm", "remove")[0] == ["deb-systemd-invoke stop mansio.service"]
    system.run("postrm", "remove")
    calls, said = system.run("postrm", "purge")
    assert calls == ["deb-systemd-helper purge mansio.service"]
    assert mail.read_text() == "mail"
    assert not (system.root / "etc/mansio").exists()
    assert f"rm -r {system.root}/var/lib/mansio" in said


def test_purge_of_a_server_that_never_ran_leaves_no_folder(system):
    system.run("postinst", "configure", "")
    _calls, said = system.run("postrm", "purge")
    assert not (system.root / "var/lib/mansio").exists()
    assert said == ""
