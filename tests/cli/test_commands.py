# SPDX-License-Identifier: Apache-2.0
"""The small commands, help, and the strength of .env, environment and
flags."""
import json
import re

import process
import pytest

COMMANDS = ["classify", "serve", "index", "similar", "routes", "config",
            "version", "model"]


def setting(room, name, *args, **more):
    """The value that `olho config` prints for one option."""
    done = room.run("config", *args, **more)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        found = re.match(rf"\s*{name}\s*[= ]\s*(.*)", line)
        if found:
            return found.group(1).split("#")[0].strip()
    raise AssertionError(f"{name} is not in\n{done.stdout}")


def test_version_says_what_this_is_and_what_is_in(room):
    done = room.run("version")
    assert done.returncode == 0
    assert process.VERSION in done.stdout
    for word in ("onnxruntime", "JPEG", "PNG", "WebP"):
        assert word in done.stdout, done.stdout
    assert room.run("--version").stdout.startswith("olho " + process.VERSION)


@pytest.mark.parametrize("args", [["--help"], ["help"], ["-h"]])
def test_help_names_every_command(room, args):
    done = room.run(*args)
    assert done.returncode == 0
    for command in COMMANDS:
        assert command in done.stdout


def test_without_a_command_help_comes(room):
    done = room.run()
    assert "classify" in done.stdout + done.stderr


@pytest.mark.parametrize("command", [
    *([c] for c in COMMANDS), ["index", "add"], ["index", "info"],
    ["model", "show"]])
def test_every_command_has_help(room, command):
    done = room.run(*command, "--help")
    assert done.returncode == 0, done.stderr
    assert "olho " + " ".join(command) in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("wrong, right", [
    ("clasify", "classify"), ("server", "serve"), ("verison", "version"),
    ("route", "routes")])
def test_an_unknown_command_suggests_the_nearest(room, wrong, right):
    done = room.run(wrong)
    assert done.returncode in (1, 2)
    assert wrong in done.stderr and right in done.stderr


def test_a_group_lists_its_commands(room):
    for args in (["index"], ["index", "--help"], ["help", "index"]):
        done = room.run(*args)
        assert done.returncode == 0, done.stderr
        assert "index add" in done.stdout and "index info" in done.stdout
        assert "classify" not in done.stdout
    done = room.run("index", "list")
    assert done.returncode == 2
    assert "index list" in done.stderr and "index --help" in done.stderr


def test_an_unknown_command_far_from_all_suggests_help(room):
    done = room.run("xyzzy")
    assert done.returncode in (1, 2)
    assert "xyzzy" in done.stderr and "help" in done.stderr


@pytest.mark.parametrize("args, wrong, right", [
    (["serve", "--prot", "0"], "--prot", "--port"),
    (["classify", "--jsno", "x.jpg"], "--jsno", "--json"),
    (["classify", "--topk", "3", "x.jpg"], "--topk", "--top-k")])
def test_an_unknown_flag_suggests_the_nearest(room, args, wrong, right):
    done = room.run(*args)
    assert done.returncode in (1, 2)
    assert wrong in done.stderr and right in done.stderr


def test_a_flag_without_its_value_is_said(room):
    done = room.run("serve", "--port")
    assert done.returncode in (1, 2) and "--port" in done.stderr


def test_routes_are_those_that_answer(room, serve):
    done = room.run("routes")
    assert done.returncode == 0
    rows = re.findall(r"^\s*(GET|POST|PUT|DELETE)\s+(/\S*)", done.stdout, re.M)
    assert {("POST", "/api/classify"), ("POST", "/api/classify/batch"),
            ("POST", "/api/classify/similarity"), ("GET", "/api/model/status"),
            ("GET", "/api/model/classes"), ("GET", "/health"),
            ("GET", "/health/live"), ("GET", "/health/ready"),
            ("GET", "/metrics")} <= set(rows)
    server = serve()
    for method, path in rows:
        reply = server.request(method, path)
        assert reply.status_code not in (404, 405), (method, path)


def test_config_help_documents_every_option(room):
    done = room.run("config", "--help")
    assert done.returncode == 0
    for name in ("FLASK_PORT", "HOST", "WORKERS", "TIMEOUT", "MODEL_PATH",
                 "MAX_IMAGE_SIZE_MB", "BATCH_SIZE", "CONFIDENCE_THRESHOLD",
                 "DECODE_EXACT", "LOG_LEVEL", "OLHO_HOME", "QUEUE_MAX",
                 "CORS_ORIGIN", "API_KEYS", "DRAIN_TIMEOUT"):
        assert name in done.stdout, name
    for flag in ("--port", "--max-image-size-mb", "--queue-max"):
        assert flag in done.stdout, flag


def test_every_option_of_config_is_in_its_help(room):
    shown = re.findall(r"^\s*([A-Z][A-Z0-9_]+)\b",
                       room.run("config").stdout, re.M)
    text = room.run("config", "--help").stdout
    assert len(set(shown)) >= 30
    for name in shown:
        assert re.search(rf"\b{name}\b", text), name


def test_presets_are_those_of_the_contract(room):
    for name, value in (("FLASK_PORT", "5001"), ("TIMEOUT", "30"),
                        ("BATCH_SIZE", "32"), ("MAX_IMAGE_SIZE_MB", "10"),
                        ("CONFIDENCE_THRESHOLD", "0.5")):
        assert setting(room, name, env={}).split()[0] == value


def test_flags_beat_the_environment_which_beats_dot_env(room):
    (room.work / ".env").write_text(
        "# a comment\nexport TOP_K=4\nQUEUE_MAX='5'\nBATCH_SIZE=\"6\"\n"
        "NOT_OURS=1\n")
    env = {"QUEUE_MAX": 55, "BATCH_SIZE": 66}
    flags = ["--batch-size", "166"]
    assert setting(room, "TOP_K", *flags, env=env).split()[0] == "4"
    assert setting(room, "QUEUE_MAX", *flags, env=env).split()[0] == "55"
    assert setting(room, "BATCH_SIZE", *flags, env=env).split()[0] == "166"


def test_the_same_strength_holds_in_a_command_that_works(room, cat):
    def classes(*args, env=None):
        done = room.run("classify", "--json", *args, cat, env=env)
        assert done.returncode == 0, done.stderr
        return len(json.loads(done.stdout)["top_k_predictions"])

    assert classes() == 3
    (room.work / ".env").write_text("TOP_K=4\n")
    assert classes() == 4
    assert classes(env={"TOP_K": 5}) == 5
    assert classes("--top-k", "6", env={"TOP_K": 5}) == 6


@pytest.mark.parametrize("text", ["TOP_K=abc\n", "TOP_K=0\n",
                                  "TOP_K='3\n"])
def test_a_wrong_dot_env_is_refused_and_named(room, cat, text):
    (room.work / ".env").write_text(text)
    done = room.run("classify", cat)
    assert done.returncode in (1, 2)
    assert ".env" in done.stderr


def test_secrets_are_never_printed(room):
    env = {"API_KEYS": "read:open-sesame"}
    done = room.run("config", env=env)
    assert "open-sesame" not in done.stdout + done.stderr
    done = room.run("config", env={"API_KEYS": "open-sesame"})
    assert "open-sesame" not in done.stdout + done.stderr


def test_a_model_that_is_not_there_is_said(room, cat):
    for command in (["classify", cat], ["serve", "--port", "0"],
                    ["index", "add", cat]):
        done = room.run(*command, env={"MODEL_PATH": "no-such-model"})
        assert done.returncode == 1
        assert "no-such-model" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
