"""What the check scripts share: the project's C files, and a C text with comments and literals blanked out."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "bench")

_NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files():
    """(path relative to the project, text) of each C file, in order."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.[ch]")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def blanked(text):
    """The same text, line for line, without what stands in comments, strings and character constants."""
    return _NOISE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def finish(name, complaints):
    """Prints the complaints; the exit status says whether there were any."""
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if complaints:
        print(f"{name}: {len(complaints)} to mend", file=sys.stderr)
    sys.exit(1 if complaints else 0)
