# SPDX-License-Identifier: Apache-2.0
"""The sections of results.md, which several programs write: each replaces its
own and keeps those of the others."""

from __future__ import annotations

import re

STEPS = "The ten steps of one request"
VECTORS = "Vectors beside other libraries"
MILVUS = "The vector engine beside Milvus"  # by hand
# All but those of bench/run, which writes the page anew.
OTHERS = (STEPS, VECTORS, MILVUS)


def find_section(page: str, title: str) -> str:
    """From its heading to the next of that level; empty when there is none."""
    found = re.search(
        rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", page, re.M | re.S
    )
    return found[0].rstrip() + "\n" if found else ""


def put_section(page: str, title: str, text: str) -> str:
    """The page with that section in place of the old one, or at its end."""
    old = find_section(page, title)
    new = f"## {title}\n\n{text.strip()}\n"
    if old:
        return page.replace(old.rstrip(), new.rstrip(), 1)
    return (page.rstrip() + "\n\n" if page.strip() else "") + new


def keep_others(new_page: str, old_page: str) -> str:
    """A page that was written anew, with the sections of the others."""
    kept = [find_section(old_page, title) for title in OTHERS]
    parts = [new_page.rstrip(), *(part.rstrip() for part in kept if part)]
    return "\n\n".join(parts) + "\n"
