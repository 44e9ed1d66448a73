# SPDX-License-Identifier: Apache-2.0
"""`olho model import`: a folder that has run once, or nothing at all."""
import json
import shutil

import process
import pytest

TINY = process.DATA / "keras"
NAMES = ["tiny_2.h5", "tiny_2.keras", "tiny_3.h5", "tiny_3.keras"]


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_keras_file_becomes_a_folder_that_serves(room, name):
    shutil.copy(TINY / name, room.work)
    done = room.run("model", "import", name)
    assert done.returncode == 0, done.stderr
    folder = room.work / "models" / name.split(".")[0]
    assert listed(folder) == ["metadata.json", "model.onnx"]
    assert "2 batch norms folded" in done.stdout
    assert '"embedding", 5 values' in done.stdout
    photo = next(iter(sorted((process.DATA / "photos").glob("*.jpg"))))
    said = room.run("classify", "--json", "--model", folder, photo)
    assert said.returncode == 0, said.stderr
    assert len(json.loads(said.stdout)["top_k_predictions"]) == 3


def test_a_file_called_model_gives_its_folders_name(room):
    (room.work / "coins").mkdir()
    shutil.copy(TINY / "tiny_3.keras", room.work / "coins" / "model.keras")
    done = room.run("model", "import", "coins")
    assert done.returncode == 0, done.stderr
    assert listed(room.work / "models") == ["coins"]


def test_labels_and_index_names_beside_the_file_come_along(room):
    shutil.copy(TINY / "tiny_3.h5", room.work / "m.h5")
    (room.work / "class_indices.json").write_text('{"a": 0, "b": 1, "c": 2}')
    (room.work / "notes.txt").write_text("not ours")
    done = room.run("model", "import", "m.h5", "--out", "v1")
    assert done.returncode == 0, done.stderr
    assert listed(room.work / "v1") == ["class_indices.json", "metadata.json",
                                        "model.onnx"]
    assert "grey image a" in done.stdout or "grey image b" in done.stdout \
        or "grey image c" in done.stdout


def test_labels_that_do_not_fit_stop_the_import(room):
    shutil.copy(TINY / "tiny_3.h5", room.work / "m.h5")
    (room.work / "class_indices.json").write_text('{"a": 0, "b": 1}')
    done = room.run("model", "import", "m.h5", "--out", "v1")
    assert done.returncode == 1
    assert listed(room.work) == ["class_indices.json", "m.h5"]


def test_an_onnx_file_comes_with_its_metadata(room):
    shutil.copy(TINY / "tiny_3.keras", room.work / "m.keras")
    assert room.run("model", "import", "m.keras", "--out",
                    "v1").returncode == 0
    done = room.run("model", "import", "v1/model.onnx", "--out", "v2/deep")
    assert done.returncode == 0, done.stderr
    for name in ("model.onnx", "metadata.json"):
        assert (room.work / "v2" / "deep" / name).read_bytes() == \
            (room.work / "v1" / name).read_bytes()


def test_the_embedding_can_be_named(room):
    done = room.run("model", "import", TINY / "tiny_2.h5", "--out", "v1",
                    "--embedding", "pool")
    assert done.returncode == 0, done.stderr
    metadata = json.loads((room.work / "v1" / "metadata.json").read_text())
    assert metadata["output"]["embedding"] == "pool"


@pytest.mark.parametrize("arguments, words", [
    (["absent.keras"], "there is no absent.keras"),
    ([TINY / "tiny.json"], "neither .keras, .h5 nor .onnx"),
    ([TINY], "5 files that are models"),
    ([TINY / "tiny_2.h5", "--embedding", "nobody"], 'no layer "nobody"'),
])
def test_what_cannot_be_imported_is_said_and_leaves_nothing(room, arguments,
                                                            words):
    done = room.run("model", "import", *arguments, "--out", "v1")
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert listed(room.work) == []


def test_a_truncated_file_leaves_nothing(room):
    data = (TINY / "tiny_3.h5").read_bytes()
    (room.work / "cut.h5").write_bytes(data[:len(data) // 2])
    done = room.run("model", "import", "cut.h5", "--out", "v1")
    assert done.returncode == 1
    assert "cut.h5" in done.stderr
    assert listed(room.work) == ["cut.h5"]
