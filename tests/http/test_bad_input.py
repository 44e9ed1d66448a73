# SPDX-License-Identifier: Apache-2.0
"""Bad input: each gets its status and a message with value and limit, and the
server goes on: it answers, its memory returns, no file stays open."""
import contextlib
import io
import os
import random
import resource
import struct
import threading
import zipfile
import zlib

import process
import pytest
from PIL import Image
from wire import Wire, check_error, form

CLASSIFY = "/api/classify"
GROWTH_MAX = (400 if process.is_sanitized() else 24) << 20


@pytest.fixture(autouse=True)
def still_serves(server, cat):
    yield
    assert server.process.poll() is None, server.log()
    reply = server.classify(cat, top_k=1, embedding=0)
    assert reply.status_code == 200, reply.text


def settled_fd_count(server, cat):
    """Its open files once those of the database are open, which stay so."""
    assert server.classify(cat).status_code == 200
    written = 'olho_store_rows_total{outcome="written"}'
    process.until(lambda: server.metric(written) > 0)
    return server.fd_count()


def is_served(server, cat):
    """Whether a request gets through, on a connection of its own."""
    try:
        reply = server.post(CLASSIFY, data=cat.read_bytes(), headers={
            "Content-Type": "image/jpeg", "Connection": "close"})
    except OSError:
        return False
    return reply.status_code == 200


def encode(form, size=(300, 200), **more):
    out = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(out, form, **more)
    return out.getvalue()


def png_chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data)))


def deflated_zeros(length):
    """A zlib stream of that many zeros. A block that ends in a full flush may
    be repeated as it is; the Adler-32 of n zeros is n << 16 | 1."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, wbits=-15)
    last = packer.compress(bytes(length % (1 << 20))) + packer.flush()
    return (b"\x78\xda" + block * (length >> 20) + last
            + struct.pack(">I", length % 65521 << 16 | 1))


def png_bomb(side):
    """A PNG of side x side px, 1 bit each, all of it really there."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = deflated_zeros(side * ((side + 7) // 8 + 1))
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
            + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b""))


def zip_of_junk():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("photo.jpg", random.Random(1).randbytes(5000))
    return out.getvalue()


@pytest.mark.parametrize("kind", [
    None, "image/jpeg", "application/json", "text/plain",
    "multipart/form-data; boundary=b0undary", "multipart/form-data",
    "application/x-www-form-urlencoded"])
def test_an_empty_body_is_refused(server, kind):
    with Wire(server) as wire:
        wire.request("POST", CLASSIFY, [f"Content-Type: {kind}"] if kind else [])
        check_error(wire.read(), (400, 415))


def test_a_form_without_a_file_is_refused(server):
    head, body = form([(b'name="top_k"', None, b"3")])
    with Wire(server) as wire:
        wire.request("POST", CLASSIFY, [head], body)
        check_error(wire.read(), 400, "image", "file")


def test_a_file_in_the_wrong_field_is_refused(server, cat):
    check_error(server.classify(cat, field="foto"), 400, "image", "file")


def test_an_empty_file_is_refused(server):
    check_error(server.classify(b""), 400)


@pytest.mark.parametrize("data", [
    b"this is plain text, not an image", b"\0" * 1000, b"\xff\xd8", b"GIF8",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4\n", b"B", b"BM",
    zip_of_junk(), random.Random(2).randbytes(100_000)])
def test_what_is_no_image_is_refused(server, data):
    text = check_error(server.classify(data), (415, 422))
    assert "\\x" not in text


def test_text_as_an_image_names_the_formats_we_read(server):
    check_error(server.classify(b"text " * 100), 415, "JPEG", "PNG")


@pytest.mark.parametrize("form_name", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_image_is_refused(server, form_name, share):
    data = encode(form_name)
    check_error(server.classify(data[:int(len(data) * share)]), (415, 422))


@pytest.mark.parametrize("form_name", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_an_image_with_flipped_bytes_never_stops_the_server(server, form_name):
    chance = random.Random(3)
    data = encode(form_name, (64, 64))
    for _ in range(30):
        bad = bytearray(data)
        for _ in range(4):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        reply = server.classify(bytes(bad), top_k=1, embedding=0)
        assert reply.status_code in (200, 415, 422), reply.text
        if reply.status_code != 200:
            check_error(reply, (415, 422))


def test_a_decompression_bomb_is_refused_unopened(server):
    bomb = png_bomb(60000)
    assert len(bomb) < 2 << 20
    before = server.rss()
    check_error(server.classify(bomb), 422, "60000x60000", 16384)
    assert server.rss() - before < GROWTH_MAX


def test_a_bomb_within_the_sides_meets_the_limit_of_pixels(server):
    before = server.rss()
    check_error(server.classify(png_bomb(16300)), 422, "16300x16300", 64)
    assert server.rss() - before < GROWTH_MAX


@pytest.mark.parametrize("size", [(1, 1), (15, 16), (16, 15), (3, 2),
                                  (4000, 8)])
def test_an_image_with_too_short_a_side_is_refused(server, size):
    for name in ("PNG", "JPEG"):
        check_error(server.classify(encode(name, size)), 422,
                    f"{size[0]}x{size[1]}", 16, 16384)


def test_the_smallest_image_allowed_is_classified(server):
    assert server.classify(encode("PNG", (16, 16))).status_code == 200


def test_an_image_with_too_long_a_side_is_refused(server):
    check_error(server.classify(encode("PNG", (16385, 16))), 422, "16385x16",
                16384)


@pytest.mark.parametrize("exif", [
    b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08",
    b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 40,
    b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0",
    b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff\6\0\0\0",
    b"Exif\0\0" + random.Random(4).randbytes(5000)])
def test_broken_exif_is_ignored(server, exif):
    plain = encode("JPEG")
    # After SOI and APP0 of JFIF: an APP1 segment.
    at = 4 + struct.unpack(">H", plain[4:6])[0]
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    reply = server.classify(plain[:at] + segment + plain[at:])
    assert reply.status_code == 200, reply.text


def test_eleven_megabytes_are_refused_and_the_limit_is_named(server, cat):
    data = cat.read_bytes().ljust(11 << 20, b"\0")
    for path, more in ((CLASSIFY, {"files": {"image": ("a.jpg", data)}}),
                       (CLASSIFY, {"data": data, "headers": {
                           "Content-Type": "image/jpeg"}})):
        try:
            reply = server.post(path, **more)
        except OSError:
            continue  # the server closed while we were still sending
        check_error(reply, 413, 10)
    head, body = form([(b'name="image"; filename="a"', None, data)])
    with Wire(server) as wire:  # only the header is sent: always an answer
        wire.send(f"POST {CLASSIFY} HTTP/1.1\r\nHost: a\r\n{head}\r\n"
                  f"Content-Length: {len(body)}\r\n\r\n")
        check_error(wire.read(), 413, 10)


def test_just_under_ten_megabytes_are_read(server, cat):
    data = cat.read_bytes().ljust((10 << 20) - 100, b"\0")
    reply = server.classify(data)
    assert reply.status_code in (200, 422)


@pytest.mark.parametrize("top_k", ["1\0", "9" * 5000],
                         ids=["NUL", "5000 digits"])
def test_a_strange_field_is_no_absent_field(server, cat, top_k):
    check_error(server.classify(cat, top_k=top_k), 400, "top_k", 1001)


@pytest.mark.parametrize("top_k", ["0", "-1", "1000000000", "abc", "1002", "",
                                   "1.5", "3x", " 3", "0x3", "9" * 40,
                                   "١"])
def test_top_k_outside_1_to_the_classes_is_refused(server, cat, top_k):
    check_error(server.classify(cat, top_k=top_k), 400, "top_k", 1001)
    reply = server.post(CLASSIFY, params={"top_k": top_k},
                        data=cat.read_bytes(),
                        headers={"Content-Type": "image/jpeg"})
    text = check_error(reply, 400, "top_k", 1001)
    assert top_k[:10] in text


@pytest.mark.parametrize("path", [CLASSIFY, "/api/classify/similarity"])
@pytest.mark.parametrize("body", [
    b"[" * 100_000, b'{"a":' * 50_000, b"[" * 65 + b"]" * 65,
    b'{"image_path": "a", "image_path": "b"}',
    b'{"embedding": [1], "embedding": [2]}', b"{", b"", b"nul", b"{} {}",
    b'{"image_path": "\xff\xfe"}', b'{"image_path": "a\\u0000b"}', b"\xef\xbb",
    b'{"k": NaN}', b'"' + b"a" * 1000, b"\0", b'{"a": 1e99999}'])
def test_bad_json_is_refused(server, path, body):
    reply = server.post(path, data=body,
                        headers={"Content-Type": "application/json"})
    check_error(reply, (400, 404, 501) if b"u0000" in body else 400)


def test_json_over_its_limit_is_refused(server):
    body = b'{"embedding": [' + b"0.1," * 400_000 + b"0]}"
    reply = server.post("/api/classify/similarity", data=body,
                        headers={"Content-Type": "application/json"})
    check_error(reply, (400, 413))


@pytest.mark.parametrize("disposition", [
    b'name="\xff\xfe"; filename="a.jpg"', b'name="image"; filename="\xff\xfe"',
    b'name="image"; filename="caf\xc3\xa9.jpg"',
    b'name="image"; filename="\xc3"', b'name="image\x00"; filename="a"',
    b'filename="a.jpg"', b'name=image; filename=a.jpg', b'name="', b"",
    b'name="image"; filename="' + b"x" * 9000 + b'"',
    b'name="image"; filename="../../etc/passwd"'])
def test_odd_names_of_parts_give_an_answer_in_clean_utf_8(server, cat,
                                                          disposition):
    head, body = form([(disposition, None, cat.read_bytes())])
    for path in (CLASSIFY, "/api/classify/batch"):
        with Wire(server) as wire:
            wire.request("POST", path, [head], body)
            reply = wire.read()
        text = reply.body.decode("utf-8", "strict")
        if reply.status == 200:
            assert b"image" in disposition
            assert "\0" not in text
        else:
            check_error(reply, (400, 413, 431))


@pytest.mark.parametrize("body", [
    b"", b"--b0undary", b"--b0undary--", b"--b0undary\r\n",
    b"--b0undary\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nabc",
    b"no boundary at all", b"--b0undary\r\n" * 1000,
    b"--b0undary\r\n" + b"X: " + b"y" * 70000 + b"\r\n\r\n\r\n--b0undary--"])
def test_a_broken_form_is_refused(server, body):
    with Wire(server) as wire:
        wire.request("POST", CLASSIFY,
                     ["Content-Type: multipart/form-data; boundary=b0undary"],
                     body)
        check_error(wire.read(), (400, 413, 431))


def test_more_parts_than_allowed_are_refused(server):
    head, body = form([(b'name="f%d"' % i, None, b"x") for i in range(2000)])
    with Wire(server) as wire:
        wire.request("POST", CLASSIFY, [head], body)
        check_error(wire.read(), (400, 413), 256)


def test_a_body_where_none_belongs_does_no_harm(server):
    with Wire(server) as wire:
        wire.request("GET", "/health", [], b"x" * 1000)
        assert wire.file.readline().split()[1] in (b"200", b"400", b"413")


def test_slow_clients_are_cut_off_and_nobody_waits_for_them(serve, cat):
    server = serve({"RECEIVE_TIMEOUT": 0.6, "IDLE_TIMEOUT": 0.6})
    # One that is kept may be closed just when it is used again.
    server.session.headers["Connection"] = "close"
    head = f"POST {CLASSIFY} HTTP/1.1\r\nHost: a\r\n"
    body = head + "Content-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n"
    slow = [Wire(server) for _ in range(40)]
    stop = threading.Event()

    def drip():
        """A byte every 50 ms on each connection, as slow loris does."""
        for wire, text in zip(slow, [head, body] * 20):
            with contextlib.suppress(OSError):
                wire.send(text)
        while not stop.wait(0.05):
            for wire in slow:
                with contextlib.suppress(OSError):
                    wire.send("x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        # We, too, may be too slow for this server now and then.
        process.until(lambda: is_served(server, cat))
        process.until(lambda: server.metric("olho_http_connections") <= 3)
        process.until(lambda: is_served(server, cat))
    finally:
        stop.set()
        thread.join()
        for wire in slow:
            wire.close()


@pytest.mark.parametrize("sent", [0, 10, 1000, 50_000])
def test_half_a_request_and_a_reset_leave_nothing(server, cat, sent):
    before = settled_fd_count(server, cat)
    data = cat.read_bytes()
    for _ in range(20):
        wire = Wire(server)
        wire.send(f"POST {CLASSIFY} HTTP/1.1\r\nHost: a\r\nContent-Type: "
                  f"image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n")
        wire.send(data[:sent])
        wire.reset()
    process.until(lambda: server.fd_count() <= before + 1)
    process.until(lambda: server.metric("olho_upload_bytes") == 0)


def test_a_reset_while_the_answer_is_made_leaves_nothing(server, cat):
    before = settled_fd_count(server, cat)
    head, body = form([(b'name="image"; filename="a"', None,
                        cat.read_bytes())])
    for _ in range(20):
        wire = Wire(server)
        wire.request("POST", CLASSIFY, [head], body)
        wire.reset()
    process.until(lambda: server.fd_count() <= before + 1)
    process.until(lambda: server.metric("olho_upload_bytes") == 0)


def test_a_thousand_connections_are_held_and_let_go(serve, cat):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip(f"only {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    server = serve()
    before = settled_fd_count(server, cat)
    wires = []
    try:
        for _ in range(1000):
            wires.append(Wire(server))
        assert server.classify(cat).status_code == 200
        for wire in wires[::100]:
            wire.request("GET", "/health/live")
            assert wire.read().status == 200
        process.until(lambda: server.fd_count() >= 1000)
    finally:
        for wire in wires:
            wire.close()
    process.until(lambda: server.fd_count() <= before + 2)
    assert server.classify(cat).status_code == 200


def test_connections_over_the_limit_are_turned_away(serve, cat):
    server = serve({"CONNECTIONS_MAX": 20})
    wires = [Wire(server) for _ in range(60)]
    try:
        for wire in wires:
            with contextlib.suppress(OSError):
                wire.send("GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wires[0].file.readline().startswith(b"HTTP/1.1 200")
        answered = 1
        for wire in wires[1:40]:
            wire.sock.settimeout(0.05)
            with contextlib.suppress(OSError):
                answered += wire.file.readline().startswith(b"HTTP/1.1 200")
        assert answered <= 20
    finally:
        for wire in wires:
            wire.close()
    process.until(lambda: is_served(server, cat))


def burst(server, photos):
    bomb = png_bomb(16300)
    bad = [b"", b"text", encode("JPEG")[:900], encode("PNG")[:900], bomb,
           encode("PNG", (1, 1)), zip_of_junk()]
    for _ in range(3):
        for data in bad:
            assert server.classify(data).status_code != 200
        for photo in photos:
            assert server.classify(photo).status_code == 200
        server.post("/api/classify/similarity", data=b"[" * 100_000,
                    headers={"Content-Type": "application/json"})
        server.get("/" + os.urandom(8).hex())


def test_after_bad_bursts_memory_and_files_return(serve, photos):
    server = serve({"WORKERS": 2})
    burst(server, photos)
    files = settled_fd_count(server, photos[0])
    rss = server.rss()
    for _ in range(4):
        burst(server, photos)
    server.session.close()
    process.until(lambda: server.fd_count() <= files)
    assert server.rss() - rss < GROWTH_MAX
