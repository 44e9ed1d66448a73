# SPDX-License-Identifier: Apache-2.0
"""Index files between olho and FAISS, both ways, on the same queries."""
import json

import numpy as np
import pytest

import process

faiss = pytest.importorskip("faiss")
# Its threads wait busily, which beside another load takes minutes.
faiss.omp_set_num_threads(1)

DIM, COUNT, QUERIES, K = 48, 4000, 50, 10
METRICS = {"L2": faiss.METRIC_L2, "IP": faiss.METRIC_INNER_PRODUCT}


@pytest.fixture(scope="module")
def rows():
    """Clusters of unit length, from a fixed seed."""
    random = np.random.default_rng(20261121)
    centres = random.normal(size=(60, DIM))
    rows = centres[random.integers(60, size=COUNT + QUERIES)]
    rows = rows + 0.5 * random.normal(size=rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4")


@pytest.fixture(scope="module")
def base(rows):
    return rows[:COUNT]


@pytest.fixture(scope="module")
def queries(rows):
    return rows[COUNT:]


@pytest.fixture
def work(room, queries):
    np.save(room.work / "queries.npy", queries)
    return room


def write(room, index, name="from.faiss"):
    faiss.write_index(index, str(room.work / name))


def search(room, name, *flags, k=K):
    """Ids and distances by `olho index search`, and whether it was exact."""
    done = room.run("index", "search", name, "--json", "--vector",
                    "queries.npy", "--k", k, *flags)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["query"] for row in found] == list(range(QUERIES))
    ids = np.array([[hit["id"] for hit in row["neighbours"]]
                    for row in found])
    distances = np.array([[hit["distance"] for hit in row["neighbours"]]
                          for row in found], dtype="f4")
    return ids, distances, {row["exact"] for row in found}


def check_same(room, index, queries, *flags, exact=False, name="from.faiss"):
    wanted_distances, wanted = index.search(queries, K)
    ids, distances, was_exact = search(room, name, *flags)
    np.testing.assert_allclose(distances, wanted_distances, rtol=1e-5,
                               atol=1e-6)
    assert (ids == wanted).all()
    assert was_exact == {exact}


def recall(ids, wanted):
    return np.mean([len(set(a) & set(b)) / len(b)
                    for a, b in zip(ids, wanted)])


def brute_force(base, queries, metric):
    flat = faiss.IndexFlat(DIM, METRICS[metric])
    flat.add(base)
    return flat.search(queries, K)[1]


def build(room, source, target, *flags):
    # By one thread: what several build is a little different every time.
    done = room.run("index", "build", source, target, "--threads", 1, *flags)
    assert done.returncode == 0, done.stderr


# --- what FAISS wrote -------------------------------------------------------

@pytest.mark.parametrize("metric", METRICS)
def test_a_flat_index_of_faiss_finds_the_same(work, base, queries, metric):
    index = (faiss.IndexFlatL2 if metric == "L2" else faiss.IndexFlatIP)(DIM)
    index.add(base)
    write(work, index)
    check_same(work, index, queries, exact=True)


@pytest.mark.parametrize("wrap", [faiss.IndexIDMap, faiss.IndexIDMap2])
@pytest.mark.parametrize("recipe", ["Flat", "IVF32,Flat", "HNSW16,Flat"])
def test_ids_of_an_idmap_are_kept(work, base, queries, wrap, recipe):
    inner = faiss.index_factory(DIM, recipe)
    inner.train(base)
    index = wrap(inner)
    index.add_with_ids(base, np.arange(COUNT) * 7 - 1000)
    if "HNSW" in recipe:
        inner.hnsw.efSearch = 64
    write(work, index)
    check_same(work, index, queries, exact=recipe == "Flat")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("nprobe", [1, 5, 32])
def test_lists_of_faiss_find_the_same(work, base, queries, metric, nprobe):
    index = faiss.index_factory(DIM, "IVF32,Flat", METRICS[metric])
    index.train(base)
    index.add(base)
    index.nprobe = nprobe
    write(work, index)
    check_same(work, index, queries, exact=nprobe == 32)
    index.nprobe = 3
    check_same(work, index, queries, "--nprobe", "3")


@pytest.mark.parametrize("metric", METRICS)
def test_a_graph_of_faiss_finds_as_much_as_there(work, base, queries, metric):
    index = faiss.IndexHNSWFlat(DIM, 8, METRICS[metric])
    index.add(base)
    wanted = brute_force(base, queries, metric)
    for ef_search in (16, 64):
        index.hnsw.efSearch = ef_search
        write(work, index)
        ids, _, _ = search(work, "from.faiss")
        theirs = index.search(queries, K)[1]
        assert recall(ids, wanted) >= recall(theirs, wanted)


def test_a_search_of_lists_comes_out_full(work, base, queries):
    index = faiss.index_factory(DIM, "IVF256,Flat")
    index.train(base)
    index.add(base)
    index.nprobe = 1
    write(work, index)
    ids, _, _ = search(work, "from.faiss", k=300)
    assert ids.shape == (QUERIES, 300)
    assert (index.search(queries, 300)[1] == -1).any()


# --- what olho wrote --------------------------------------------------------

@pytest.mark.parametrize("metric", [*METRICS, "cosine"])
@pytest.mark.parametrize("kind", ["Flat", "IVFFlat", "HNSW"])
def test_faiss_reads_what_olho_built(work, base, queries, kind, metric):
    np.save(work.work / "rows.npy", base)
    build(work, "rows.npy", "ours.faiss", "--type", kind, "--metric", metric,
          "--nprobe", "8")
    index = faiss.read_index(str(work.work / "ours.faiss"))
    assert type(index).__name__.startswith(f"Index{kind}")
    assert index.ntotal == COUNT and index.is_trained
    if kind == "HNSW":
        # FAISS walks the same graph in another order of equal distances.
        wanted = brute_force(base, queries, "L2")
        assert recall(index.search(queries, K)[1], wanted) >= 0.99
        assert recall(search(work, "ours.faiss")[0], wanted) >= 0.99
    else:
        check_same(work, index, queries, name="ours.faiss",
                   exact=kind == "Flat")


def test_faiss_adds_to_a_graph_that_olho_built(work, base, queries):
    np.save(work.work / "rows.npy", base[:3000])
    build(work, "rows.npy", "ours.faiss", "--type", "HNSW")
    index = faiss.read_index(str(work.work / "ours.faiss"))
    index.add(base[3000:])
    wanted = brute_force(base, queries, "L2")
    assert recall(index.search(queries, K)[1], wanted) >= 0.98


@pytest.mark.parametrize("kind", ["IVFFlat", "HNSW"])
def test_another_type_keeps_the_ids(work, base, queries, kind):
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(DIM))
    index.add_with_ids(base, np.arange(COUNT) * 3 + 50)
    write(work, index)
    build(work, "from.faiss", "ours.faiss", "--type", kind, "--nprobe", "20")
    wanted = index.search(queries, K)[1]
    assert recall(search(work, "ours.faiss")[0], wanted) >= 0.97
    theirs = faiss.read_index(str(work.work / "ours.faiss"))
    assert recall(theirs.search(queries, K)[1], wanted) >= 0.97


def test_a_collection_goes_to_faiss_and_comes_back(room, clothing):
    assert room.run("index", "add", *clothing[:12]).returncode == 0
    done = room.run("index", "export", "out.faiss", "--labels", "labels.npy")
    assert done.returncode == 0, done.stderr
    index = faiss.read_index(str(room.work / "out.faiss"))
    names = np.load(room.work / "labels.npy")
    assert index.ntotal == len(names) == 12
    assert sorted(names) == sorted(str(path) for path in clothing[:12])
    other = process.Room(room.folder / "other")
    done = other.run("index", "import", room.work / "out.faiss", "--labels",
                     room.work / "labels.npy")
    assert done.returncode == 0, done.stderr
    row = json.loads(other.run("similar", "--json", clothing[3]).stdout)
    assert row["semelhantes"][0]["item"] == str(clothing[3])


# --- damage -----------------------------------------------------------------

@pytest.mark.parametrize("recipe", ["PCA8,Flat", "PQ8x4", "SQ8", "IVF8,PQ8x4",
                                    "LSH", "IVF8,SQ8"])
def test_other_indexes_are_refused_by_name(work, base, recipe):
    index = faiss.index_factory(DIM, recipe)
    index.train(base)
    index.add(base)
    write(work, index)
    done = work.run("index", "check", "from.faiss")
    assert done.returncode == 1
    assert "is not read" in done.stderr and "Index" in done.stderr


def test_a_cut_file_is_refused(work, base):
    index = faiss.index_factory(DIM, "IVF8,Flat")
    index.train(base)
    index.add(base)
    write(work, index)
    whole = (work.work / "from.faiss").read_bytes()
    for part in (3, 40, 1000, len(whole) // 2, len(whole) - 1):
        (work.work / "cut.faiss").write_bytes(whole[:part])
        done = work.run("index", "check", "cut.faiss")
        assert done.returncode == 1
        assert "cut.faiss" in done.stderr
