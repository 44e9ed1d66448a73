# SPDX-License-Identifier: Apache-2.0
"""POST /api/classify/batch."""
import pytest
from wire import check_error

PATH = "/api/classify/batch"


def send(server, images, field="images", **form):
    """images: (filename, bytes) rows."""
    return server.post(PATH, files=[(field, row) for row in images], data=form)


def rows_of(paths):
    return [(path.name, path.read_bytes()) for path in paths]


def test_each_image_gets_its_result_in_the_order_sent(server, photos):
    reply = send(server, rows_of(photos))
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body["total_time_ms"] > 0 and body["model_version"]
    results = body["results"]
    assert [r["image_id"] for r in results] == [
        str(i + 1) for i in range(len(photos))]
    assert [r["filename"] for r in results] == [p.name for p in photos]
    for photo, result in zip(photos, results):
        single = server.classify(photo).json()
        assert result["classe"] == single["classe"]
        assert result["confianca"] == pytest.approx(single["confianca"],
                                                    abs=1e-6)
        assert result["embedding"] == pytest.approx(single["embedding"],
                                                    abs=1e-6)


@pytest.mark.parametrize("field", ["images", "images[]", "image", "file"])
def test_the_parts_may_have_any_of_four_names(server, photos, field):
    reply = send(server, rows_of(photos[:2]), field)
    assert reply.status_code == 200, reply.text
    assert len(reply.json()["results"]) == 2


def test_one_bad_image_never_fails_the_others(server, photos):
    good = rows_of(photos[:2])
    reply = send(server, [good[0], ("bad.jpg", b"this is no image"), good[1],
                          ("short.jpg", good[0][1][:500]), ("none.jpg", b"")])
    assert reply.status_code == 200, reply.text
    results = reply.json()["results"]
    assert [r["image_id"] for r in results] == ["1", "2", "3", "4", "5"]
    assert ["erro" in r for r in results] == [False, True, False, True, True]
    for result in results:
        assert ("classe" in result) != ("erro" in result)
        if "erro" in result:
            assert "classe" not in result and "confianca" not in result
            assert len(result["erro"]) > 8


def test_top_k_in_a_batch_is_1_unless_asked(server, photos):
    for form, count in (({}, 1), ({"top_k": 4}, 4)):
        for result in send(server, rows_of(photos[:2]), **form).json()["results"]:
            if "top_k_predictions" in result:
                assert len(result["top_k_predictions"]) == count
                assert (result["top_k_predictions"][0]["classe"]
                        == result["classe"])
            else:
                assert count == 1
    check_error(send(server, rows_of(photos[:1]), top_k=0), 400, "top_k", 1001)


def test_embedding_0_leaves_the_vectors_out_of_a_batch(server, photos):
    reply = send(server, rows_of(photos[:2]), embedding=0)
    assert all("embedding" not in r for r in reply.json()["results"])


def test_32_images_are_a_batch_and_33_are_too_many(server, clothing):
    full = rows_of(clothing[:32])
    assert len(send(server, full).json()["results"]) == 32
    check_error(send(server, full + full[:1]), 413, 32)


def test_the_largest_batch_is_a_setting(serve, photos):
    server = serve({"BATCH_SIZE": 2})
    assert send(server, rows_of(photos[:2])).status_code == 200
    check_error(send(server, rows_of(photos[:3])), 413, 2)


def test_an_empty_batch_is_refused(server):
    check_error(server.post(PATH), 400)
    check_error(server.post(PATH, files={"other": ("a.jpg", b"x")}), 400,
                "images")
    check_error(server.post(PATH, files={"x": ("", "")}, data={"top_k": 1}),
                400)


def test_a_body_over_max_batch_size_is_refused(serve, photos):
    server = serve({"MAX_BATCH_SIZE_MB": 0.1})
    large = max(photos, key=lambda p: p.stat().st_size)
    assert large.stat().st_size > 120_000
    check_error(send(server, rows_of([large])), 413)


def test_one_part_over_max_image_size_is_refused_or_reported(serve, clothing):
    small, large = sorted(clothing, key=lambda p: p.stat().st_size)[::49]
    limit = (small.stat().st_size + large.stat().st_size) / 2 / (1 << 20)
    server = serve({"MAX_IMAGE_SIZE_MB": f"{limit:.6f}"})
    reply = send(server, rows_of([small, large]))
    if reply.status_code == 200:
        first, second = reply.json()["results"]
        assert "classe" in first and "erro" in second
    else:
        check_error(reply, 413)
