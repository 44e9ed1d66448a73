# SPDX-License-Identifier: Apache-2.0
"""`olho index` on sets of vectors that no image stands behind: --collection,
.npy and JSON lines."""
import json
import signal
import subprocess

import numpy as np
import process
import pytest

DIM = 16


def vectors(count, seed=1):
    """Clustered, of unit length."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(10, DIM))
    rows = centres[rng.integers(10, size=count)]
    rows = rows + 0.3 * rng.normal(size=(count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4")


def line(vector, **more):
    return json.dumps({"vector": [float(x) for x in vector], **more})


def run(room, command, *args, code=0, **more):
    done = room.run("index", command, *args, "--collection", "set.olho",
                    **more)
    assert done.returncode == code, done
    return done


def info(room):
    return json.loads(run(room, "info", "--json").stdout)


def search(room, vector, *flags):
    done = run(room, "search", "--json", "--vector",
               json.dumps([float(x) for x in vector]), *flags)
    (row,) = map(json.loads, done.stdout.splitlines())
    return row


def ids(row):
    return [hit["id"] for hit in row["neighbours"]]


@pytest.fixture
def cats(room):
    """200 vectors, every third one a cat, the others dogs or birds."""
    rows = vectors(200)
    names = ("cat", "dog", "bird")
    text = "\n".join(line(row, key=f"k{i}", path=f"photos/{i}.jpg",
                          tags={"label": names[i % 3], "odd": str(i % 2)})
                     for i, row in enumerate(rows))
    done = run(room, "add", "-", stdin=text.encode())
    assert "200 added" in done.stdout and "200 in set.olho" in done.stdout
    return rows


def test_lines_come_back_as_they_went_in(room, cats):
    run(room, "export", "out.jsonl")
    lines = (room.work / "out.jsonl").read_text().splitlines()
    rows = [json.loads(text) for text in lines]
    assert [row["id"] for row in rows] == list(range(200))
    assert rows[4]["key"] == "k4" and rows[4]["path"] == "photos/4.jpg"
    assert rows[4]["tags"] == {"label": "dog", "odd": "0"}
    assert np.array_equal(np.array([row["vector"] for row in rows], "f4"),
                          cats)


def test_an_export_goes_into_another_set_whole(room, cats):
    run(room, "remove", "--id", "3")
    run(room, "export", "out.jsonl")
    done = room.run("index", "import", "out.jsonl", "--collection",
                    "copy.olho")
    assert done.returncode == 0, done.stderr
    assert "199 added; 199 in copy.olho" in done.stdout
    done = room.run("index", "export", "-", "--collection", "copy.olho")
    assert done.stdout == (room.work / "out.jsonl").read_text()


def test_a_search_finds_what_brute_force_finds(room, cats):
    query = vectors(1, seed=7)[0]
    gaps = ((cats - query) ** 2).sum(axis=1)
    row = search(room, query, "--k", 12)
    assert ids(row) == list(np.argsort(gaps, kind="stable")[:12])
    assert row["exact"] is True and row["metric"] == "L2"
    got = [hit["distance"] for hit in row["neighbours"]]
    assert np.allclose(got, np.sort(gaps)[:12], atol=1e-5)


@pytest.mark.parametrize("where, wanted", [
    (["label=cat"], lambda i: i % 3 == 0),
    (["label=cat,bird"], lambda i: i % 3 != 1),
    (["label!=cat"], lambda i: i % 3 != 0),
    (["label=cat", "odd!=1"], lambda i: i % 6 == 0),
    (["label=fish"], lambda i: False),
    (["colour!=red"], lambda i: True)])
def test_a_filter_lets_exactly_its_entries_through(room, cats, where, wanted):
    flags = [part for term in where for part in ("--where", term)]
    row = search(room, cats[0], "--k", 500, *flags)
    assert sorted(ids(row)) == [i for i in range(200) if wanted(i)]


def test_a_radius_leaves_out_what_is_farther(room, cats):
    gaps = ((cats - cats[5]) ** 2).sum(axis=1)
    row = search(room, cats[5], "--k", 200, "--radius", 0.25)
    assert sorted(ids(row)) == list(np.flatnonzero(gaps <= 0.25))


def test_the_metric_is_chosen_when_a_set_is_made(room):
    rows = vectors(50) * 3
    np.save(room.work / "rows.npy", rows)
    run(room, "add", "rows.npy", "--metric", "cosine")
    assert info(room)["metric"] == "cosine"
    row = search(room, rows[7] * 10, "--k", 1)
    assert ids(row) == [7]
    assert row["neighbours"][0]["distance"] == pytest.approx(1, abs=1e-5)
    done = run(room, "add", "rows.npy", "--metric", "L2", code=1)
    assert "L2" in done.stderr and "cosine" in done.stderr


def test_bad_lines_are_told_by_number_and_the_rest_goes_in(room):
    good = vectors(6)
    text = "\n".join([
        line(good[0]), "nonsense", line(good[1][:5]), line(good[2]),
        '{"path": "a.jpg"}', '{"vector": [1, "2"]}', "",
        line(good[3], colour="red"), line(good[4], tags={"label": 7}),
        '{"vector": [1e999]}', line(good[5]), line(good[0], id=-3)])
    done = run(room, "add", "-", stdin=text.encode(), code=1)
    assert "3 added, 8 failed; 3 in set.olho" in done.stdout
    numbers = [int(text.split("line ")[1].split(":")[0])
               for text in done.stderr.splitlines()]
    assert sorted(numbers) == [2, 3, 5, 6, 8, 9, 10, 12]
    assert '"colour"' in done.stderr and "5 values" in done.stderr
    assert info(room)["images"] == 3


def test_a_zero_vector_is_refused_with_cosine_alone(room):
    text = line(vectors(1)[0]) + "\n" + line([0] * DIM) + "\n"
    done = run(room, "add", "-", "--metric", "cosine", stdin=text.encode(),
               code=1)
    assert "line 2" in done.stderr and info(room)["images"] == 1
    done = room.run("index", "add", "-", "--collection", "l2.olho",
                    stdin=text.encode())
    assert done.returncode == 0, done.stderr


def test_what_is_there_already_is_replaced(room):
    rows = vectors(4)
    text = "\n".join(line(row, key=f"k{i}") for i, row in enumerate(rows))
    run(room, "add", "-", stdin=text.encode())
    text = (line(rows[3], key="k0", path="new.jpg") + "\n"
            + line(rows[1], key="k9") + "\n"
            + line(rows[2], key="k0", path="newest.jpg"))
    done = run(room, "add", "-", stdin=text.encode())
    assert "1 added, 2 updated; 5 in set.olho" in done.stdout
    found = search(room, rows[2], "--k", 5)["neighbours"]
    (entry,) = [hit for hit in found if hit.get("key") == "k0"]
    assert entry["path"] == "newest.jpg"
    assert entry["distance"] == pytest.approx(0, abs=1e-6)


def test_npy_and_names_make_paths_and_labels(room):
    np.save(room.work / "rows.npy", vectors(3))
    names = ["coins/50c/a.jpg", "b.jpg", ""]
    (room.work / "names.json").write_text(json.dumps(names))
    run(room, "add", "rows.npy", "--names", "names.json", "--tag",
        "source=scan", "--tag", "year=2024")
    run(room, "export", "out.jsonl")
    rows = [json.loads(text) for text
            in (room.work / "out.jsonl").read_text().splitlines()]
    assert [row["path"] for row in rows] == ["coins/50c/a.jpg", "b.jpg", "2"]
    assert rows[0]["tags"] == {"label": "50c", "source": "scan",
                               "year": "2024"}
    assert "label" not in rows[1]["tags"]


def test_a_set_goes_to_numpy_and_back(room, cats):
    run(room, "export", "out.npy", "--labels", "names.npy")
    assert np.array_equal(np.load(room.work / "out.npy"), cats)
    names = np.load(room.work / "names.npy")
    assert list(names) == [f"photos/{i}.jpg" for i in range(200)]
    done = room.run("index", "import", "out.npy", "--labels", "names.npy",
                    "--collection", "copy.olho")
    assert "200 added; 200 in copy.olho" in done.stdout, done


@pytest.mark.parametrize("flags, left", [
    (["--id", "7", "--id", "9", "--id", "1000"], 198),
    (["--key", "k1", "--key", "k2", "--key", "nobody"], 198),
    (["--where", "label=cat"], 133),
    (["--where", "label!=cat,dog"], 134),
    (["--where", "label=cat", "--id", "0", "--id", "1"], 199),
    (["photos/5.jpg"], 199),
    (["photos"], 0)])
def test_what_is_removed_is_found_no_more(room, cats, flags, left):
    done = run(room, "remove", "--dry-run", *flags)
    assert f"{200 - left} would go; 200 in set.olho" in done.stdout
    done = run(room, "remove", *flags)
    assert f"{200 - left} removed; {left} in set.olho" in done.stdout
    assert info(room)["images"] == left
    assert len(ids(search(room, cats[0], "--k", 500))) == left
    assert "0 removed" in run(room, "remove", *flags).stdout


def test_nothing_is_removed_by_mistake(room, cats):
    for flags in ([], [""], ["--id", "x"], ["--where", "label"],
                  ["--where", "=cat"]):
        run(room, "remove", *flags, code=2)
    assert info(room)["images"] == 200


def test_compacting_takes_removed_entries_out_of_the_file(room, cats):
    run(room, "remove", "--where", "label!=cat")
    before = info(room)
    assert before["removed"] == 133
    done = run(room, "compact")
    assert "133 taken out; 67 in set.olho" in done.stdout
    after = info(room)
    assert after["removed"] == 0 and after["images"] == 67
    assert after["bytes"] < before["bytes"]
    assert ids(search(room, cats[3], "--k", 1)) == [3]
    run(room, "check")


def test_check_reads_everything_and_names_damage(room, cats):
    assert "200 vectors of 16 values" in run(room, "check").stdout
    done = room.run("index", "check", "set.olho")
    assert done.returncode == 0 and "200 vectors" in done.stdout
    path = room.work / "set.olho"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = run(room, "check", code=1)
    assert "set.olho" in done.stderr


def test_info_tells_all_of_a_set(room, cats):
    got = info(room)
    assert got["backend"] == "olho" and got["index_type"] == "Flat"
    assert got["auto"] is True and got["exact"] is True
    assert got["dim"] == DIM and got["storage"] == "int8"
    text = run(room, "info").stdout
    for part in ("set.olho", "200", "exact", "Flat", "chosen by size"):
        assert part in text


@pytest.mark.parametrize("kind, name", [("hnsw", "HNSW"), ("ivf", "IVFFlat"),
                                        ("flat", "Flat")])
def test_each_type_finds_each_entry_itself(room, kind, name):
    rows = vectors(600)
    np.save(room.work / "rows.npy", rows)
    run(room, "add", "rows.npy", "--type", kind, "--links", 8,
        "--ef-construction", 50, "--threads", 1)
    got = info(room)
    assert got["index_type"] == name and got["pending"] == 0
    assert got["exact"] is (name == "Flat")
    np.save(room.work / "queries.npy", rows[::10])
    done = run(room, "search", "--json", "--vector", "queries.npy", "--k", 1)
    found = [ids(json.loads(text)) for text in done.stdout.splitlines()]
    right = sum(row == [10 * i] for i, row in enumerate(found))
    assert right >= 58
    row = search(room, rows[0], "--k", 10, "--exact")
    gaps = ((rows - rows[0]) ** 2).sum(axis=1)
    assert row["exact"] and ids(row) == list(np.argsort(gaps)[:10])


def test_a_search_prints_for_people_too(room, cats):
    done = run(room, "search", "--vector", json.dumps(cats[4].tolist()),
               "--k", 2)
    assert "exact" in done.stdout and "photos/4.jpg" in done.stdout
    assert "label=dog" in done.stdout


def test_vectors_of_another_length_are_refused_whole(room, cats):
    np.save(room.work / "rows.npy", np.ones((3, 5), "f4"))
    done = run(room, "add", "rows.npy", code=1)
    assert "5 values" in done.stderr and "16" in done.stderr
    done = run(room, "search", "--vector", "[1, 2]", code=2)
    assert "has 2 " in done.stderr and "16" in done.stderr
    assert info(room)["images"] == 200


def test_images_and_vectors_share_a_set(room, clothing):
    done = run(room, "add", *clothing[:3], "--label", "hat")
    assert "3 added; 3 in set.olho" in done.stdout
    row = json.loads(room.run("classify", "--json", clothing[5]).stdout)
    run(room, "add", "-", stdin=line(row["embedding"], path="five").encode())
    done = run(room, "search", "--json", "--k", 1, clothing[5])
    (found,) = map(json.loads, done.stdout.splitlines())
    assert found["neighbours"][0]["path"] == "five"
    done = run(room, "search", "--json", "--where", "label=hat", clothing[5])
    (found,) = map(json.loads, done.stdout.splitlines())
    assert len(found["neighbours"]) == 3


def test_an_image_is_removed_by_its_content_and_by_its_path(room, clothing):
    assert room.run("index", "add", *clothing[:4]).returncode == 0
    copy = room.work / "copy.jpg"
    copy.write_bytes(clothing[0].read_bytes())
    done = room.run("index", "remove", copy, clothing[1])
    assert done.returncode == 0 and "2 removed; 2 in" in done.stdout, done
    done = room.run("index", "remove", clothing[2].parent)
    assert done.returncode == 0, done.stderr
    names = [p.parent for p in clothing[2:4]]
    left = sum(name != clothing[2].parent for name in names)
    assert f"; {left} in" in done.stdout


@pytest.mark.parametrize("command", ["info", "check", "compact", "export",
                                     "remove", "search"])
def test_a_set_that_is_not_there_is_not_made(room, command):
    words = {"export": ["out.npy"], "remove": ["--id", "1"],
             "search": ["--vector", "[1]"]}.get(command, [])
    done = run(room, command, *words, code=1)
    assert "set.olho" in done.stderr
    assert list(room.work.iterdir()) == []


def test_a_collection_of_faiss_is_only_read(room):
    flat = process.DATA / "vectors" / "flat_l2.faiss"
    done = room.run("index", "info", "--json", "--collection", flat)
    assert json.loads(done.stdout)["images"] == 40, done
    done = room.run("index", "add", "-", "--collection", flat,
                    stdin=line([0] * 5).encode())
    assert done.returncode == 1 and "only read" in done.stderr
    done = room.run("index", "import", flat, "--collection", "set.olho")
    assert done.returncode == 0 and "40 added" in done.stdout, done


def test_an_interrupted_addition_keeps_what_it_said(room):
    """Ctrl-C ends it in order: what was taken is there, and goes on later."""
    child = subprocess.Popen(
        [process.BIN, "index", "add", "-", "--collection", "set.olho"],
        cwd=room.work, env=room.environment(), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    rows = vectors(2000)
    text = "".join(line(row, key=f"k{i}") + "\n"
                   for i, row in enumerate(rows)).encode()
    child.stdin.write(text)
    child.stdin.flush()
    process.until(lambda: (room.work / "set.olho").exists())
    child.send_signal(signal.SIGINT)
    child.stdin.close()
    assert child.wait(process.PATIENCE_S) in (0, 1)
    child.stdout.close()
    child.stderr.close()
    before = info(room)["images"]
    assert before <= 2000
    done = run(room, "add", "-", stdin=text)
    assert "2000 in set.olho" in done.stdout
    run(room, "check")
