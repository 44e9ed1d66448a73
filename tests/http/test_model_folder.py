# SPDX-License-Identifier: Apache-2.0
"""MODEL_PATH to folders with and without metadata, whole and broken."""
import hashlib
import io
import json
import math

import process
import pytest
import tiny_model
from PIL import Image


def picture(color, size=(40, 30)):
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


def make_folder(folder, files=None, **options):
    """A model folder; files (by name) come on top, values as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(tiny_model.network(**options))
    for name, content in (files or {}).items():
        data = content if isinstance(content, (bytes, str)) else json.dumps(
            content)
        (folder / name).write_bytes(
            data.encode() if isinstance(data, str) else data)
    return folder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "colours"


def check_colors(server):
    """Each colour gets its class, and the best one is the first."""
    for number, color in tiny_model.COLORS.items():
        answer = server.classify(picture(color), name="a.png").json()
        assert answer["classe_numerica"] == number, answer
        scores = [r["confianca"] for r in answer["top_k_predictions"]]
        assert sum(scores) == pytest.approx(1, abs=1e-4)
        assert answer["classe"] == answer["top_k_predictions"][0]["classe"]


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("has_softmax", [True, False])
def test_a_bare_network_is_understood(serve, folder, layout, has_softmax):
    make_folder(folder, layout=layout, has_softmax=has_softmax)
    server = serve({"MODEL_PATH": folder})
    status = server.get("/api/model/status").json()
    assert status["input_shape"] == [8, 8, 3]
    assert status["total_classes"] == 3
    assert status["accuracy"] is None
    assert status["model_path"].startswith(str(folder))
    check_colors(server)
    names = server.get("/api/model/classes").json()["classes"]
    assert len({row["name"] for row in names}) == 3


def test_the_path_may_name_the_file(serve, folder):
    make_folder(folder)
    check_colors(serve({"MODEL_PATH": folder / "model.onnx"}))


def test_class_indices_as_keras_writes_them_name_the_classes(serve, folder):
    names = {"azul": 2, "vermelho": 0, "verde água": 1}
    make_folder(folder, {"class_indices.json": names})
    server = serve({"MODEL_PATH": folder})
    check_colors(server)
    answer = server.classify(picture(tiny_model.COLORS[1])).json()
    assert answer["classe"] == "verde água"
    rows = server.get("/api/model/classes").json()["classes"]
    assert {row["name"]: row["id"] for row in rows} == names


def test_labels_txt_names_the_classes(serve, folder):
    make_folder(folder, {"labels.txt": "vermelho\r\nverde\r\nazul\r\n"})
    server = serve({"MODEL_PATH": folder})
    rows = server.get("/api/model/classes").json()["classes"]
    assert [row["name"] for row in rows] == ["vermelho", "verde", "azul"]


def test_metadata_says_how_the_input_is_made(serve, folder):
    """Channels in BGR turn red into blue: what metadata says is done."""
    make_folder(folder, {"metadata.json": {
        "name": "colours", "version": "v7", "accuracy": 0.875,
        "input": {"channels": "BGR", "mean": 0, "std": 1, "fit": "stretch",
                  "filter": "nearest"},
        "output": {"scores": "scores", "activation": "none"}}})
    server = serve({"MODEL_PATH": folder})
    status = server.get("/api/model/status").json()
    assert status["model_version"] == "v7" and status["accuracy"] == 0.875
    answer = server.classify(picture(tiny_model.COLORS[0])).json()
    assert answer["classe_numerica"] == 2


def test_mean_and_deviation_of_metadata_reach_the_network(serve, folder):
    """The embedding is the mean input, so it shows what went in."""
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.25, 2.0]
    make_folder(folder, {"metadata.json": {
        "input": {"mean": mean, "std": std, "fit": "stretch",
                  "filter": "bilinear-aa"}}})
    color = (200, 100, 50)
    server = serve({"MODEL_PATH": folder})
    got = server.classify(picture(color)).json()["embedding"]
    want = [(c / 255 - m) / s for c, m, s in zip(color, mean, std)]
    norm = math.hypot(*want)
    assert got == pytest.approx([v / norm for v in want], abs=1e-5)


@pytest.mark.parametrize("fit, is_red", [("crop", True), ("stretch", False)])
def test_crop_and_stretch_differ(serve, folder, fit, is_red):
    """A wide picture, red in its middle and blue at both ends."""
    make_folder(folder, {"metadata.json": {"input": {
        "fit": fit, "filter": "bilinear-aa", "mean": 0, "std": 1}}})
    wide = Image.new("RGB", (128, 32), (0, 0, 255))
    wide.paste((255, 0, 0), (44, 0, 84, 32))
    out = io.BytesIO()
    wide.save(out, "PNG")
    answer = serve({"MODEL_PATH": folder}).classify(out.getvalue()).json()
    assert (answer["classe_numerica"] == 0) is is_red


def test_a_network_without_an_embedding_serves_without_one(serve, folder):
    make_folder(folder, has_embedding=False)
    server = serve({"MODEL_PATH": folder})
    check_colors(server)
    answer = server.classify(picture(tiny_model.COLORS[0])).json()
    assert not answer.get("embedding") and answer["semelhantes"] == []


def test_top_k_is_bounded_by_the_classes_of_this_model(serve, folder):
    make_folder(folder)
    server = serve({"MODEL_PATH": folder})
    red = picture(tiny_model.COLORS[0])
    assert server.classify(red, top_k=3).status_code == 200
    reply = server.classify(red, top_k=4)
    assert reply.status_code == 400 and "3" in reply.json()["erro"]


def test_fewer_classes_than_the_preset_of_top_k_are_fine(serve, folder):
    make_folder(folder, classes=2)
    server = serve({"MODEL_PATH": folder})
    answer = server.classify(picture(tiny_model.COLORS[0])).json()
    assert len(answer["top_k_predictions"]) == 2


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_right_checksums_are_accepted(serve, folder):
    make_folder(folder, {"metadata.json": {
        "sha256": {"model.onnx": sha256(tiny_model.network())}}})
    check_colors(serve({"MODEL_PATH": folder}))


BROKEN = {
    "a_missing_folder": (None, {}, ["colours"]),
    "an_empty_network": ({}, {"model.onnx": b""}, ["colours"]),
    "junk_as_network": ({}, {"model.onnx": b"junk" * 100}, ["colours"]),
    "half_a_network": (
        {}, {"model.onnx": tiny_model.network()[:150]}, ["colours"]),
    "another_checksum": (
        {}, {"metadata.json": {"sha256": {"model.onnx": "0" * 64}}},
        ["model.onnx", "000000"]),
    "no_checksum_at_all": (
        {}, {"metadata.json": {"sha256": {"model.onnx": "12"}}},
        ["model.onnx"]),
    "a_checksum_outside": (
        {}, {"metadata.json": {"sha256": {"../x": "0" * 64}}}, ["../x"]),
    "broken_metadata": ({}, {"metadata.json": "{"}, ["metadata.json"]),
    "a_list_as_metadata": ({}, {"metadata.json": "[]"}, ["metadata.json"]),
    "a_file_outside": (
        {}, {"metadata.json": {"file": "../other.onnx"}}, ["../other.onnx"]),
    "a_file_that_is_not_there": (
        {}, {"metadata.json": {"file": "other.onnx"}}, ["other.onnx"]),
    "an_output_that_is_not_there": (
        {}, {"metadata.json": {"output": {"scores": "nope"}}}, ["nope"]),
    "another_size": (
        {}, {"metadata.json": {"input": {"width": 9, "height": 9}}},
        ["9", "8"]),
    "another_layout": (
        {}, {"metadata.json": {"input": {"layout": "NCHW"}}}, ["NCHW"]),
    "an_unknown_filter": (
        {}, {"metadata.json": {"input": {"filter": "magic"}}}, ["magic"]),
    "a_deviation_of_zero": (
        {}, {"metadata.json": {"input": {"mean": 0, "std": 0}}}, ["std"]),
    "too_few_labels": ({}, {"labels.txt": "a\nb\n"}, ["2", "3"]),
    "too_many_labels": ({}, {"labels.txt": "a\nb\nc\nd\n"}, ["4", "3"]),
    "labels_in_latin_1": ({}, {"labels.txt": b"a\n\xe1\nb\n"}, ["UTF-8"]),
    "two_classes_of_one_number": (
        {}, {"class_indices.json": {"a": 0, "b": 1, "c": 1}}, ["1"]),
    "a_class_of_no_number": (
        {}, {"class_indices.json": {"a": 0, "b": 1, "c": "2"}}, ["c"]),
    "a_class_past_the_end": (
        {}, {"class_indices.json": {"a": 0, "b": 1, "c": 3}}, ["3", "2"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_refused_and_says_why(room, folder, name):
    options, files, words = BROKEN[name]
    if options is not None:
        make_folder(folder, files, **options)
    for command in (["serve", "--port", "0"], ["model", "show", folder]):
        done = room.run(*command, env={"MODEL_PATH": folder})
        assert done.returncode in (1, 2) and done.stdout == "", done
        for word in words:
            assert word in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2, done.stderr


def test_a_folder_with_two_networks_asks_which(room, folder):
    make_folder(folder)
    (folder / "model.onnx").rename(folder / "a.onnx")
    (folder / "b.onnx").write_bytes(tiny_model.network())
    done = room.run("model", "show", folder)
    assert done.returncode == 1 and "2 .onnx" in done.stderr
    (folder / "b.onnx").unlink()
    assert room.run("model", "show", folder).returncode == 0


def test_model_show_prints_what_was_understood(room, folder):
    make_folder(folder, {"labels.txt": "vermelho\nverde\nazul\n"})
    done = room.run("model", "show", folder)
    assert done.returncode == 0, done.stderr
    for word in ("NHWC", "8", "scores", "features", "picture", "3",
                 "bilinear-aa"):
        assert word in done.stdout, done.stdout


def test_model_show_knows_the_bundled_model(room):
    done = room.run("model", "show", process.ROOT / "models" / "mobilenet_v2")
    assert done.returncode == 0, done.stderr
    for word in ("NCHW", "224", "1001", "1280", "probabilities", "256"):
        assert word in done.stdout, done.stdout
