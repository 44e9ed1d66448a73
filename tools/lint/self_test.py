# SPDX-License-Identifier: Apache-2.0
"""each rule finds what was planted for it, and nothing in a clean tree"""

import os
import tempfile

from sources import Tree

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"


def header(guard):
    return f"{SPDX}#ifndef {guard}\n#define {guard}\n#endif\n"


CLEAN = {
    "src/base/err.h": header("OLHO_BASE_ERR_H"),
    "src/base/err.c": SPDX + '#include "base/err.h"\n\n#include <stdio.h>\n\n'
                             'int err_one(void)\n{\n    return 1;\n}\n',
    "src/image/decode.h": header("OLHO_IMAGE_DECODE_H"),
    "src/infer/engine.h": header("OLHO_INFER_ENGINE_H"),
    "CHANGELOG.md": "# Changes\n\n## Unreleased\n",
}

# What each rule must find: its name, and a file that breaks it.
PLANTED = [
    ("layers", "src/base/a.c", SPDX + '#include "image/decode.h"\n'),
    ("layers", "src/image/a.c", SPDX + '#include "infer/engine.h"\n'),
    ("layers", "src/image/a.c", SPDX + '#include "decode.h"\n'),
    ("layers", "src/shed/a.c", SPDX),
    ("own_header", "src/base/err.c",
     SPDX + '#include <stdio.h>\n#include "base/err.h"\n'),
    ("foreign", "src/image/a.c", SPDX + "#include <jansson.h>\n"),
    ("foreign", "src/image/a.c", SPDX + "#include <curses.h>\n"),
    ("guards", "src/base/err.h", header("ERR_H")),
    ("spdx", "src/base/a.c", "int a;\n"),
    ("banned", "src/base/a.c", SPDX + "char *a = strtok (b, c);\n"),
    ("function_length", "src/base/a.c",
     SPDX + "int long_one(void)\n{\n" + "    a();\n" * 80 + "}\n"),
    ("file_length", "src/base/a.c", SPDX + "int a;\n" * 700),
    ("conditionals", "src/base/a.c",
     SPDX + "int a(void)\n{\n#ifdef B\n    b();\n#endif\n}\n"),
    ("typedefs", "src/base/a.h", SPDX + "typedef struct a b;\n"),
    ("typedefs", "src/base/a.h", SPDX + "struct a_t {\n"),
    ("left_open", "src/base/a.c", SPDX + "/* TO" "DO: later */\n"),
    ("places", "docs/a.md", "see /ro" "ot/notes\n"),
    ("places", "docs/a.md", "see http" "://packages.somewhere.net/x\n"),
    ("changelog", "CHANGELOG.md", "# Changes\n"),
]

# What looks like a breach and is none.
INNOCENT = SPDX + ('/* strcpy( in a comment */\n'
                   'const char *text = "malloc(1)";\n'
                   'int x = object->system(1);\n')


def _write(root, path, text):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full) or root, exist_ok=True)
    with open(full, "w", encoding="utf-8") as file:
        file.write(text)


def _findings(rule, extra):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**CLEAN, **extra}.items():
            _write(root, path, text)
        return list(rule(Tree(root)))


def missed(rules):
    """The planted breaches that a rule did not see, and false alarms."""
    by_name = {rule.__name__: rule for rule in rules}
    out = [f"{name} in {path}" for name, path, text in PLANTED
           if not _findings(by_name[name], {path: text})]
    out += [f"nothing for {rule.__name__} (clean tree)" for rule in rules
            if _findings(rule, {"src/base/innocent.c": INNOCENT})]
    untested = set(by_name) - {name for name, _, _ in PLANTED}
    return out + [f"breach of {name}" for name in sorted(untested)]
