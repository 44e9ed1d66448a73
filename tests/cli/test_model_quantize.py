# SPDX-License-Identifier: Apache-2.0
"""`olho model quantize`: the int8 copy of the bundled model, and what is
refused."""
import hashlib
import json
import shutil

import process
import pytest
import tiny_model
from PIL import Image

MODEL = process.ROOT / "models" / "mobilenet_v2"


def quantize(room, *args, model=MODEL):
    return room.run("model", "quantize", model, "--out", room.work / "small",
                    "--json", *args)


def lay_out(folder, files):
    """Copies of images in one folder, in this order."""
    folder.mkdir()
    for number, file in enumerate(files):
        shutil.copy(file, folder / f"{number:03}{file.suffix}")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory, photos, clothing):
    """Each photograph twice, so that the held-out half knows them all too."""
    twice = [photo for photo in photos for _ in range(2)]
    return lay_out(tmp_path_factory.mktemp("images") / "all",
                   twice + clothing[:24])


@pytest.fixture(scope="module")
def small(tmp_path_factory, images):
    """The bundled model in int8, and what was said of it."""
    room = process.Room(tmp_path_factory.mktemp("room"))
    done = quantize(room, "--images", images)
    assert done.returncode == 0, done.stderr
    return room.work / "small", json.loads(done.stdout)


def test_the_int8_copy_agrees_where_the_model_is_sure(small):
    _, report = small
    assert report["calibrated"] == report["compared"] == 20
    assert report["sure"] >= 6
    assert report["agreement_sure"] >= 0.99
    assert report["embedding_cosine"] > 0.95
    assert report["int8_bytes"] < 4.2e6
    assert report["float_ms"] > 0 and report["int8_ms"] > 0


def test_the_new_folder_is_whole_and_checked_at_load(small, room, photos):
    folder, _ = small
    about = json.loads((folder / "metadata.json").read_text())
    assert about["quantized"] == "int8-static"
    assert about["version"].endswith("-int8")
    assert about["accuracy"] is None
    assert about["quantization"]["compared"] == 20
    assert sorted(about["sha256"]) == sorted(
        file.name for file in folder.iterdir() if file.suffix != ".json")
    for name, want in about["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()
                              ).hexdigest() == want
    broken = room.work / "broken"
    shutil.copytree(folder, broken)
    (broken / "labels.txt").write_text("other\n")
    done = room.run("classify", "--model", broken, photos[0])
    assert done.returncode == 1
    assert "SHA-256" in done.stderr


def test_the_int8_copy_classifies_and_serves(small, serve, room, photos):
    folder, _ = small
    answers = []
    for model in (MODEL, folder):
        done = room.run("classify", "--json", "--model", model, *photos)
        assert done.returncode == 0, done.stderr
        answers.append([json.loads(line) for line in
                        done.stdout.splitlines()])
    sure = 0
    for before, after in zip(*answers):
        if before["confianca"] > 0.6:
            assert after["classe"] == before["classe"]
            assert abs(after["confianca"] - before["confianca"]) < 0.25
            sure += 1
    assert sure >= 3
    server = serve(args=["--model", str(folder)])
    with open(photos[0], "rb") as photo:
        reply = server.post("/api/classify", files={"file": photo})
    assert reply.status_code == 200, reply.text
    assert reply.json()["classe"] == answers[1][0]["classe"]


def test_text_says_what_json_says(room, images):
    done = room.run("model", "quantize", MODEL, "--out", room.work / "small",
                    "--images", images)
    assert done.returncode == 0, done.stderr
    for part in ("20 held out", "agreement", "sure of", "float32", "int8",
                 "MB", str(room.work / "small")):
        assert part in done.stdout
    assert done.stderr == ""


def test_a_copy_that_disagrees_is_not_kept(room, photos, clothing):
    black = room.work / "black.png"
    Image.new("RGB", (64, 64)).save(black)
    files = []
    for photo in [*photos, *clothing[:4]]:
        files += [black, photo]
    done = quantize(room, "--images", lay_out(room.work / "bad", files))
    assert done.returncode == 1
    assert "nothing was written" in done.stderr
    report = json.loads(done.stdout)
    assert report["out"] is None
    assert report["agreement_sure"] < 0.99
    assert sorted(file.name for file in room.work.iterdir()) == [
        "bad", "black.png"]


def lay_out_tiny(room):
    """A model that tells red, green and blue, without metadata."""
    folder = room.work / "tiny"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(tiny_model.network())
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    return folder


def test_without_a_sure_image_nothing_is_judged(room):
    tiny = lay_out_tiny(room)
    folder = room.work / "grey"
    folder.mkdir()
    for i in range(20):
        Image.new("RGB", (16, 16), (10 * i,) * 3).save(folder / f"{i:02}.png")
    done = quantize(room, "--images", folder, model=tiny)
    assert done.returncode == 1
    assert "sure of none of the 10 images" in done.stderr
    assert json.loads(done.stdout)["sure"] == 0
    assert not (room.work / "small").exists()
    done = quantize(room, "--images", folder, "--min-agreement", "0",
                    model=tiny)
    assert done.returncode == 0, done.stderr
    assert (room.work / "small" / "model.onnx").exists()


def test_what_is_no_image_is_skipped_and_counted(room, clothing):
    folder = lay_out(room.work / "mixed", clothing[:26])
    for name in ("0000.jpg", "0100.txt"):
        (folder / name).write_text("no image")
    done = quantize(room, "--images", folder, "--min-agreement", "0")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["skipped"] == 2


def test_too_few_images_are_refused(room, clothing):
    done = quantize(room, "--images", lay_out(room.work / "few",
                                              clothing[:19]))
    assert done.returncode == 2
    assert "19 files; at least 20" in done.stderr
    folder = lay_out(room.work / "damaged", clothing[:20])
    for file in sorted(folder.iterdir())[::2]:
        file.write_bytes(b"no image")
    done = quantize(room, "--images", folder)
    assert done.returncode == 2
    assert "only 0 of the images that calibrate" in done.stderr
    assert not (room.work / "small").exists()


@pytest.mark.parametrize("args, part", [
    ([], "--images"),
    (["--mode", "dynamic"], '"dynamic"'),
    (["--min-agreement", "2"], '"2"'),
    (["--min-agreement", "much"], '"much"'),
    (["--images", "nowhere"], "nowhere")])
def test_wrong_arguments_are_named(room, args, part):
    done = quantize(room, *args)
    assert done.returncode in (1, 2)
    assert part in done.stderr
    assert done.stdout == ""


def test_a_folder_that_is_there_stays_as_it_is(room, images):
    (room.work / "small").mkdir()
    done = quantize(room, "--images", images)
    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert list((room.work / "small").iterdir()) == []


def test_what_computes_in_8_bits_is_not_quantised_again(small, room, images):
    done = quantize(room, "--images", images, model=small[0])
    assert done.returncode == 1
    assert "computes in 8 bits already" in done.stderr
    done = quantize(room, "--mode", "weights")
    assert done.returncode == 1
    assert "int8 already" in done.stderr
    assert not (room.work / "small").exists()


@pytest.mark.parametrize("mode", ["weights", "static"])
def test_a_model_without_metadata_gets_one(room, mode):
    folder = lay_out_tiny(room)
    pictures = room.work / "pictures"
    pictures.mkdir()
    for i in range(20):
        Image.new("RGB", (16, 16), tiny_model.COLORS[i // 2 % 3]).save(
            pictures / f"{i:02}.png")
    done = quantize(room, "--mode", mode, "--images", pictures, model=folder)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["agreement"] == report["agreement_sure"] == 1
    about = json.loads((room.work / "small" / "metadata.json").read_text())
    assert about["input"]["layout"] == "NHWC"
    assert about["output"]["scores"] == "scores"
    done = room.run("classify", "--json", "--model", room.work / "small",
                    pictures / "02.png")
    assert json.loads(done.stdout)["classe"] == "green"
    done = room.run("model", "show", "--json", room.work / "small")
    assert json.loads(done.stdout)["guessed"] == []


def test_weights_alone_need_no_images(room):
    folder = lay_out_tiny(room)
    done = room.run("model", "quantize", folder, "--out", room.work / "small",
                    "--mode", "weights")
    assert done.returncode == 0, done.stderr
    assert "not compared" in done.stdout
    assert b"DequantizeLinear" in (
        room.work / "small" / "model.onnx").read_bytes()
