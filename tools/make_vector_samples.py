#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/vectors: small files of FAISS and numpy.

    python tools/make_vector_samples.py OUT

needs faiss-cpu==1.15.1 and numpy. Row i of every index is made from i alone
(sample_row in tests/unit/vector_samples.c makes the same), so that the tests
know what must be found.
"""
import pathlib
import pickle
import sys

import faiss
import numpy as np

DIM, COUNT = 5, 40


def rows(count=COUNT):
    i, j = np.mgrid[0:count, 0:DIM]
    return (((i * i * 7 + i * j * 11 + j * 13 + i) % 61 - 30) / 8).astype("f4")


def ids():
    return np.arange(COUNT) * 3 + 1000


def indexes():
    x = rows()
    for name, metric in (("l2", faiss.METRIC_L2),
                         ("ip", faiss.METRIC_INNER_PRODUCT)):
        flat = faiss.IndexFlatL2(DIM) if name == "l2" else faiss.IndexFlatIP(DIM)
        flat.add(x)
        yield f"flat_{name}", flat
        ivf = faiss.index_factory(DIM, "IVF4,Flat", metric)
        ivf.cp.min_points_per_centroid = 1
        ivf.train(x)
        ivf.add(x)
        ivf.nprobe = 2
        yield f"ivf_{name}", ivf
        hnsw = faiss.IndexHNSWFlat(DIM, 4, metric)
        hnsw.add(x)
        yield f"hnsw_{name}", hnsw
    plain = faiss.IndexFlat(DIM, faiss.METRIC_L2)
    plain.add(x)
    yield "flat_plain", plain
    for name, wrap in (("idmap", faiss.IndexIDMap),
                       ("idmap2", faiss.IndexIDMap2)):
        mapped = wrap(faiss.IndexFlatL2(DIM))
        mapped.add_with_ids(x, ids())
        yield name, mapped
    graph = faiss.IndexIDMap2(faiss.IndexHNSWFlat(DIM, 4))
    graph.add_with_ids(x, ids())
    yield "idmap_hnsw", graph
    lists = faiss.IndexIDMap(faiss.index_factory(DIM, "IVF4,Flat"))
    faiss.downcast_index(lists.index).cp.min_points_per_centroid = 1
    lists.train(x)
    lists.add_with_ids(x, ids())
    yield "idmap_ivf", lists
    sparse = faiss.index_factory(DIM, "IVF16,Flat")
    sparse.cp.min_points_per_centroid = 1
    sparse.train(x)
    sparse.add_with_ids(x[:3], ids()[:3])
    sparse.set_direct_map_type(faiss.DirectMap.Hashtable)
    yield "ivf_sparse", sparse
    over_graph = faiss.index_factory(DIM, "IVF4_HNSW4,Flat")
    over_graph.cp.min_points_per_centroid = 1
    over_graph.train(x)
    over_graph.add(x)
    yield "ivf_over_hnsw", over_graph
    yield "empty", faiss.IndexFlatL2(DIM)
    empty_graph = faiss.IndexHNSWFlat(DIM, 4)
    yield "hnsw_empty", empty_graph
    for name, recipe in (("refused_pca", "PCA2,Flat"), ("refused_sq8", "SQ8"),
                         ("refused_ivfsq8", "IVF2,SQ8")):
        refused = faiss.index_factory(DIM, recipe)
        refused.train(x)
        refused.add(x)
        yield name, refused
    manhattan = faiss.IndexFlat(DIM, faiss.METRIC_L1)
    manhattan.add(x)
    yield "refused_l1", manhattan
    yield "refused_untrained", faiss.index_factory(DIM, "IVF4,Flat")


def header(array, version=None):
    import io
    out = io.BytesIO()
    if version is None:
        np.save(out, array)
    else:
        np.lib.format.write_array(out, array, version=version)
    return out.getvalue()


def objects(array, protocol, modules=b""):
    """As numpy.save writes objects, with another protocol."""
    head = header(np.array([None] * array.size,
                           dtype=object).reshape(array.shape))
    head = head[:head.index(b"\n") + 1]
    body = pickle.dumps(array, protocol=protocol)
    if modules:
        old, new = b"numpy._core.multiarray", b"numpy.core.multiarray"
        body = body.replace(old + b"\n", new + b"\n")
        body = body.replace(bytes([len(old)]) + old, bytes([len(new)]) + new)
        # FRAME tells the length of what follows it, which is now shorter.
        if body[2:3] == b"\x95":
            body = body[:3] + (len(body) - 11).to_bytes(8, "little") + body[11:]
    return head + body


class Evil:
    def __reduce__(self):
        import os
        return os.system, ("touch executed",)


def arrays():
    x = rows(7)
    yield "f4", header(x)
    yield "f2", header(x.astype("f2"))
    yield "f8", header(x.astype("f8"))
    yield "f4_big", header(x.astype(">f4"))
    yield "f8_fortran", header(np.asfortranarray(x.astype("f8")))
    yield "f4_fortran", header(np.asfortranarray(x))
    yield "f4_row", header(x[0])
    yield "f4_v2", header(x, (2, 0))
    yield "f4_v3", header(x, (3, 0))
    yield "f4_none", header(x[:0])
    yield "i8", header(np.array([5, -7, 2**62, -1]))
    yield "i2_big", header(np.array([5, -7], dtype=">i2"))
    yield "u1", header(np.array([0, 255], dtype="u1"))
    names = ["maçã.jpg", "", "日本語/写真.png", "a b c", "𝔘𝔫𝔦"]
    yield "texts_u", header(np.array(names))
    yield "texts_u_big", header(np.array(names).astype(">U12"))
    yield "texts_s", header(np.array([n.encode() for n in names]))
    square = np.array([["a", "b", "c"], ["d", "e", "f"]])
    yield "texts_u_fortran", header(np.asfortranarray(square))
    obj = np.array(names[:1] + [None] + names[2:], dtype=object)
    for protocol in (2, 3, 4, 5):
        yield f"texts_o{protocol}", objects(obj, protocol)
    yield "texts_o_numpy1", objects(obj, 3, b"1")
    yield "texts_o4_numpy1", objects(obj, 4, b"1")
    yield "texts_o_fortran", objects(
        np.asfortranarray(square.astype(object)), 4)
    yield "texts_o_scalars", objects(
        np.array([np.str_("maçã"), np.str_("x")], dtype=object), 4)
    same = "twice"
    yield "texts_o_same", objects(np.array([same, same, "once"], dtype=object),
                                  4)
    yield "texts_o_many", objects(
        np.array([f"item {i}" for i in range(1200)], dtype=object), 4)
    yield "texts_o_long", objects(np.array(["x" * 300], dtype=object), 4)
    yield "texts_o_none", objects(np.array([], dtype=object), 4)
    yield "refused_evil", objects(np.array([Evil()], dtype=object), 4)
    yield "refused_evil2", objects(np.array([Evil()], dtype=object), 2)
    yield "refused_int", objects(np.array(["a", 5], dtype=object), 4)
    yield "refused_float", objects(np.array(["a", 5.5], dtype=object), 4)
    yield "refused_list", objects(
        np.array(["a", ["b"]], dtype=object), 4)
    yield "refused_dict", objects(np.array(["a", {}], dtype=object), 4)
    yield "refused_bytes", objects(np.array(["a", b"b"], dtype=object), 4)
    yield "refused_record", header(np.array([(1, 2.0)],
                                            dtype=[("a", "i4"), ("b", "f4")]))
    yield "refused_complex", header(np.array([[1j]]))


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    faiss.omp_set_num_threads(1)
    for name, index in indexes():
        faiss.write_index(index, str(out / f"{name}.faiss"))
    for name, data in arrays():
        (out / f"{name}.npy").write_bytes(data)


main()
