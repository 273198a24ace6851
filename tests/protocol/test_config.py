"""`mansio config check` and `config show`: all that is wrong at once, with its place, and what is in force."""

import json
import subprocess

import pytest

from harness.server import binary


def mansio(*arguments):
    return subprocess.run([binary(), "config", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)


@pytest.fixture
def write(tmp_path):
    def to_file(text):
        path = tmp_path / "mansio.toml"
        path.write_text(text)
        return path
    return to_file


def test_a_good_file_is_called_good(write):
    path = write('[server]\nhostname = "mail.example.test"\n')
    done = mansio("check", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: good\n", "")
    assert json.loads(mansio("check", path, "--json").stdout) == []


def test_all_errors_are_said_at_once_in_their_places(write):
    path = write('[server]\nhostnam = "x"\n[imap]\nidle_timeout = "soon"\nmax_keywords = 1000\n[smtp]\nmax_line = "1"\n')
    done = mansio("check", path)
    lines = done.stderr.splitlines()
    assert done.returncode == 6 and done.stdout == ""
    assert [line.split(":")[1] for line in lines] == ["2", "4", "5", "7"]
    assert lines[0] == f"{path}:2:1: unknown setting server.hostnam; did you mean server.hostname?"
    told = mansio("check", path, "--json")
    assert told.returncode == 6
    assert [":".join([one["file"], str(one["line"]), str(one["column"]), f' {one["text"]}'])
            for one in json.loads(told.stdout)] == lines


def test_a_certificate_that_is_none_is_found(write, tmp_path):
    (tmp_path / "certificate").write_text("no PEM")
    path = write(f'[tls]\ncertificate = "{tmp_path}/certificate"\nkey = "{tmp_path}/key"\n')
    done = mansio("check", path)
    assert done.returncode == 6 and done.stderr == f"{path}:3:1: cannot read {tmp_path}/key: not found\n"
    (tmp_path / "key").write_text("neither")
    assert mansio("check", path).stderr == f"{path}:2:1: {tmp_path}/certificate holds no certificate as PEM\n"


def test_a_key_that_is_too_weak_or_has_a_passphrase_is_called_so(write, tmp_path):
    path = write(f'[tls]\ncertificate = "{tmp_path}/certificate"\nkey = "{tmp_path}/key"\n')

    def make(*options):
        subprocess.run(["openssl", "req", "-x509", "-newkey", *options, "-days", "30", "-subj", "/CN=localhost",
                        "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"], check=True, capture_output=True)
        return mansio("check", path).stderr
    told = make("rsa:1024", "-noenc")
    assert told.startswith(f"{path}:2:1: OpenSSL refuses the certificate in {tmp_path}/certificate: ee key too small")
    elliptic = "ec", "-pkeyopt", "ec_paramgen_curve:P-256"
    told = make(*elliptic, "-passout", "pass:secret")
    assert told.startswith(f"{path}:3:1: the key in {tmp_path}/key has a passphrase")
    assert make(*elliptic, "-noenc") == ""


@pytest.mark.parametrize("setting", ["listen.lmtp_socket", "server.control_socket"])
def test_where_a_socket_cannot_be_made_is_found(write, tmp_path, setting):
    (tmp_path / "file").write_text("")
    assert mansio("check", write(f'{setting} = "{tmp_path}/socket"\n')).returncode == 0
    path = write(f'{setting} = "{tmp_path}/file"\n')
    done = mansio("check", path)
    assert done.returncode == 6 and done.stderr.startswith(f"{path}:1:1: {tmp_path}/file is there already, and is no socket")
    assert mansio("check", write(f'{setting} = "{tmp_path}/"\n')).returncode == 6


@pytest.mark.parametrize("setting", ["listen.lmtp_socket", "server.control_socket"])
def test_a_socket_in_a_folder_that_is_none_is_found(write, tmp_path, setting):
    path = write(f'server.directory = "{tmp_path}/store"\n{setting} = "{tmp_path}/none/socket"\n')
    done = mansio("check", path)
    assert done.returncode == 0
    assert done.stderr.startswith(f"{path}:2:1: warning: there is no folder {tmp_path}/none now; the server does not make it")
    for made in "store", "store/run", "store/run/":
        for store in "store", "store/", "store//":
            done = mansio("check", write(f'server.directory = "{tmp_path}/{store}"\n'
                                         f'{setting} = "{tmp_path}/{made}/socket"\n'))
            assert (done.returncode, done.stderr) == (0, "")
    path = write(f'{setting} = "{tmp_path}/none//"\n')
    assert mansio("check", path).stderr == f'{path}:1:1: {setting}: "{tmp_path}/none//" is a folder: name the socket in it\n'
    (tmp_path / "file").write_text("")
    for folder in "file", "file/below":
        done = mansio("check", write(f'{setting} = "{tmp_path}/{folder}/socket"\n'))
        assert done.returncode == 6
        assert done.stderr == f"{path}:1:1: {tmp_path}/file is no folder, and so there can be no folder {tmp_path}/{folder}\n"


@pytest.mark.parametrize("setting, other", [("user", "network_user"), ("network_user", "user")])
def test_root_is_warned_of_although_the_other_user_cannot_be_read(write, setting, other):
    path = write(f'[server]\n{setting} = "root"\n{other} = 5\n')
    done = mansio("check", path)
    assert done.returncode == 6 and f"{path}:2:1: warning: the user of server.{setting} is root" in done.stderr
    assert done.stderr.count("warning") == 1
    assert "warning" not in mansio("check", write(f'[server]\n{setting} = "nobody"\n{other} = 5\n')).stderr


def test_a_store_in_a_file_is_found(write, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in "file", "file/store":
        path = write(f'server.directory = "{tmp_path}/{folder}"\n')
        done = mansio("check", path)
        assert done.returncode == 6
        assert done.stderr == f"{path}:1:1: {tmp_path}/file is no folder, and so there can be no folder {tmp_path}/{folder}\n"


def test_files_and_sockets_are_looked_at_although_other_settings_are_wrong(write, tmp_path):
    for name in "certificate", "key", "file":
        (tmp_path / name).write_text("")
    path = write(f'server.log_level = "loud"\nlisten.lmtp_socket = "{tmp_path}/file"\nimap.output_pause = "1GB"\n'
                 f'tls.certificate = "{tmp_path}/certificate"\ntls.key = "{tmp_path}/key"\n')
    told = json.loads(mansio("check", path, "--json").stdout)
    assert sorted(one["line"] for one in told) == [1, 2, 3, 4]


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    done = mansio("check", tmp_path / "none.toml")
    assert done.returncode == 6 and "none.toml" in done.stderr


def test_what_is_in_force_can_be_read_again(write, tmp_path):
    path = write('[imap]\nidle_timeout = "45m"\n[listen]\nimap = ["127.0.0.1:1143"]\n')
    shown = mansio("show", "-c", path)
    assert shown.returncode == 0
    lines = [line for line in shown.stdout.splitlines() if line.startswith("idle_timeout")]
    assert lines[0].split() == ["idle_timeout", "=", '"45m"', "#", "line", "2"]
    again = tmp_path / "again.toml"
    again.write_text(shown.stdout)
    values = [{name: {key: one["value"] for key, one in section.items()}
               for name, section in json.loads(mansio("show", "--json", "-c", file).stdout).items()}
              for file in (path, again)]
    assert values[0] == values[1]
    shown = json.loads(mansio("show", "--json", "-c", path).stdout)
    assert shown["imap"]["idle_timeout"] == {"value": "45m", "from": "line 2"}
    assert shown["listen"]["imap"]["value"] == ["127.0.0.1:1143"]
    assert shown["pop3"]["timeout"]["from"] == "default"
