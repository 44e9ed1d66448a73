# SPDX-License-Identifier: Apache-2.0
"""`olho index build|check|search|import|export`, without FAISS itself."""
import json

import numpy as np
import process
import pytest

VECTORS = process.DATA / "vectors"


def rows(count=40, dim=5):
    """As tools/make_vector_samples.py makes them."""
    i, j = np.mgrid[0:count, 0:dim]
    return (((i * i * 7 + i * j * 11 + j * 13 + i) % 61 - 30) / 8).astype("f4")


def search(room, name, queries, *flags):
    np.save(room.work / "queries.npy", queries)
    done = room.run("index", "search", name, "--json", "--vector",
                    "queries.npy", *flags)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def ids(found):
    return [[hit["id"] for hit in row["neighbours"]] for row in found]


def brute_force(queries, k):
    gaps = ((queries[:, None] - rows()[None]) ** 2).sum(axis=2)
    return np.sort(gaps, axis=1)[:, :k]


def test_check_says_what_is_in_files(room):
    done = room.run("index", "check", "--json", VECTORS / "hnsw_ip.faiss",
                    VECTORS / "idmap.faiss", VECTORS / "f4.npy")
    assert done.returncode == 0, done.stderr
    graph, mapped, plain = map(json.loads, done.stdout.splitlines())
    assert (graph["index_type"], graph["metric"]) == ("HNSW", "IP")
    assert mapped["own_ids"] and not graph["own_ids"]
    assert (plain["vectors"], plain["dim"], plain["exact"]) == (7, 5, True)


def test_check_goes_on_after_a_bad_file(room):
    done = room.run("index", "check", VECTORS / "refused_pca.faiss",
                    VECTORS / "flat_l2.faiss", "absent.faiss")
    assert done.returncode == 1
    assert "IndexPreTransform" in done.stderr and "absent" in done.stderr
    assert "40 vectors of 5 values, L2, Flat" in done.stdout


@pytest.mark.parametrize("name", ["flat_l2", "flat_plain", "ivf_l2", "hnsw_l2"])
def test_an_exact_search_finds_what_brute_force_finds(room, name):
    queries = rows(60)[40:]
    found = search(room, VECTORS / f"{name}.faiss", queries, "--k", 6,
                   "--exact")
    distances = [[hit["distance"] for hit in row["neighbours"]]
                 for row in found]
    assert all(row["exact"] for row in found)
    assert np.allclose(distances, brute_force(queries, 6), rtol=1e-5)


@pytest.mark.parametrize("kind", ["Flat", "IVFFlat", "HNSW"])
def test_a_built_file_finds_each_row_itself(room, kind):
    np.save(room.work / "rows.npy", rows())
    done = room.run("index", "build", "rows.npy", "made.faiss", "--type", kind,
                    "--nlist", 4, "--nprobe", 2, "--links", 6, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert kind in done.stdout
    found = search(room, "made.faiss", rows(), "--k", 1)
    assert ids(found) == [[i] for i in range(40)]


def test_ids_go_through_every_type(room):
    for kind in ("HNSW", "IVFFlat", "Flat"):
        done = room.run("index", "build", VECTORS / "idmap.faiss",
                        "made.faiss", "--type", kind, "--threads", 1)
        assert done.returncode == 0, done.stderr
        assert "ids of its own" in done.stdout
        found = search(room, "made.faiss", rows(3), "--k", 1)
        assert ids(found) == [[1000], [1003], [1006]]


@pytest.mark.parametrize("flags, part", [
    (["--type", "pq"], "'pq'"),
    (["--metric", "l7"], "'l7'"),
    (["--nlist", "0"], "--nlist is '0'"),
    (["--links", "many"], "--links is 'many'"),
    (["--threads", "100000"], "1..256"),
])
def test_bad_flags_are_named(room, flags, part):
    done = room.run("index", "build", VECTORS / "flat_l2.faiss", "out.faiss",
                    *flags)
    assert done.returncode == 2
    assert part in done.stderr
    assert not (room.work / "out.faiss").exists()


def test_queries_of_another_length_are_refused(room):
    np.save(room.work / "queries.npy", rows(2, 4))
    done = room.run("index", "search", VECTORS / "flat_l2.faiss", "--vector",
                    "queries.npy")
    assert done.returncode == 2
    assert "the query has 4 values; the index has 5" in done.stderr


def test_a_full_disk_leaves_no_file(room):
    done = room.run("index", "build", VECTORS / "flat_l2.faiss",
                    "/dev/full/out.faiss")
    assert done.returncode == 1
    assert "/dev/full" in done.stderr


def vectors_of(room, photos):
    done = room.run("classify", "--json", *photos)
    return np.array([json.loads(line)["embedding"]
                     for line in done.stdout.splitlines()], dtype="f4")


def test_the_index_goes_to_npy_and_json(room, clothing):
    assert room.run("index", "add", *clothing[:5]).returncode == 0
    done = room.run("index", "export", "out.npy", "--labels", "names.json")
    assert done.returncode == 0, done.stderr
    names = json.loads((room.work / "names.json").read_text())
    assert names == [str(path) for path in clothing[:5]]
    got = np.load(room.work / "out.npy")
    assert np.allclose(got, vectors_of(room, clothing[:5]), atol=1e-5)


def test_vectors_and_names_are_taken_in(room, clothing):
    vectors = vectors_of(room, clothing[:4])
    np.save(room.work / "rows.npy", vectors)
    names = np.array([f"coins/{i}c/é{i}.jpg" for i in range(4)], dtype=object)
    np.save(room.work / "labels.npy", names, allow_pickle=True)
    done = room.run("index", "import", "rows.npy", "--labels", "labels.npy")
    assert done.returncode == 0, done.stderr
    assert "4 added; 4 in" in done.stdout
    done = room.run("similar", "--json", "--k", 1, clothing[2])
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert row["semelhantes"][0]["item"] == "coins/2c/é2.jpg"
    assert row["semelhantes"][0]["nome"] == "2c"


def test_what_does_not_fit_is_not_taken_in(room):
    done = room.run("index", "import", VECTORS / "flat_l2.faiss")
    assert done.returncode == 1
    assert "vectors of 5 values" in done.stderr
    (room.work / "names.json").write_text('["one"]')
    done = room.run("index", "import", VECTORS / "flat_l2.faiss", "--labels",
                    "names.json")
    assert done.returncode == 2
    assert "1 names for 40 vectors" in done.stderr
