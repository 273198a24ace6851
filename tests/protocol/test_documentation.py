"""What the documents say can be typed, can be: each command line of mansio has its command and options, each setting is
one, each configuration is right, and each file, target and link is there. Only --help and config are carried out."""

import json
import re
import shlex
import subprocess
import xml.etree.ElementTree

import pytest

from harness import server as harness
from harness.server import PROJECT

DOCUMENTS = [PROJECT / "README.md", PROJECT / "NEWS.md", *sorted((PROJECT / "docs").glob("*.md"))]
MANUALS = sorted((PROJECT / "man").glob("*.[15]"))
# what may stand before a command: a line of crontab(5)
CRON = re.compile(r"[\d*/,-]+( [\d*/,-]+){4}\s+\w+\s+")


def mansio(*words):
    return subprocess.run([harness.binary(), *words], capture_output=True, text=True, check=False, timeout=30)


def blocks(path):
    """The code of a document: [(language, lines)], of fenced blocks and of indented ones (language "")."""
    found, fence, indented = [], None, None
    for line in path.read_text().splitlines():
        mark = re.match(r"\s*```(\w*)$", line)
        if mark:
            fence = None if fence is not None else []
            if fence is not None:
                found.append((mark.group(1), fence))
        elif fence is not None:
            fence.append(line.strip())
        elif line.startswith("    ") and line.strip():
            if indented is None:
                indented = []
                found.append(("", indented))
            indented.append(line.strip())
        elif line.strip():
            indented = None
    return found


def spans(path):
    """The pieces of code within sentences."""
    text = re.sub(r"(?ms)^\s*```.*?^\s*```$", "", path.read_text())
    text = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    return [re.sub(r"\s+", " ", one) for one in re.findall(r"`([^`]+)`", text)]


def commands(lines):
    """The single commands of lines for a shell, as words."""
    for line in lines:
        line = re.sub(r"\s#.*", "", CRON.sub("", line))
        for command in re.split(r"&&|\|\||[|;]", line):
            try:
                words = shlex.split(command)
            except ValueError:  # a piece of a longer quotation
                continue
            if ">" in words:
                words = words[:words.index(">")]
            if words:
                yield words


def command_lines(path):
    found = [words for language, lines in blocks(path) if language != "toml" for words in commands(lines)]
    return found + [words for span in spans(path) for words in commands([span])]


def manual_lines(path):
    """Examples in a manual stand behind a "$ "."""
    lines = [line[2:].replace("\\e", "\\").replace("\\-", "-") for line in path.read_text().splitlines()
             if line.startswith(("$ ", "# "))]
    return list(commands(lines))


def name(path):
    return path.name


def complaint(words):
    """What is wrong with a command line of mansio; None where nothing is."""
    if words[1:] in (["--help"], ["--version"]) or not words[1:] or words[1] == "serve":
        return None
    if "COMMAND" in words:
        return None
    plain = [word for word in words[1:] if word != "..."]
    done = mansio(*plain, "--help")
    if done.returncode != 0:
        return f"{shlex.join(words)}: {done.stderr.strip()}"
    usage = done.stdout.partition("\n")[0].split()[2:]
    if len(plain) > 1 and "|" in usage[1] and "|" not in plain[1]:  # of a group, which has no such command
        return f"{shlex.join(words)}: {done.stdout}"
    for option in plain:
        if option.startswith("--") and option.partition("=")[0] not in done.stdout:
            return f"{shlex.join(words)}: no option {option} in its --help"
    return None


@pytest.mark.parametrize("path", [*DOCUMENTS, *MANUALS], ids=name)
def test_command_lines_are_known(path):
    lines = command_lines(path) if path in DOCUMENTS else manual_lines(path)
    wrong = [complaint(words) for words in lines if words[0] == "mansio"]
    assert not [one for one in wrong if one]


def test_command_lines_are_found():
    """The test above would pass where it finds nothing."""
    found = [shlex.join(words) for path in DOCUMENTS for words in command_lines(path) if words[0] == "mansio"]
    assert "mansio domain add example.org" in found and "mansio backup --keep 30 /backup/mail" in found
    assert len(found) > 60
    assert complaint(["mansio", "account", "ad", "x@example.org"])
    assert complaint(["mansio", "account", "add", "x@example.org", "--shard", "1"])


def overview():
    """[words] of each command that `mansio --help` names: "export, import", "config check|show"."""
    if not harness.binary().exists():  # pytest says so afterwards
        return
    for line in re.findall(r"(?m)^  ([a-z].*?)(?:  .*)?$", mansio("--help").stdout.partition("\n\n")[2]):
        for one in line.split(", "):
            first, _, second = one.partition(" ")
            for word in second.split("|"):
                yield [first, *word.split()]


@pytest.mark.parametrize("words", [words for words in overview() if words[0] not in ("serve", "mansio")], ids=" ".join)
def test_each_help_has_examples_that_are_known(words):
    text = mansio(*words, "--help").stdout
    assert text.startswith("usage: mansio " + " ".join(words))
    lines = [line.strip() for line in text.partition("\nexample:\n")[2].splitlines()]
    examples = [one for one in commands(lines) if one[0] == "mansio"]
    assert examples and not [complaint(one) for one in examples if complaint(one)]


# ---------------------------------------------------------------------- settings

@pytest.fixture(scope="module")
def settings():
    """{"section": {names}}"""
    shown = json.loads(mansio("config", "show", "--json", "-c", "/dev/null").stdout)
    return {section: set(values) for section, values in shown.items()}


def configurations(path):
    return ["\n".join(lines) for language, lines in blocks(path)
            if language == "toml" or (lines and re.fullmatch(r"\[[a-z]+\]", lines[0]) and "=" in "".join(lines))]


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if configurations(path)], ids=name)
def test_configurations_are_right(path, tmp_path):
    harness.make_certificate(tmp_path)
    for number, text in enumerate(configurations(path)):
        file = tmp_path / f"{number}.toml"
        for setting in ("certificate", "key"):
            text = re.sub(rf'(?m)^{setting} = ".*"', f'{setting} = "{tmp_path / setting}.pem"', text)
        file.write_text(text + "\n")
        done = mansio("config", "check", file)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_settings_are_known(path, settings):
    named = [match for span in spans(path) if (match := re.fullmatch(r"([a-z]+)\.([a-z0-9_]+)( = .+)?", span))]
    assert not [match.group() for match in named
                if match.group(1) in settings and match.group(2) not in {*settings[match.group(1)], "c", "h"}]


# ---------------------------------------------------------------------- files and targets

@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_and_files_are_there(path):
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()) if "://" not in link]
    missing = [link for link in links if not (path.parent / link).exists()]
    rooms = {one.name for one in (PROJECT / "src").iterdir()}
    tops = {one.name for one in PROJECT.iterdir() if one.is_dir() and not one.name.startswith("build")}
    for span in spans(path):
        if not re.fullmatch(r"[a-z][\w.-]*(/[\w.*-]+)+/?", span) or re.search(r"[A-Z]", span):
            continue
        top = span.partition("/")[0]
        if top in tops and not list(PROJECT.glob(span.rstrip("/"))):
            missing.append(span)
        elif top in rooms and top not in tops and not list((PROJECT / "src").glob(span.rstrip("/"))):
            missing.append(span)
    assert not missing


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_targets_are_known(path):
    targets = set(re.findall(r"(?m)^([a-z-]+):", (PROJECT / "Makefile").read_text()))
    used = [words[1] for words in command_lines(path) if words[0] == "make" and len(words) > 1]
    assert not [one for one in used if "=" not in one and one not in targets]


@pytest.mark.parametrize("path", sorted((PROJECT / "docs").glob("*.svg")), ids=name)
def test_pictures_can_be_read(path):
    picture = xml.etree.ElementTree.parse(path).getroot()
    assert picture.tag == "{http://www.w3.org/2000/svg}svg" and picture.get("aria-label")
