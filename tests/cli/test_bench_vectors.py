# SPDX-License-Identifier: Apache-2.0
"""`olho bench vectors`: what it says, draws, refuses and leaves behind."""
import json
import signal
import subprocess
import xml.etree.ElementTree

import numpy as np
import process
import pytest

SMALL = ("--rows", 1500, "--dim", 24, "--queries", 20)


def bench(room, *args, code=0):
    done = room.run("bench", "vectors", *args)
    assert done.returncode == code, done
    return done


def figures(room, *args):
    return json.loads(bench(room, "--json", *args).stdout)


def test_the_figures_are_complete_and_exact_search_is_right(room):
    got = figures(room, *SMALL, "--type", "flat")
    assert (got["rows"], got["dim"], got["k"]) == (1500, 24, 5)
    assert got["metric"] == "cosine" and got["clusters"] == 37
    (store,) = got["stores"]
    assert store["backend"] == "olho" and store["index_type"] == "Flat"
    assert store["single_rows"] == 100 and store["batch_rows"] == 1400
    assert store["exact"] is True and store["recall"] == 1
    for name in ("single_seconds", "batch_seconds", "index_seconds",
                 "search_mean_ms", "search_p50_ms", "batch_cpu_seconds"):
        assert store[name] >= 0
    assert (store["search_p50_ms"] <= store["search_p95_ms"]
            <= store["search_p99_ms"])


def test_nothing_is_left_behind(room):
    bench(room, *SMALL)
    for folder in (room.tmp, room.home, room.data, room.work):
        assert list(folder.iterdir()) == []


def test_stores_stand_side_by_side_and_go_again(room):
    done = bench(room, *SMALL, "--store", "a.olho", "--store", "b.olho",
                 "--type", "hnsw")
    for part in ("a.olho", "b.olho", "HNSW", "rows/s", "recall",
                 "added one by one", "1 500 vectors of 24 values"):
        assert part in done.stdout
    assert list(room.work.iterdir()) == []


def test_what_is_kept_is_a_set(room):
    bench(room, *SMALL, "--store", "a.olho", "--keep")
    done = room.run("index", "info", "--json", "--collection", "a.olho")
    assert json.loads(done.stdout)["images"] == 1500


def test_a_store_with_entries_is_not_touched_unless_forced(room):
    np.save(room.work / "rows.npy", np.eye(24, dtype="f4"))
    made = room.run("index", "add", "rows.npy", "--collection", "mine.olho",
                    "--metric", "cosine")
    assert made.returncode == 0, made.stderr
    done = bench(room, *SMALL, "--store", "mine.olho", code=1)
    assert "mine.olho holds 24 entries" in done.stderr
    done = bench(room, *SMALL, "--store", "mine.olho", "--force", "--storage",
                 "float16", code=1)
    assert "would change it for good" in done.stderr
    bench(room, *SMALL, "--store", "mine.olho", "--force")
    done = room.run("index", "export", "out.npy", "--collection", "mine.olho")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(room.work / "out.npy"), np.eye(24))


def test_embeddings_and_names_are_taken_from_files(room):
    rng = np.random.default_rng(3)
    np.save(room.work / "x.npy", rng.normal(size=(250, 12)).astype("f4"))
    names = [f"person {i % 9}" for i in range(250)]
    (room.work / "x.json").write_text(json.dumps(names))
    got = figures(room, "--embeddings", "x.npy", "--names", "x.json",
                  "--store", "a.olho", "--keep", "--k", 3)
    assert (got["rows"], got["dim"], got["clusters"]) == (250, 12, 0)
    assert got["stores"][0]["recall"] == 1
    done = room.run("index", "export", "-", "--collection", "a.olho")
    first = json.loads(done.stdout.splitlines()[0])
    assert first["tags"] == {"label": "person 0"}


@pytest.mark.parametrize("rows", [1, 99, 100, 101])
def test_few_rows_are_measured_too(room, rows):
    got = figures(room, "--rows", rows, "--dim", 8)
    assert got["stores"][0]["recall"] == 1
    assert got["k"] == min(5, rows)


def test_the_picture_is_whole_and_names_every_store(room):
    bench(room, *SMALL, "--store", "a & b.olho", "--store", "c.olho", "--svg",
          "out.svg")
    root = xml.etree.ElementTree.parse(room.work / "out.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    texts = [node.text for node in root.iter(space + "text")]
    assert any(text.startswith("a & b.olho") for text in texts)
    assert any(text.startswith("c.olho") for text in texts)
    assert "Added in batches of 1000" in texts
    width, height = float(root.get("width")), float(root.get("height"))
    for node in root.iter(space + "rect"):
        right = float(node.get("x", 0)) + float(node.get("width"))
        below = float(node.get("y", 0)) + float(node.get("height"))
        assert right <= width and below <= height


@pytest.mark.parametrize("flags, part", [
    (["--rows", "0"], "--rows"), (["--k", "x"], "--k"),
    (["--names", "x.json"], "--embeddings"), (["--store", ""], "--store"),
    (["--metric", "l7"], "l7"),
    (["--server-pid", str(1 << 29)], "no such process")])
def test_wrong_flags_are_named(room, flags, part):
    assert part in bench(room, *flags, code=2).stderr


def test_an_interrupted_measurement_leaves_nothing(room):
    child = subprocess.Popen(
        [process.BIN, "bench", "vectors", "--rows", "200000", "--dim", "256"],
        cwd=room.work, env=room.environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    process.until(lambda: list(room.tmp.iterdir()))
    child.send_signal(signal.SIGINT)
    assert child.wait(process.PATIENCE_S) == 1
    assert list(room.tmp.iterdir()) == []
