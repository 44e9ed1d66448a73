# SPDX-License-Identifier: Apache-2.0
"""`olho index` and `olho similar`, also across a kill -9."""
import io
import json
import re
import resource
import shutil
import signal
import subprocess

import process
import pytest
from PIL import Image


def count(room):
    """What `olho index info` says is in."""
    done = room.run("index", "info", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["images"]


def similar(room, *args):
    done = room.run("similar", "--json", *args)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def paths_of(row):
    return [item["item"] for item in row["semelhantes"]]


def test_added_images_are_counted_and_found(room, clothing):
    done = room.run("index", "add", *clothing[:6])
    assert done.returncode == 0, done.stderr
    for photo in clothing[:6]:
        assert photo.name in done.stdout
    assert count(room) == 6
    copy = io.BytesIO()
    Image.open(clothing[2]).save(copy, "JPEG", quality=93)
    (room.work / "copy.jpg").write_bytes(copy.getvalue())
    (row,) = similar(room, room.work / "copy.jpg")
    assert paths_of(row)[0].endswith(clothing[2].name)


def test_similar_prints_for_people_too(room, clothing):
    assert room.run("index", "add", *clothing[:6]).returncode == 0
    done = room.run("similar", clothing[0])
    assert done.returncode == 0, done.stderr
    assert sum(p.name in done.stdout for p in clothing[:6]) >= 3


def test_the_number_for_people_is_the_cosine(room, clothing):
    assert room.run("index", "add", *clothing[:6]).returncode == 0
    done = room.run("classify", "--json", *clothing[:6])
    vectors = {row["file"]: row["embedding"]
               for row in map(json.loads, done.stdout.splitlines())}
    text = room.run("similar", "--k", "6", clothing[0]).stdout
    query = vectors[str(clothing[0])]
    lines = [line for line in text.splitlines()[1:] if line.strip()]
    assert len(lines) >= 5
    for line in lines:
        score, path = re.search(r"(-?\d\.\d+)\s+(/.*\.jpg)", line).groups()
        cosine = sum(a * b for a, b in zip(query, vectors[path]))
        assert float(score) == pytest.approx(cosine, abs=2e-3)


def test_a_folder_is_added_whole(room, clothing):
    done = room.run("index", "add", process.DATA / "clothing")
    assert done.returncode in (0, 1), done.stderr
    assert count(room) == len(clothing)


def test_adding_again_doubles_nothing(room, clothing):
    for _ in range(2):
        assert room.run("index", "add", *clothing[:4]).returncode == 0
    assert count(room) == 4


def test_a_bad_file_is_reported_and_the_rest_is_added(room, clothing):
    bad = room.work / "bad.jpg"
    bad.write_bytes(b"no image at all")
    done = room.run("index", "add", clothing[0], bad, clothing[1])
    assert done.returncode == 1
    assert "bad.jpg" in done.stderr
    assert count(room) == 2


def test_info_tells_what_the_index_is(room, clothing):
    assert room.run("index", "add", *clothing[:3]).returncode == 0
    done = room.run("index", "info")
    assert done.returncode == 0
    for word in ("3", "1280", "mobilenet_v2", "index.olho"):
        assert word in done.stdout, done.stdout


def test_without_an_index_info_and_similar_say_so(room, cat):
    done = room.run("index", "info")
    assert "index.olho" in done.stdout + done.stderr
    done = room.run("similar", cat)
    assert done.returncode == 1
    assert "olho index add" in done.stderr


def test_the_index_may_be_another_file(room, clothing):
    path = room.work / "mine.olho"
    done = room.run("index", "add", "--index", path, clothing[0])
    assert done.returncode == 0, done.stderr
    assert path.exists() and list(room.data.rglob("*")) == []


def test_a_label_stays_with_its_image(room, clothing):
    done = room.run("index", "add", "--label", "casaco azul", clothing[0])
    assert done.returncode == 0, done.stderr
    assert room.run("index", "add", clothing[1]).returncode == 0
    (row,) = similar(room, clothing[1])
    assert "casaco azul" in [item["nome"] for item in row["semelhantes"]]


def test_labels_may_come_from_the_folders(room, clothing):
    done = room.run("index", "add", "--label-from-folder",
                    process.DATA / "clothing" / "hat",
                    process.DATA / "clothing" / "pants")
    assert done.returncode == 0, done.stderr
    hat = next(p for p in clothing if p.parent.name == "hat")
    (row,) = similar(room, hat, "--k", "10")
    assert len(row["semelhantes"]) == 10
    names = {item["nome"] for item in row["semelhantes"]}
    assert names == {"hat", "pants"}


@pytest.mark.parametrize("lines", [1, 33])
def test_what_was_printed_as_added_survives_kill_9(room, clothing, lines):
    """Also a second time: the torn tail is cut off and adding goes on."""
    child = subprocess.Popen(
        [process.BIN, "index", "add", process.DATA / "clothing"],
        cwd=room.work, env=room.environment(), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL)
    printed = [child.stdout.readline().decode() for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    printed += child.stdout.read().decode().splitlines()
    child.wait()
    child.stdout.close()
    said = {p for p in clothing if any(p.name in line for line in printed)}
    assert len(said) >= lines
    assert count(room) >= len(said)
    before = count(room)
    again = room.run("index", "add", *said)
    assert again.returncode == 0, again.stderr
    assert count(room) == before, "all of them were there already"
    assert room.run("index", "add", process.DATA / "clothing").returncode == 0
    assert count(room) == len(clothing)


def check_torn(room, clothing, left):
    """`left` entries are whole; the rest is cut off by the next addition,
    which says so and goes on."""
    assert count(room) == left
    done = room.run("index", "add", clothing[5])
    assert done.returncode == 0, done.stderr
    assert re.search("cut", done.stderr), done
    assert count(room) == left + 1
    assert room.run("index", "add", clothing[6]).stderr == ""


@pytest.mark.parametrize("whole, more", [(2, 1), (2, 64), (2, 700), (1, 63),
                                         (1, 5000)])
def test_a_torn_tail_is_cut_off_and_reported(room, clothing, whole, more):
    """`whole` additions and some bytes of the next. One that was killed has
    left no checkpoint behind."""
    path = room.data / "index.olho"
    lengths = [0]
    for photo in clothing[:3]:
        assert room.run("index", "add", photo).returncode == 0
        lengths.append(path.stat().st_size)
    path.write_bytes(path.read_bytes()[:lengths[whole] + more])
    (room.data / "index.olho.checkpoint").unlink()
    check_torn(room, clothing, whole)


def test_a_batch_that_was_cut_is_gone_whole(room, clothing):
    assert room.run("index", "add", *clothing[:3]).returncode == 0
    path = room.data / "index.olho"
    path.write_bytes(path.read_bytes()[:-2000])
    (room.data / "index.olho.checkpoint").unlink()
    check_torn(room, clothing, 0)


@pytest.mark.parametrize("cut", [100, 2000, 16000])
def test_a_file_without_what_its_checkpoint_knows_is_refused(room, clothing,
                                                             cut):
    assert room.run("index", "add", *clothing[:3]).returncode == 0
    path = room.data / "index.olho"
    path.write_bytes(path.read_bytes()[:-cut])
    for command in (["info"], ["check"], ["add", clothing[4]]):
        done = room.run("index", *command)
        assert done.returncode == 1 and "is cut" in done.stderr, done


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\0", b"ENTR", b"\xff" * 999])
def test_bytes_that_never_were_a_record_are_cut_off(room, clothing, tail):
    assert room.run("index", "add", *clothing[:3]).returncode == 0
    with open(room.data / "index.olho", "ab") as file:
        file.write(tail)
    check_torn(room, clothing, 3)


@pytest.mark.parametrize("has_checkpoint", [True, False])
@pytest.mark.parametrize("place", [4, 300, 1000, 5000])
def test_a_damaged_index_is_refused_and_not_overwritten(room, clothing, place,
                                                        has_checkpoint):
    """What a checkpoint covers is looked at when it is used."""
    for photo in clothing[:3]:
        assert room.run("index", "add", photo).returncode == 0
    path = room.data / "index.olho"
    data = bytearray(path.read_bytes())
    data[place] ^= 0x55
    path.write_bytes(data)
    commands = [["index", "check"], ["similar", clothing[0]]]
    if not has_checkpoint:
        (room.data / "index.olho.checkpoint").unlink()
        commands += [["index", "info"], ["index", "add", clothing[4]]]
    for command in commands:
        done = room.run(*command)
        assert done.returncode == 1, (command, done)
        assert "index.olho" in done.stderr
    assert path.read_bytes() == data


def test_on_a_full_disk_nothing_is_said_to_be_added_that_is_not(room,
                                                                clothing):
    """The size limit of the process stands in for the disk."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(
        [process.BIN, "index", "add", process.DATA / "clothing"],
        capture_output=True, cwd=room.work, env=room.environment(),
        preexec_fn=limit, timeout=60 * process.SLOW)
    assert done.returncode == 1, done
    assert b"index.olho" in done.stderr
    said = {p for p in clothing if p.name.encode() in done.stdout}
    assert 0 < len(said) < 40
    assert count(room) >= len(said)
    assert room.run("index", "add", process.DATA / "clothing").returncode == 0
    assert count(room) == len(clothing)


def test_a_data_folder_that_is_a_file_is_said(room, clothing):
    done = room.run("index", "add", clothing[0],
                    env={"OLHO_HOME": clothing[1]})
    assert done.returncode == 1
    assert clothing[1].name in done.stderr


def test_two_that_add_at_once_do_not_spoil_it(room, clothing):
    children = [subprocess.Popen(
        [process.BIN, "index", "add", *part], cwd=room.work,
        env=room.environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE) for part in (clothing[:8], clothing[8:16])]
    codes = []
    for child in children:
        text = child.communicate(timeout=60 * process.SLOW)[1].decode()
        codes.append(child.returncode)
        assert child.returncode == 0 or "index.olho" in text
    assert 0 in codes
    assert count(room) == 8 * codes.count(0)


def test_another_model_does_not_mix_into_an_index(room, clothing, tmp_path):
    import tiny_model
    assert room.run("index", "add", clothing[0]).returncode == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.onnx").write_bytes(tiny_model.network())
    done = room.run("index", "add", "--model", other, clothing[1])
    assert done.returncode == 1
    assert "index.olho" in done.stderr
    assert count(room) == 1


def test_a_moved_image_keeps_one_entry_with_its_new_path(room, clothing):
    shutil.copy(clothing[0], room.work / "first.jpg")
    assert room.run("index", "add", room.work / "first.jpg").returncode == 0
    (room.work / "first.jpg").rename(room.work / "second.jpg")
    assert room.run("index", "add", room.work / "second.jpg").returncode == 0
    assert room.run("index", "add", clothing[1]).returncode == 0
    assert count(room) == 2
    (row,) = similar(room, clothing[1])
    assert any(p.endswith("second.jpg") for p in paths_of(row))
