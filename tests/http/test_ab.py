# SPDX-License-Identifier: Apache-2.0
"""Two versions behind one server: who answers, what is counted, what people
say of it, and how the worse one is taken out."""
import io
import itertools
import json
import os
import signal
import subprocess

import process
import pytest
import tiny_model
from PIL import Image

NAMES = {"v1": ["red", "green", "blue"], "v2": ["green", "blue", "red"]}
shades = itertools.count()


def red():
    """A red picture that was never sent before."""
    out = io.BytesIO()
    n = next(shades)
    Image.new("RGB", (40 + n % 50, 30 + n // 50), (230, 20, 20)).save(
        out, "PNG")
    return out.getvalue()


@pytest.fixture
def versions(tmp_path):
    """v1 knows its colours; v2 calls each one by another's name."""
    for name, labels in NAMES.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.onnx").write_bytes(tiny_model.network())
        (folder / "labels.txt").write_text("".join(x + "\n" for x in labels))
        (folder / "metadata.json").write_text(json.dumps({"version": name}))
    return tmp_path


@pytest.fixture
def start(serve, versions, room):
    def start(second="1", **env):
        return serve({"MODEL_PATH": versions / "v1",
                      "AB_VERSIONS": f"{versions / 'v2'}={second}",
                      "AB_SAMPLE_MIN": 20, "STORE_FLUSH": 0.01, **env},
                     room=room)
    return start


def ask(server, **form):
    reply = server.classify(red(), name="red.png", **form)
    assert reply.status_code == 200, reply.text
    return reply.json()


def give(server, answer, name="red"):
    """202 says that a slow disk has not got it yet."""
    reply = server.post("/api/feedback", json={
        "request_id": answer["request_id"], "classe": name})
    assert reply.status_code in (200, 202), reply.text
    return reply.json()


def arms(server):
    return {arm["version"]: arm for arm in server.get("/api/ab").json()["arms"]}


def test_a_user_meets_one_version_and_all_meet_both(start):
    server = start()
    met = {}
    for user in range(24):
        seen = {ask(server, user_id=user)["model_version"] for _ in range(3)}
        assert len(seen) == 1
        met[user] = seen.pop()
    assert set(met.values()) == {"v1", "v2"}
    counted = arms(server)
    for name in NAMES:
        assert counted[name]["requests"] == 3 * list(
            met.values()).count(name)
        assert counted[name]["error_rate"] == 0
        assert counted[name]["latency_p50_ms"] > 0
        assert 0.3 < counted[name]["mean_confidence"] <= 1
    assert counted["v1"]["role"] == "control"
    assert counted["v2"]["role"] == "challenger"


def test_a_weight_of_none_serves_nobody(start):
    server = start("0")
    assert {ask(server)["model_version"] for _ in range(10)} == {"v1"}


def test_feedback_says_whether_the_answer_was_right(start):
    server = start()
    for _ in range(10):
        answer = ask(server)
        assert give(server, answer) == {
            "status": "ok", "request_id": answer["request_id"],
            "classe": "red", "predicted": answer["classe"],
            "correct": answer["model_version"] == "v1"}
    counted = arms(server)
    assert counted["v1"]["feedback"] + counted["v2"]["feedback"] == 10
    assert counted["v1"]["correct"] == counted["v1"]["feedback"]
    assert counted["v2"]["correct"] == 0
    give(server, answer, "green")
    again = arms(server)[answer["model_version"]]
    assert again["feedback"] == counted[answer["model_version"]]["feedback"]


@pytest.mark.parametrize("body, status", [
    ({"request_id": "never-seen", "classe": "red"}, 404),
    ({"request_id": "x"}, 400), ({"classe": "red"}, 400),
    ({"request_id": 5, "classe": "red"}, 400), ([], 400), ("x", 400)])
def test_feedback_that_cannot_be_is_refused_in_the_collectors_form(
        start, body, status):
    server = start()
    reply = server.post("/api/feedback", json=body)
    assert reply.status_code == status
    error = reply.json()
    assert error["erro"] == error["error"] != ""
    assert error["request_id"]


def test_a_worse_version_is_taken_out_by_itself(start, room):
    server = start(AB_AUTO_ROLLBACK="true")
    for _ in range(400):
        give(server, ask(server))
        if arms(server)["v2"]["is_stopped"]:
            break
    ask(server)
    counted = arms(server)
    assert counted["v2"]["is_stopped"] and not counted["v1"]["is_stopped"]
    assert counted["v2"]["recommendation"] == "rollback"
    assert "accuracy 0 % against 100 %" in counted["v2"]["reason"]
    assert {ask(server)["model_version"] for _ in range(20)} == {"v1"}
    assert "taken out" in server.log()
    done = subprocess.run(
        [process.BIN, "ab", "--address", server.url], capture_output=True,
        cwd=room.work, env=room.environment(),
        timeout=process.PATIENCE_S, check=True)
    assert b"taken out" in done.stdout
    assert b"worse: accuracy" in done.stdout


def test_without_automatic_rollback_it_is_only_recommended(start):
    server = start()
    for _ in range(400):
        give(server, ask(server))
        report = server.get("/api/ab").json()
        if report["recommendation"] == "rollback":
            break
    assert report["recommendation_version"] == "v2"
    assert not report["is_auto_rollback"]
    assert {ask(server)["model_version"] for _ in range(40)} == {"v1", "v2"}


def test_a_shadow_answers_for_the_log_only(start):
    server = start("shadow")
    for _ in range(10):
        answer = ask(server)
        assert answer["model_version"] == "v1"
        assert answer["classe"] == "red"
    process.until(lambda: arms(server)["v2"]["requests"] == 10)
    shadow = arms(server)["v2"]
    assert shadow["role"] == "shadow"
    assert shadow["agreement"] == 0 and shadow["compared"] == 10
    give(server, answer)
    assert arms(server)["v2"]["feedback"] == 1
    assert arms(server)["v2"]["correct"] == 0


def test_a_restart_goes_on_with_the_counts(start):
    server = start()
    answers = [ask(server) for _ in range(12)]
    for answer in answers[:6]:
        give(server, answer)
    before = arms(server)
    server.stop()
    server = start()
    after = arms(server)
    for name in NAMES:
        for key in ("requests", "errors", "feedback", "correct"):
            assert after[name][key] == before[name][key], (name, key)
        assert after[name]["mean_confidence"] == pytest.approx(
            before[name]["mean_confidence"], abs=1e-3)
    # The database knows it still.
    assert give(server, answers[8])["predicted"] == answers[8]["classe"]
    name = answers[8]["model_version"]
    assert arms(server)[name]["feedback"] == before[name]["feedback"] + 1


def hang_up(server):
    before = server.metric("olho_model_updates_total")
    os.kill(server.pid, signal.SIGHUP)
    process.until(lambda: server.metric("olho_model_updates_total") > before)


def test_a_hang_up_replaces_the_first_version_while_two_are_compared(
        start, versions):
    server = start()
    for user in range(12):
        ask(server, user_id=user)
    second = arms(server)["v2"]["requests"]
    (versions / "v1" / "metadata.json").write_text('{"version": "v1b"}')
    hang_up(server)
    assert {name: arm["requests"] for name, arm in arms(server).items()} == {
        "v1b": 0, "v2": second}
    met = {ask(server, user_id=user)["model_version"] for user in range(12)}
    assert met == {"v1b", "v2"}


def test_an_update_to_the_version_compared_with_ends_the_comparison(
        start, versions):
    server = start(MODEL_ROOT=versions)
    reply = server.post("/api/model/update", json={"model_path": "v2"})
    assert reply.status_code == 200, reply.text
    first, second = server.get("/api/ab").json()["arms"]
    assert (first["version"], first["is_stopped"]) == ("v2", False)
    assert (second["version"], second["is_stopped"]) == ("v2", True)
    assert {ask(server)["model_version"] for _ in range(8)} == {"v2"}


def test_one_version_alone_has_nothing_to_compare(serve, versions):
    server = serve({"MODEL_PATH": versions / "v1"})
    report = server.get("/api/ab").json()
    assert report["arms"] == []
    assert "AB_VERSIONS" in report["reason"]
