# SPDX-License-Identifier: Apache-2.0
"""The files of deploy/ speak of metrics that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/olho.rules.yml"
DASHBOARD = ROOT / "deploy/grafana/olho.json"


def documented():
    text = (ROOT / "docs/metrics.md").read_text()
    return set(re.findall(r"^\| `(\w+)`", text, re.M))


def named(text):
    found = re.findall(r"\b((?:olho|process)_[a-z_0-9]+)\b", text)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def test_alerts_use_metrics_of_the_table():
    names = named(RULES.read_text())
    assert len(names) >= 8
    assert names <= documented()


def test_the_dashboard_uses_metrics_of_the_table():
    board = json.loads(DASHBOARD.read_text())
    expressions = [
        target["expr"] for panel in board["panels"] for target in panel.get("targets", [])
    ]
    names = named(" ".join(expressions))
    assert len(expressions) >= 15
    assert names <= documented()


def test_prometheus_accepts_the_rules():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    subprocess.run(
        [promtool, "check", "config", ROOT / "deploy/prometheus/prometheus.yml"],
        check=True,
    )
