# SPDX-License-Identifier: Apache-2.0
"""What `avisos` says of an image, and what is classified of it."""
import io

import process
import pytest
import tiny_model
from PIL import Image
from wire import check_error

PHOTOS = process.DATA / "photos"
EXAMPLES = process.DATA / "adversarial"
# tests/data/quality/reference.txt has OpenCV's number of each photograph.
BLURRED = "clothing/dress/35f157d0-53e4-4496-b087-da4ad63edd47.jpg"
RED, GREEN, BLUE = (230, 20, 20), (20, 230, 20), (20, 20, 230)


def png(image):
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def opencv_blur(name):
    for line in (process.DATA / "quality" / "reference.txt").open():
        words = line.split()
        if words[:2] == ["photo", name]:
            return float(words[2])
    raise AssertionError(f"no {name} in the reference")


def warnings(reply):
    """avisos by check; each has what the contract names."""
    assert reply.status_code == 200, reply.text
    found = reply.json()["avisos"]
    for warning in found:
        assert set(warning) == {"check", "score", "limit", "message"}
        assert warning["message"]
    return {warning["check"]: warning for warning in found}


def test_a_sharp_photo_has_no_warning(server, cat):
    assert warnings(server.classify(cat)) == {}


def test_a_blurred_photo_has_the_number_of_opencv(server):
    blur = warnings(server.classify(process.DATA / BLURRED))["blur"]
    assert blur["score"] == pytest.approx(opencv_blur(BLURRED), rel=1e-5)
    assert blur["limit"] == 100


def test_a_large_blurred_photo_has_its_number_at_full_size(server):
    # 2800x2400 px are decoded at reduced scale for the network.
    smooth = Image.linear_gradient("L").resize((2800, 2400)).convert("RGB")
    jpeg = io.BytesIO()
    smooth.save(jpeg, "JPEG", quality=95)
    scanned = warnings(server.classify(jpeg.getvalue()))["blur"]
    kept = warnings(server.classify(png(Image.open(jpeg))))["blur"]
    assert scanned["score"] == pytest.approx(kept["score"], rel=1e-6)
    assert scanned["score"] < 100


def test_white_and_black_images_are_told(server):
    assert "bright" in warnings(server.classify(
        png(Image.new("RGB", (64, 64), "white"))))
    assert "dark" in warnings(server.classify(
        png(Image.new("RGB", (64, 64), "black"))))


def test_reject_answers_422_with_both_numbers(serve):
    server = serve({"QUALITY_MODE": "reject"})
    reply = server.classify(process.DATA / BLURRED)
    check_error(reply, 422, "blurred", "80.4", "100")
    assert server.classify(PHOTOS / "cat_720p.jpg").status_code == 200


def test_off_says_nothing(serve):
    server = serve({"QUALITY_MODE": "off", "SIZE_MIN": "1000"})
    assert warnings(server.classify(process.DATA / BLURRED)) == {}


def test_a_near_duplicate_names_the_first_request(serve, request_id):
    server = serve({"DUPLICATE_DISTANCE": "4", "SIZE_MIN": "800"})
    first = server.post("/api/classify",
                        data=(PHOTOS / "cat_1080p.jpg").read_bytes(),
                        headers={"Content-Type": "image/jpeg",
                                 "X-Request-Id": request_id})
    assert warnings(first) == {}
    again = warnings(server.classify(PHOTOS / "cat_720p.jpg"))
    assert set(again) == {"size", "duplicate"}
    assert request_id in again["duplicate"]["message"]
    assert again["size"]["score"] == 720


def test_an_image_that_is_only_searched_for_is_no_duplicate(serve):
    server = serve({"DUPLICATE_DISTANCE": "4", "QUALITY_MODE": "reject",
                    "BLUR_MIN": "0", "SIZE_MIN": "1"})
    photo = PHOTOS / "cat_720p.jpg"
    assert server.classify(photo).status_code == 200
    for _ in range(2):
        reply = server.classify(photo, path="/api/classify/similarity")
        assert reply.status_code == 200, reply.text
    assert "duplicate" not in server.log()


@pytest.fixture
def colours(tmp_path):
    """A model folder that names the mean colour of what it is shown."""
    folder = tmp_path / "colours"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(tiny_model.network())
    return folder


@pytest.mark.parametrize("transposed", [False, True])
def test_the_object_is_classified_and_not_what_is_around_it(
        serve, tmp_path, colours, transposed):
    detector = tmp_path / "detector.onnx"
    detector.write_bytes(tiny_model.detector(is_transposed=transposed))
    image = Image.new("RGB", (256, 256), BLUE)
    image.paste(RED, (128, 0, 192, 64))
    env = {"MODEL_PATH": colours, "BLUR_MIN": "0"}
    whole = serve(env).classify(png(image)).json()
    assert whole["classe_numerica"] == 2
    server = serve({**env, "DETECTOR_MODEL": detector})
    reply = server.classify(png(image))
    assert warnings(reply) == {}
    assert reply.json()["classe_numerica"] == 0
    nothing = warnings(server.classify(png(Image.new("RGB", (256, 256),
                                                     BLUE))))
    assert set(nothing) == {"object"}
    assert nothing["object"]["limit"] == 0.25


def test_a_detector_that_cannot_be_read_stops_the_start(room):
    for path in ("no_such_file.onnx", PHOTOS / "COPYRIGHT"):
        done = room.run("serve", env={"FLASK_PORT": "0",
                                      "DETECTOR_MODEL": path})
        assert done.returncode != 0
        assert str(path) in done.stderr


def test_the_central_crop_leaves_the_edge_out(serve, colours):
    # 100 px with an edge of 10: 36 parts green, 32 red and 32 blue.
    image = Image.new("RGB", (100, 100), GREEN)
    image.paste(RED, (10, 10, 90, 50))
    image.paste(BLUE, (10, 50, 90, 90))
    env = {"MODEL_PATH": colours, "BLUR_MIN": "0"}
    assert serve(env).classify(png(image)).json()["classe_numerica"] == 1
    cut = serve({**env, "CENTRAL_CROP": "1"}).classify(png(image)).json()
    assert cut["classe_numerica"] in (0, 2)


def test_attacked_images_are_told_from_real_ones(serve):
    server = serve({"ADVERSARIAL": "1", "BLUR_MIN": "0"})
    files = sorted(EXAMPLES.glob("*_[048].png"))
    assert len(files) == 12
    for file in files:
        found = warnings(server.classify(file))
        assert ("adversarial" in found) == (not file.stem.endswith("_0")), file
