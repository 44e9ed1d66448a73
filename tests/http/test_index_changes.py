# SPDX-License-Identifier: Apache-2.0
"""A service sees what the commands do to its index while it serves."""
import process

SIMILARITY = "/api/classify/similarity"


def change(room, command, *args):
    done = room.run("index", command, *args)
    assert done.returncode == 0, done.stderr


def found(server, vector):
    reply = server.post(SIMILARITY, json={"embedding": vector, "k": 100,
                                          "threshold": 0})
    assert reply.status_code == 200, reply.text
    return reply.json()["similar_items"]


def test_what_is_removed_compacted_and_added_is_seen(serve, room, clothing):
    change(room, "add", process.DATA / "clothing", "--label-from-folder")
    server = serve(room=room)
    vector = server.classify(clothing[0]).json()["embedding"]
    label = clothing[0].parent.name
    count = sum(photo.parent.name == label for photo in clothing)
    before = found(server, vector)
    assert len(before) == 50 and before[0]["nome"] == label
    change(room, "remove", "--where", f"label={label}")
    left = found(server, vector)
    assert len(left) == 50 - count
    assert label not in {item["nome"] for item in left}
    change(room, "compact")
    assert found(server, vector) == left
    change(room, "add", clothing[0], "--label", "again")
    again = found(server, vector)
    assert len(again) == 51 - count and again[0]["nome"] == "again"
    assert server.get("/api/model/status").json()["faiss_index_size"] == \
        51 - count


def test_an_image_that_moved_is_found_where_it_is(serve, room, clothing,
                                                  photos):
    change(room, "add", *clothing[:3])
    server = serve(room=room)
    vector = server.classify(photos[0]).json()["embedding"]
    for name in ("one.jpg", "two.jpg"):
        (room.work / name).write_bytes(photos[0].read_bytes())
        change(room, "add", room.work / name)
        assert found(server, vector)[0]["nome"] == name


def serve_three(serve, room, clothing, photos):
    """A service that has found three images, and what it looked for."""
    change(room, "add", *clothing[:3])
    server = serve(room=room)
    vector = server.classify(photos[0]).json()["embedding"]
    assert len(found(server, vector)) == 3
    return server, vector


def remove(room):
    for path in room.data.glob("index.olho*"):
        path.unlink()


def test_an_index_that_is_made_anew_with_another_metric_is_searched(
        serve, room, clothing, photos):
    server, vector = serve_three(serve, room, clothing, photos)
    remove(room)
    assert len(found(server, vector)) == 3
    change(room, "add", *clothing[:5], "--metric", "IP", "--type", "hnsw")
    assert len(found(server, vector)) == 5
    assert server.get("/api/model/status").json()["faiss_index_size"] == 5


def test_an_index_that_does_not_fit_is_named_until_it_does(
        serve, room, clothing, photos):
    server, vector = serve_three(serve, room, clothing, photos)
    kept = (room.data / "index.olho").read_bytes()
    remove(room)
    (room.work / "rows.jsonl").write_text('{"vector": [1, 2, 3]}\n')
    change(room, "add", room.work / "rows.jsonl", "--collection",
           room.data / "index.olho")
    reply = server.post(SIMILARITY, json={"embedding": vector, "k": 100,
                                          "threshold": 0})
    assert reply.status_code == 409
    assert "vectors of 3 floats; not 1280" in reply.text
    remove(room)
    (room.data / "index.olho").write_bytes(kept)
    assert len(found(server, vector)) == 3


def test_a_damaged_index_is_searched_as_soon_as_it_is_mended(
        serve, room, clothing, photos):
    server = serve(room=room)
    vector = server.classify(photos[0]).json()["embedding"]
    change(room, "add", *clothing[:3])
    path = room.data / "index.olho"
    whole = path.read_bytes()
    path.write_bytes(b"X" + whole[1:])
    for _ in range(3):
        reply = server.post(SIMILARITY, json={"embedding": vector, "k": 100,
                                              "threshold": 0})
        assert reply.status_code == 500, reply.text
    path.unlink()
    path.write_bytes(whole)
    assert len(found(server, vector)) == 3
