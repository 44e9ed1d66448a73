# SPDX-License-Identifier: Apache-2.0
"""What is banned, how long things may be, and what every file says."""

import re

from sources import code_lines, functions

FUNCTION_MAX = 70
FILE_MAX = 600

# Function, and what to use instead.
BANNED = {
    "malloc": "base/mem.h", "calloc": "base/mem.h", "realloc": "base/mem.h",
    "strdup": "base/mem.h", "strndup": "base/mem.h",
    "asprintf": "base/buf.h", "vasprintf": "base/buf.h",
    "strcpy": "base/buf.h", "strcat": "base/buf.h", "stpcpy": "base/buf.h",
    "strncpy": "base/buf.h",
    "sprintf": "snprintf", "vsprintf": "vsnprintf",
    "strtok": "a loop with strcspn", "gets": "base/file.h",
    "atoi": "strtol with its checks", "atol": "strtol with its checks",
    "atof": "strtod with its checks",
    "localtime": "localtime_r", "gmtime": "gmtime_r",
    "ctime": "base/clock.h", "asctime": "base/clock.h",
    "system": "no shell", "popen": "no shell", "alloca": "base/mem.h",
    "rand": "randomness as an argument", "random": "randomness as an argument",
    "usleep": "a condition variable", "sleep": "a condition variable",
}
# The one file that stands behind base/mem.h.
ALLOWED = {"src/base/mem.c": {"malloc", "calloc", "realloc"}}

# Hosts that sentences and code may name: this machine, the reserved example
# names, and the homes of specifications, licences and photographs.
HOSTS = re.compile(
    r"^(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]|[\w.-]*\bexample(\.\w+)?"
    r"|[\w.-]*\.(test|invalid)|[a-z]|host|hostname|[A-Z]+|\$.*|\{.*|\[?%.*|<.*"
    r"|www\.apache\.org|spdx\.org|arxiv\.org|doi\.org|www\.w3\.org"
    r"|www\.rfc-editor\.org|json-schema\.org|keepachangelog\.com|semver\.org"
    r"|([\w-]+\.)?(creativecommons\.org|flickr\.com|staticflickr\.com"
    r"|wikipedia\.org|wikimedia\.org|kaggle\.com|github\.com"
    r"|onnxruntime\.ai|onnx\.ai|debian\.org))(:(\d+|\{.*)?)?$"
)
# A machine of an archive or a registry under an allowed domain.
REGISTRY = re.compile(r"^(deb|ftp|security|snapshot|archive)[.\w-]*debian\.org")
MACHINE_PATH = re.compile(
    r"(?<![\w.$}\"'>/*-])/(work|farm|root|home/\w+|Users/\w+)/")


def spdx(tree):
    """the licence is named in the first lines"""
    for path in tree.matching(r"\.(c|h|py|sh|js|css)$|(^|/)Makefile$"):
        head = tree.lines(path)[:2]
        if not any("SPDX-License-Identifier: Apache-2.0" in h for h in head):
            yield f"{path}:1: does not start with its SPDX line"


def banned(tree):
    """banned functions"""
    call = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path in tree.c_files():
        allowed = ALLOWED.get(path, set())
        for number, line in enumerate(code_lines(tree.text(path)), 1):
            for name in call.findall(line):
                if name not in allowed:
                    yield f"{path}:{number}: {name}: use {BANNED[name]}"


def function_length(tree):
    """functions of at most 70 lines"""
    for path in tree.c_files():
        for name, first, last in functions(tree.text(path)):
            length = last - first + 1
            if length > FUNCTION_MAX:
                yield (f"{path}:{first}: {name} has {length} lines; at most "
                       f"{FUNCTION_MAX}")


def file_length(tree):
    """files of at most 600 lines"""
    for path in tree.matching(r"\.([ch]|py)$|^tools/"):
        length = tree.text(path).count("\n")
        if length > FILE_MAX:
            yield f"{path}:1: has {length} lines; at most {FILE_MAX}"


def conditionals(tree):
    """no #if inside a function"""
    for path in tree.c_files():
        text = tree.text(path)
        lines = code_lines(text)
        for name, first, last in functions(text):
            for number in range(first, last + 1):
                if re.match(r"\s*#\s*(if|else|elif)", lines[number - 1]):
                    yield (f"{path}:{number}: #if inside {name}; let the "
                           "Makefile choose a file")


def typedefs(tree):
    """no typedef'd structs, no _t of our own"""
    for path in tree.c_files():
        for number, line in enumerate(code_lines(tree.text(path)), 1):
            if re.match(r"\s*typedef\s+(struct|union|enum)\b", line):
                yield f"{path}:{number}: a struct is named struct, not typedef'd"
            elif re.match(r"\s*(struct|enum|union)\s+\w+_t\b", line):
                yield f"{path}:{number}: no _t in names of our own"


def left_open(tree):
    """nothing is left open"""
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for path in tree.matching(r"^(src|include|tests|bench|tools)/.*\.(c|h|py)$"):
        if path.startswith("tools/lint/"):
            continue
        for number, line in enumerate(tree.lines(path), 1):
            if words.search(line):
                yield f"{path}:{number}: {words.search(line).group(0)}"


def places(tree):
    """no machine's paths, no registry's host"""
    data = r"^(tests/data|tests/fuzz/corpus|models)/|^LICENSE$|\.(onnx|jpg|png)$"
    for path in tree.paths:
        if re.search(data, path):
            continue
        for number, line in enumerate(tree.lines(path), 1):
            if MACHINE_PATH.search(line):
                yield f"{path}:{number}: names a path of one machine"
            for host in re.findall(r"https?://([^/\s\"'`)>,;\\]+)", line):
                if REGISTRY.match(host) or not HOSTS.match(host):
                    yield (f"{path}:{number}: names the host {host}; "
                           "tools/lint/habits.py lists the allowed ones")


def changelog(tree):
    """the change log has an Unreleased section"""
    if "CHANGELOG.md" not in tree.paths:
        yield "CHANGELOG.md:1: is missing"
    elif not re.search(r"^## \[?Unreleased", tree.text("CHANGELOG.md"),
                       re.MULTILINE):
        yield "CHANGELOG.md:1: has no Unreleased section"


RULES = [spdx, banned, function_length, file_length, conditionals, typedefs,
         left_open, places, changelog]
