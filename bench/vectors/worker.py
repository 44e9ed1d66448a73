# SPDX-License-Identifier: Apache-2.0
"""One library of others as a competitor: a process that answers the same
commands as bench/vectors/driver.c, a line of JSON each.

    worker.py faiss|hnswlib|usearch ROWS.npy QUERIES.npy

What a call costs before the library gets to work is measured on an index of
one row and told as call_us, for bench/vectors/run to take off.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

K = 10
OVERHEAD_CALLS = 300

Ask = Callable[[int], "np.ndarray"]


def resident_kb(kind: str) -> int:
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(kind):
                return int(line.split()[1])
    return 0


class Faiss:
    def __init__(self, rows: np.ndarray) -> None:
        import faiss

        self.faiss = faiss
        self.dim = rows.shape[1]

    def build(self, kind: str, _variant: str, rows: np.ndarray, o: dict) -> None:
        faiss, inner = self.faiss, self.faiss.METRIC_INNER_PRODUCT
        faiss.omp_set_num_threads(o["threads"])
        if kind == "flat":
            self.index = faiss.IndexFlatIP(self.dim)
        elif kind == "ivfflat":
            self.coarse = faiss.IndexFlatIP(self.dim)
            lists = min(o["nlist"], len(rows))
            self.index = faiss.IndexIVFFlat(self.coarse, self.dim, lists, inner)
            if len(rows) > 1:
                self.index.train(rows)
            else:
                self.index.train(np.repeat(rows, 40, axis=0))
        else:
            self.index = faiss.IndexHNSWFlat(self.dim, o["links"], inner)
            self.index.hnsw.efConstruction = o["ef_construction"]
        self.index.add(rows)

    def asker(self, queries: np.ndarray, o: dict) -> Ask:
        """Calls the library itself, without the checks of its Python side."""
        self.faiss.omp_set_num_threads(1)
        if "nprobe" in o and hasattr(self.index, "nprobe"):
            self.index.nprobe = o["nprobe"]
        if "ef" in o and hasattr(self.index, "hnsw"):
            self.index.hnsw.efSearch = o["ef"]
        distances = np.empty((1, K), dtype=np.float32)
        ids = np.empty((1, K), dtype=np.int64)
        pointer = self.faiss.swig_ptr
        places = [pointer(queries[i]) for i in range(len(queries))]
        to = pointer(distances), pointer(ids)
        search = self.index.search_c

        def ask(number: int) -> np.ndarray:
            search(1, places[number], K, *to)
            return ids[0]

        return ask


class Hnswlib:
    def __init__(self, rows: np.ndarray) -> None:
        self.dim = rows.shape[1]

    def build(self, _kind: str, _variant: str, rows: np.ndarray, o: dict) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=self.dim)
        self.index.init_index(
            len(rows), ef_construction=o["ef_construction"], M=o["links"]
        )
        self.index.add_items(rows, num_threads=o["threads"])
        self.count = len(rows)

    def asker(self, queries: np.ndarray, o: dict) -> Ask:
        self.index.set_ef(max(o.get("ef", K), K))
        self.index.set_num_threads(1)
        search, k = self.index.knn_query, min(K, self.count)

        def ask(number: int) -> np.ndarray:
            return search(queries[number], k, num_threads=1)[0][0]

        return ask


class Usearch:
    def __init__(self, rows: np.ndarray) -> None:
        self.dim = rows.shape[1]

    def build(self, _kind: str, variant: str, rows: np.ndarray, o: dict) -> None:
        from usearch.index import Index

        self.index = Index(
            ndim=self.dim,
            metric="cos" if variant == "i8" else "ip",
            dtype=variant,
            connectivity=o["links"],
            expansion_add=o["ef_construction"],
        )
        keys = np.arange(len(rows), dtype=np.uint64)
        self.index.add(keys, rows, threads=o["threads"])

    def asker(self, queries: np.ndarray, o: dict) -> Ask:
        self.index.expansion_search = o.get("ef", K)
        search = self.index.search

        def ask(number: int) -> np.ndarray:
            return search(queries[number], K, threads=1).keys

        return ask


LIBRARIES = {"faiss": Faiss, "hnswlib": Hnswlib, "usearch": Usearch}


def options_of(words: list[str]) -> dict[str, int]:
    pairs = (word.split("=") for word in words if "=" in word)
    return {name: int(value) for name, value in pairs}


class Competitor:
    def __init__(self, library: str, rows_path: str, queries: str) -> None:
        self.rows = np.load(rows_path, mmap_mode="r")
        self.queries = np.ascontiguousarray(np.load(queries))
        self.product = LIBRARIES[library]
        self.tiny = self.product(self.rows)

    def build(self, words: list[str]) -> dict:
        kind, variant, o = words[1], words[2], options_of(words[3:])
        one = np.ascontiguousarray(self.rows[:1])
        self.tiny.build(kind, variant, one, o)
        self.main = None
        gc.collect()
        self.main = self.product(self.rows)
        # The file is in memory before its rows are counted on.
        self.rows[:: max(len(self.rows) // 1000, 1)].sum()
        anonymous = resident_kb("RssAnon")
        began = time.perf_counter()
        self.main.build(kind, variant, self.rows, o)
        seconds = time.perf_counter() - began
        gc.collect()
        return {
            "build_s": seconds,
            "memory_kb": resident_kb("RssAnon") - anonymous,
        }

    def overhead_us(self, o: dict) -> float:
        ask = self.tiny.asker(self.queries, o)
        times = []
        for i in range(OVERHEAD_CALLS):
            began = time.perf_counter_ns()
            ask(i % len(self.queries))
            times.append((time.perf_counter_ns() - began) / 1e3)
        return statistics.median(times)

    def search(self, words: list[str]) -> dict:
        o = options_of(words)
        count, threads = len(self.queries), o.get("threads", 1)
        calls = o.get("calls", count)
        overhead = self.overhead_us(o)
        times: list[list[float]] = [[] for _ in range(threads)]
        found: list[list[int]] = [[] for _ in range(count)]

        def run(thread: int) -> None:
            ask = self.main.asker(self.queries, o)
            begin = o.get("begin", 0) + count // threads * thread
            clock, out = time.perf_counter_ns, times[thread]
            for i in range(calls):
                number = (begin + i) % count
                began = clock()
                ids = ask(number)
                out.append((clock() - began) / 1e3)
                if "ids" in o and thread == 0:
                    found[number] = [int(x) for x in ids]

        others = [
            threading.Thread(target=run, args=(i,)) for i in range(1, threads)
        ]
        began = time.perf_counter()
        for other in others:
            other.start()
        run(0)
        for other in others:
            other.join()
        seconds = time.perf_counter() - began
        flat = [x for row in found for x in (row + [-1] * K)[:K]]
        return {
            "seconds": seconds,
            "us": [t for thread in times for t in thread],
            "ids": flat if "ids" in o else [],
            "call_us": overhead,
        }


def main() -> int:
    competitor = Competitor(*sys.argv[1:4])
    for line in sys.stdin:
        words = line.split()
        answer = competitor.build if words[0] == "build" else competitor.search
        print(json.dumps(answer(words)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
