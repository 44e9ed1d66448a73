# SPDX-License-Identifier: Apache-2.0
"""`olho classify` as people and scripts use it."""
import json
import os
import pty
import re
import shutil
import subprocess

import process
import pytest


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


def test_classes_come_with_bars_and_percentages(room, cat):
    done = room.run("classify", cat)
    assert done.returncode == 0, done.stderr
    assert cat.name in done.stdout
    shares = [float(x.replace(",", "."))
              for x in re.findall(r"(\d+(?:[.,]\d+)?) ?%", done.stdout)]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    assert re.search("[█▏▎▍▌▋▊▉#=]", done.stdout)
    assert "\x1b[" not in done.stdout, "colours only on a terminal"
    assert done.stderr == ""


def test_on_a_terminal_there_is_colour_unless_no_color_says_no(room, cat):
    def run(**more):
        master, slave = pty.openpty()
        env = room.environment({"TERM": "xterm-256color", **more})
        child = subprocess.Popen(
            [process.BIN, "classify", cat], cwd=room.work, env=env,
            stdin=slave, stdout=slave, stderr=subprocess.PIPE)
        os.close(slave)
        text = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            text += piece
        os.close(master)
        child.stderr.close()
        assert child.wait(process.PATIENCE_S) == 0
        return text.decode()

    assert "\x1b[" in run()
    assert "\x1b[" not in run(NO_COLOR="1")


def test_json_is_the_answer_of_the_api_and_the_file(room, serve, cat):
    done = room.run("classify", "--json", cat)
    assert done.returncode == 0, done.stderr
    (row,) = objects(done.stdout)
    answer = serve().classify(cat).json()
    assert row["file"] == str(cat)
    for key in ("classe", "confianca", "classe_numerica", "top_k_predictions",
                "embedding", "model_version", "aceito", "avisos",
                "semelhantes", "similar_items"):
        assert row[key] == answer[key], key
    assert row["inference_time_ms"] > 0


def test_each_file_gets_a_line_of_json_in_order(room, photos):
    done = room.run("classify", "--json", *photos)
    assert done.returncode == 0
    assert [r["file"] for r in objects(done.stdout)] == list(map(str, photos))


@pytest.mark.parametrize("top_k", [1, 5, 1000])
def test_top_k_says_how_many_classes_are_printed(room, cat, top_k):
    for args in (["--top-k", str(top_k)], [f"--top-k={top_k}"]):
        done = room.run("classify", "--json", *args, cat)
        assert done.returncode == 0, done.stderr
        (row,) = objects(done.stdout)
        assert len(row["top_k_predictions"]) == top_k


@pytest.mark.parametrize("top_k", ["0", "-1", "abc", "1002", "1000000000", ""])
def test_a_top_k_that_cannot_be_is_refused(room, cat, top_k):
    done = room.run("classify", f"--top-k={top_k}", cat)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert top_k in done.stderr and re.search("top.k", done.stderr, re.I)


def test_flags_may_stand_behind_the_files(room, cat):
    done = room.run("classify", cat, "--json", "--top-k", "2")
    assert done.returncode == 0, done.stderr
    assert len(objects(done.stdout)[0]["top_k_predictions"]) == 2


def test_a_folder_is_walked(room, clothing):
    folder = process.DATA / "clothing"
    done = room.run("classify", "--json", folder)
    assert done.returncode in (0, 1), done.stderr
    found = {row["file"] for row in objects(done.stdout) if "classe" in row}
    assert found == set(map(str, clothing))


def test_standard_input_is_a_dash(room, cat):
    done = room.run("classify", "--json", "-", stdin=cat.read_bytes())
    assert done.returncode == 0, done.stderr
    (row,) = objects(done.stdout)
    (same,) = objects(room.run("classify", "--json", cat).stdout)
    assert row["file"] == "-"
    assert row["embedding"] == same["embedding"]


def test_a_bad_file_is_reported_and_the_rest_goes_on(room, photos):
    bad = room.work / "bad.jpg"
    bad.write_bytes(photos[0].read_bytes()[:2000])
    empty = room.work / "empty.jpg"
    empty.touch()
    done = room.run("classify", "--json", photos[0], bad, empty,
                    room.work / "none.jpg", photos[1])
    assert done.returncode == 1
    rows = objects(done.stdout)
    good = [row["file"] for row in rows if "classe" in row]
    assert good == [str(photos[0]), str(photos[1])]
    for name in ("bad.jpg", "empty.jpg", "none.jpg"):
        assert name in done.stderr + done.stdout
    text = room.run("classify", bad, photos[1])
    assert text.returncode == 1
    assert "bad.jpg" in text.stderr and photos[1].name in text.stdout


def test_nothing_to_classify_is_a_mistake(room):
    done = room.run("classify")
    assert done.returncode in (1, 2) and done.stderr


def test_an_empty_folder_is_said(room):
    done = room.run("classify", room.work)
    assert done.returncode == 1 and "no image" in done.stderr


@pytest.mark.parametrize("name", [
    "a b.jpg", "çã€.jpg", "-dash.jpg", "quote\".jpg", "back\\slash.jpg",
    "new\nline.jpg", "%n%s.jpg"])
def test_odd_file_names_survive(room, cat, name):
    shutil.copy(cat, room.work / name)
    done = room.run("classify", "--json", room.work / name)
    assert done.returncode == 0, done.stderr
    (row,) = objects(done.stdout)
    assert row["file"] == str(room.work / name)


def test_after_two_dashes_everything_is_a_file(room, cat):
    shutil.copy(cat, room.work / "--json")
    done = room.run("classify", "--", "--json")
    assert done.returncode == 0, done.stderr
    assert "%" in done.stdout


def test_a_name_that_is_no_utf_8_still_gives_clean_json(room, cat):
    path = os.fsencode(room.work) + b"/bad\xff.jpg"
    shutil.copy(os.fsencode(cat), path)
    done = subprocess.run([process.BIN, "classify", "--json", path],
                          capture_output=True, cwd=room.work,
                          env=room.environment(), timeout=process.PATIENCE_S)
    assert done.returncode in (0, 1)
    for line in done.stdout.decode("utf-8", "strict").splitlines():
        json.loads(line)


def test_a_closed_pipe_ends_it_quietly(room, photos):
    done = subprocess.run(
        ["sh", "-c", '"$0" classify --json "$@" | head -n 1', process.BIN,
         *photos], capture_output=True, cwd=room.work,
        env=room.environment(), timeout=process.PATIENCE_S)
    assert len(done.stdout.splitlines()) == 1
    assert b"Sanitizer" not in done.stderr


def test_a_full_output_is_a_failure(room, cat):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [process.BIN, "classify", "--json", cat], stdout=full,
            stderr=subprocess.PIPE, cwd=room.work, env=room.environment(),
            timeout=process.PATIENCE_S)
    assert done.returncode == 1


def test_the_limits_of_images_hold_here_too(room, cat):
    done = room.run("classify", cat, env={"IMAGE_SIDE_MAX": 100})
    assert done.returncode == 1
    assert "100" in done.stderr
    done = room.run("classify", cat, env={"MAX_IMAGE_SIZE_MB": "0.01"})
    assert done.returncode == 1 and "10485" in done.stderr
