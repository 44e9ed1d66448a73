# SPDX-License-Identifier: Apache-2.0
"""What the rules share: the files of a tree, and C text without its comments.

A finding is the text "file:line: why". A rule is a function that takes a
Tree and yields findings.
"""

import os
import re
import subprocess

SKIPPED_FOLDERS = {".git", "__pycache__", ".pytest_cache"}


class Tree:
    """The files of a folder, by their path below it."""

    def __init__(self, root):
        self.root = root
        self.paths = sorted(self._git_files() or self._all_files())

    def _git_files(self):
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "--cached",
             "--others", "--exclude-standard", "-z"],
            cwd=self.root, capture_output=True, check=False,
        )
        if done.returncode != 0:
            return []
        names = done.stdout.decode("utf-8", "replace").split("\0")
        return [n for n in names
                if n and os.path.isfile(os.path.join(self.root, n))]

    def _all_files(self):
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f not in SKIPPED_FOLDERS
                          and not f.startswith("build")]
            found += [os.path.relpath(os.path.join(folder, n), self.root)
                      for n in names]
        return found

    def matching(self, pattern):
        return [p for p in self.paths if re.search(pattern, p)]

    def c_files(self):
        return self.matching(r"^(src|tests|include|bench)/.*\.[ch]$")

    def text(self, path):
        with open(os.path.join(self.root, path), "rb") as file:
            return file.read().decode("utf-8", "replace")

    def lines(self, path):
        return self.text(path).split("\n")


def blank(match):
    """As many lines and columns as the match has, with nothing in them."""
    return re.sub(r"[^\n]", " ", match.group(0))


_COMMENT = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
    re.DOTALL,
)


def code_lines(text, keep_includes=False):
    """The lines of C text with comments, strings and characters blanked."""
    if keep_includes:
        text = re.sub(r'(#\s*include\s*)"([^"]*)"', r"\1<<\2>>", text)
    return _COMMENT.sub(blank, text).split("\n")


def includes(text):
    """Each #include of a C text as (line number, header, is_quoted)."""
    for number, line in enumerate(code_lines(text, True), 1):
        match = re.match(r"\s*#\s*include\s*<(<?)([^>]*)>", line)
        if match:
            yield number, match.group(2), bool(match.group(1))


def functions(text):
    """Each function body of a clang-formatted text: (name, first, last).

    Its opening brace stands alone in column 0 after the lines of its head,
    and its closing brace does too.
    """
    lines = code_lines(text)
    first = None
    for number, line in enumerate(lines, 1):
        if line.rstrip() == "{":
            first = number - 1
            while first > 1 and re.match(r"\s+\S|\w", lines[first - 2]) \
                    and not lines[first - 2].rstrip().endswith((";", "}")) \
                    and not lines[first - 2].startswith("#"):
                first -= 1
        elif line.startswith("}") and first is not None:
            head = " ".join(lines[first - 1:number])
            name = re.search(r"(\w+)\s*\(\s*(\w+)?", head)
            yield _name(name), first, number
            first = None


def _name(match):
    if match is None:
        return "?"
    if match.group(1) in ("TEST", "TORTURE") and match.group(2):
        return match.group(2)
    return match.group(1)
