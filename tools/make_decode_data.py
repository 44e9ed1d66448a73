#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/decode: one small image per format and oddity, and beside
each NAME the pixels it must decode to, NAME.ppm (P6, 8-bit RGB).

    pip install pillow pillow-heif numpy
    python3 tools/make_decode_data.py [FOLDER]

The expected pixels are Pillow's, turned as EXIF asks and laid over white.
Where Pillow cannot write a variant, this file writes it; where Pillow reads
one differently on purpose (16-bit grey), expected() says so.
"""
import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()
FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/data/decode")


# --- the picture ------------------------------------------------------------
def picture(width=40, height=26):
    """Colour ramps, a disc and a corner mark, so that no turn looks alike."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    rgb = np.stack([x / width * 255, y / height * 255,
                    (x + y) / (width + height) * 255], -1)
    disc = (x - width * .3) ** 2 + (y - height * .4) ** 2 < (height / 5) ** 2
    rgb[disc] = (250, 40, 20)
    rgb[:height // 6, :width // 8] = (10, 20, 240)
    return rgb.round().astype(np.uint8)


def alpha_ramp(rgb):
    alpha = np.linspace(0, 255, rgb.shape[1]).round().astype(np.uint8)
    alpha = np.broadcast_to(alpha, rgb.shape[:2])
    return np.dstack([rgb, alpha])


def over_white(rgba):
    image = Image.fromarray(rgba, "RGBA") if not isinstance(
        rgba, Image.Image) else rgba.convert("RGBA")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, image).convert("RGB"))


def expected(data):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I;16"):
        high = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.dstack([high] * 3)
    if "A" in image.mode or "transparency" in image.info:
        return over_white(image)
    return np.asarray(image.convert("RGB"))


def write(name, data, pixels=None):
    (FOLDER / name).write_bytes(data)
    pixels = expected(data) if pixels is None else pixels
    height, width = pixels.shape[:2]
    (FOLDER / (name + ".ppm")).write_bytes(
        b"P6 %d %d 255\n" % (width, height) + pixels.tobytes())


def write_bad(name, data):
    (FOLDER / name).write_bytes(data)


def save(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


# --- JPEG -------------------------------------------------------------------
def segments(jpeg):
    """Offsets of the marker segments before the first scan's data."""
    at = 2
    while True:
        marker = jpeg[at + 1]
        length = struct.unpack(">H", jpeg[at + 2:at + 4])[0]
        yield marker, at, at + 2 + length
        at += 2 + length
        if marker == 0xDA:
            return


def last_scan(jpeg):
    """A progressive file's last scan, its tables included."""
    start = jpeg.rindex(b"\xff\xda")
    tables = jpeg.rfind(b"\xff\xc4", 0, start)
    if tables > jpeg.rfind(b"\xff\xda", 0, start):
        start = tables
    return jpeg[start:-2]


def make_jpeg():
    image = Image.fromarray(picture())
    base = save(image, format="JPEG", quality=90)
    write("baseline.jpg", base)
    for name, subsampling in (("444", 0), ("422", 1)):
        write(f"sampling_{name}.jpg",
              save(image, format="JPEG", subsampling=subsampling))
    progressive = save(image, format="JPEG", progressive=True)
    write("progressive.jpg", progressive)
    write("grey.jpg", save(image.convert("L"), format="JPEG"))
    write("rgb.jpg", save(image, format="JPEG", keep_rgb=True))
    write("restarts.jpg", save(image, format="JPEG", restart_marker_blocks=1))
    cmyk = save(image.convert("CMYK"), format="JPEG", quality=90)
    write("cmyk.jpg", cmyk)
    # The same bytes read as YCCK: odd colours, but a valid file.
    for marker, _, end in segments(cmyk):
        if marker == 0xEE:
            write("ycck.jpg", cmyk[:end - 1] + b"\2" + cmyk[end:])
    for orientation in range(1, 9):
        write(f"turned_{orientation}.jpg",
              save(image, format="JPEG", exif=exif(orientation)))
    write("no_end_marker.jpg", base[:-2], expected(base))
    dht = next(at for marker, at, _ in segments(base) if marker == 0xC4)
    write("junk_between_segments.jpg",
          base[:dht] + b"\1\2\3" + base[dht:], expected(base))
    for name, tiff in (("cut", b"II*\0\x08\0\0\0\xff\xff\x12\1"),
                       ("far", b"MM\0*\xff\xff\xff\xf0"),
                       ("nine", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0"
                                b"\x09\0\0\0\0\0\0\0")):
        body = b"Exif\0\0" + tiff
        app1 = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
        write(f"exif_{name}.jpg", base[:2] + app1 + base[2:], expected(base))
    write_bad("scans.jpg",
              progressive[:-2] + last_scan(progressive) * 150 + b"\xff\xd9")
    large = Image.fromarray(picture(161, 105))
    data = save(large, format="JPEG", quality=90)
    write("large.jpg", data)
    for scale in (2, 4, 8):
        drafted = Image.open(io.BytesIO(data))
        drafted.draft("RGB", (161 // scale, 105 // scale))
        pixels = np.asarray(drafted)
        height, width = pixels.shape[:2]
        (FOLDER / f"large.jpg.{scale}.ppm").write_bytes(
            b"P6 %d %d 255\n" % (width, height) + pixels.tobytes())


# --- PNG --------------------------------------------------------------------
def chunk(name, body):
    return (struct.pack(">I", len(body)) + name + body +
            struct.pack(">I", zlib.crc32(name + body)))


def pack_rows(samples, depth):
    """Filter byte 0 and packed samples, for one pass."""
    rows = []
    for row in samples:
        if depth == 16:
            packed = row.astype(">u2").tobytes()
        elif depth == 8:
            packed = row.astype(np.uint8).tobytes()
        else:
            bits = "".join(format(int(v), f"0{depth}b") for v in row.ravel())
            bits += "0" * (-len(bits) % 8)
            packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
        rows.append(b"\0" + packed)
    return b"".join(rows)


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
         (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png(samples, colour, depth, interlaced=False, before_pixels=b""):
    height, width = samples.shape[:2]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    data = b"".join(pack_rows(part, depth) for part in
                    (samples[y::dy, x::dx] for x, y, dx, dy in passes)
                    if part.size)
    return (b"\x89PNG\r\n\x1a\n" +
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth,
                                       colour, 0, 0, int(interlaced))) +
            before_pixels + chunk(b"IDAT", zlib.compress(data, 9)) +
            chunk(b"IEND", b""))


def png_bomb(side):
    """side x side grey pixels in a few kilobytes."""
    pack = zlib.compressobj(9)
    row = bytes(side + 1)
    body = b"".join(pack.compress(row) for _ in range(400)) + pack.flush()
    return (b"\x89PNG\r\n\x1a\n" +
            chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def png_variants():
    """Name, samples, colour type, depth and chunks before the pixels."""
    rgb = picture()
    rgba = alpha_ramp(rgb)
    grey = rgb.mean(-1).round().astype(int)
    wide = rgb.astype(int) * 257 - (np.arange(rgb.shape[1])[None, :, None])
    wide = wide.clip(0, 65535)
    palette = Image.fromarray(rgb).quantize(16)
    indices = np.asarray(palette)
    plte = chunk(b"PLTE", bytes(palette.getpalette()[:48]))
    yield "rgb", rgb, 2, 8, b""
    yield "rgba", rgba, 6, 8, b""
    yield "grey", grey, 0, 8, b""
    yield "grey_alpha", np.dstack([grey, rgba[..., 3]]), 4, 8, b""
    for depth in (1, 2, 4):
        yield f"grey_{depth}", grey >> (8 - depth), 0, depth, b""
    yield "palette_4", indices, 3, 4, plte
    yield "palette_8", indices, 3, 8, plte
    yield ("palette_alpha", indices, 3, 8,
           plte + chunk(b"tRNS", bytes(range(0, 160, 10))))
    yield ("rgb_key", rgb, 2, 8,
           chunk(b"tRNS", struct.pack(">HHH", 250, 40, 20)))
    yield "rgb_16", wide, 2, 16, b""
    yield ("rgba_16", np.dstack([wide, rgba[..., 3].astype(int) * 257]), 6,
           16, b"")
    yield "grey_16", grey * 257 - 3 * (grey > 0), 0, 16, b""


def make_png():
    for name, samples, colour, depth, extra in png_variants():
        write(f"{name}.png", png(samples, colour, depth, False, extra))
        write(f"{name}_interlaced.png",
              png(samples, colour, depth, True, extra))
    rgb = picture()
    image = Image.fromarray(rgb)
    write("turned_6.png", save(image, format="PNG", exif=exif(6)))
    write("profile.png", save(image, format="PNG", icc_profile=bytes(3000)))
    write("one_pixel.png", save(image.crop((0, 0, 1, 1)), format="PNG"))
    good = png(rgb, 2, 8)
    at = good.index(b"IEND") - 5
    write_bad("checksum.png",
              good[:at] + bytes([good[at] ^ 255]) + good[at + 1:])
    write_bad("bomb.png", png_bomb(60000))


# --- WebP -------------------------------------------------------------------
def riff(chunks):
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)
        for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def u24(value):
    return struct.pack("<I", value)[:3]


def frame_chunks(webp):
    """The bytes of a still image's ALPH, VP8 and VP8L chunks."""
    at, out = 12, b""
    while at < len(webp):
        size = struct.unpack("<I", webp[at + 4:at + 8])[0]
        size += size & 1
        if webp[at:at + 4] in (b"ALPH", b"VP8 ", b"VP8L"):
            out += webp[at:at + 8 + size]
        at += 8 + size
    return out


def animation(frames, canvas_width, canvas_height):
    chunks = [(b"VP8X", bytes([0x12, 0, 0, 0]) + u24(canvas_width - 1) +
               u24(canvas_height - 1)),
              (b"ANIM", struct.pack("<IH", 0xff0000ff, 0))]
    for webp, x, y, width, height in frames:
        chunks.append((b"ANMF", u24(x // 2) + u24(y // 2) + u24(width - 1) +
                       u24(height - 1) + u24(100) + b"\0" +
                       frame_chunks(webp)))
    return riff(chunks)


def make_webp():
    rgb = picture()
    image = Image.fromarray(rgb)
    translucent = Image.fromarray(alpha_ramp(rgb), "RGBA")
    lossy = save(image, format="WEBP", quality=80)
    write("lossy.webp", lossy)
    write("lossless.webp", save(image, format="WEBP", lossless=True))
    lossy_alpha = save(translucent, format="WEBP", quality=80)
    write("lossy_alpha.webp", lossy_alpha)
    write("lossless_alpha.webp",
          save(translucent, format="WEBP", lossless=True, exact=True))
    write("turned_6.webp",
          save(image, format="WEBP", lossless=True, exif=exif(6)))
    write("animation.webp",
          save(image, format="WEBP", save_all=True, quality=80,
               append_images=[ImageOps.invert(image)], duration=100))
    for name, still in (("opaque", lossy), ("translucent", lossy_alpha)):
        canvas = np.full((40, 60, 3), 255, np.uint8)
        canvas[8:34, 6:46] = expected(still)
        frames = [(still, 6, 8, 40, 26), (lossy, 20, 14, 40, 26)]
        write(f"offset_{name}.webp", animation(frames, 60, 40), canvas)
    write_bad("outside.webp",
              animation([(lossy, 22, 8, 40, 26)], 60, 40))


# --- GIF --------------------------------------------------------------------
def frame_at(gif):
    """The offset of the first frame's descriptor in a GIF by Pillow."""
    at = 13 + (3 * (2 << (gif[10] & 7)) if gif[10] & 0x80 else 0)
    while gif[at] == 0x21:
        at += 2
        while gif[at]:
            at += 1 + gif[at]
        at += 1
    return at


def make_gif():
    rgb = picture()
    palette = Image.fromarray(rgb).quantize(64)
    plain = save(palette, format="GIF", interlace=0)
    write("plain.gif", plain)
    write("interlaced.gif", save(palette, format="GIF", interlace=1))
    write("two_colours.gif",
          save(Image.fromarray(rgb).convert("1"), format="GIF"))
    index = palette.getpixel((12, 10))
    write("transparent.gif",
          save(palette, format="GIF", interlace=0, transparency=index))
    write("animation.gif",
          save(palette, format="GIF", save_all=True, append_images=[
              ImageOps.invert(Image.fromarray(rgb)).quantize(64)],
              duration=100))
    noise = np.random.default_rng(7).integers(0, 256, (120, 90), np.uint8)
    write("full_table.gif", save(Image.fromarray(noise), format="GIF"))
    # A larger screen, with the frame at 6, 8.
    at = frame_at(plain)
    canvas = np.full((40, 60, 3), 255, np.uint8)
    canvas[8:34, 6:46] = expected(plain)
    moved = bytearray(plain)
    moved[6:10] = struct.pack("<HH", 60, 40)
    moved[at + 1:at + 5] = struct.pack("<HH", 6, 8)
    write("offset.gif", bytes(moved), canvas)
    # A screen that the frame leaves: it grows.
    moved[6:10] = struct.pack("<HH", 20, 60)
    canvas = np.full((60, 46, 3), 255, np.uint8)
    canvas[8:34, 6:46] = expected(plain)
    write("grown.gif", bytes(moved), canvas)
    # The palette in the frame instead of in the screen.
    size = 3 * (2 << (plain[10] & 7))
    local = bytearray(plain[:13] + plain[13 + size:at + 10] +
                      plain[13:13 + size] + plain[at + 10:])
    local[at - size + 9] = 0x80 | plain[10] & 7
    local[10] = 0
    write("local_palette.gif", bytes(local), expected(plain))


# --- BMP --------------------------------------------------------------------
def bmp(width, height, depth, body, compression=0, palette=b"", masks=b"",
        core=False, version4=None):
    if core:
        header = struct.pack("<IHHHH", 12, width, height, 1, depth)
    else:
        size = 108 if version4 else 40
        header = struct.pack("<IiiHHIIiiII", size, width, height, 1, depth,
                             compression, len(body), 2835, 2835,
                             len(palette) // 4, 0)
        if version4:
            header += struct.pack("<IIII", *version4) + bytes(52)
    start = 14 + len(header) + len(masks) + len(palette)
    return (b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) +
            header + masks + palette + body)


def bmp_rows(samples, depth, flip=True):
    rows = []
    for row in samples[::-1] if flip else samples:
        if depth < 8:
            packed = pack_rows(row[None], depth)[1:]
        else:
            packed = row.astype({8: "u1", 16: "<u2", 32: "<u4"}[depth]
                                ).tobytes()
        rows.append(packed + b"\0" * (-len(packed) % 4))
    return b"".join(rows)


def rle8(indices):
    out = b""
    for row in indices[::-1]:
        at = 0
        while at < len(row):
            run = 1
            while at + run < len(row) and row[at + run] == row[at]:
                run += 1
            if run == 1 and at + 5 <= len(row):  # five at once, and padding
                out += bytes([0, 5]) + row[at:at + 5].tobytes() + b"\0"
                at += 5
            else:
                out += bytes([run, row[at]])
                at += run
        out += b"\0\0"
    return out + b"\0\1"


def rle4(indices):
    out = b""
    for row in indices[::-1]:
        half = len(row) // 2 // 4 * 4
        for at in range(0, half, 4):
            a, b, c, d = (int(v) for v in row[at:at + 4])
            out += bytes([0, 4, a << 4 | b, c << 4 | d])
        for value in row[half:]:
            out += bytes([1, int(value) << 4])
        out += b"\0\0"
    return out + b"\0\1"


def make_bmp():
    rgb = picture()
    height, width = rgb.shape[:2]
    image = Image.fromarray(rgb)
    write("24.bmp", save(image, format="BMP"))
    write("1.bmp", save(image.convert("1"), format="BMP"))
    palette = image.quantize(16)
    indices = np.asarray(palette)
    write("8.bmp", save(palette, format="BMP"))
    bgr = np.array(palette.getpalette()[:48]).reshape(16, 3)[:, ::-1]
    colours = np.hstack([bgr, np.zeros((16, 1))]).astype(np.uint8).tobytes()
    core_colours = bgr.astype(np.uint8).tobytes()
    expanded = bgr[:, ::-1].astype(np.uint8)[indices]
    rows = bmp_rows(indices, 4)
    write("4.bmp", bmp(width, height, 4, rows, palette=colours))
    write("core.bmp", bmp(width, height, 4, rows, palette=core_colours,
                          core=True))
    write("top_down.bmp", bmp(width, -height, 8, bmp_rows(indices, 8, False),
                              palette=colours))
    write("rle8.bmp", bmp(width, height, 8, rle8(indices), 1, colours))
    write("rle4.bmp", bmp(width, height, 4, rle4(indices), 2, colours),
          expanded)
    # A move of 3 right and 2 up, a run, and the early end: the rest is 0.
    skipped = np.zeros_like(indices)
    skipped[height - 3, 3:8] = 5
    write("rle8_moves.bmp",
          bmp(width, height, 8, bytes([0, 2, 3, 2, 5, 5, 0, 1]), 1, colours),
          bgr[:, ::-1].astype(np.uint8)[skipped])
    r, g, b = (rgb[..., i].astype(int) for i in range(3))
    value = (r >> 3) << 10 | (g >> 3) << 5 | b >> 3
    write("16.bmp", bmp(width, height, 16, bmp_rows(value, 16)))
    value = (r >> 3) << 11 | (g >> 2) << 5 | b >> 3
    write("565.bmp", bmp(width, height, 16, bmp_rows(value, 16), 3,
                         masks=struct.pack("<III", 0xf800, 0x7e0, 0x1f)))
    value = r << 16 | g << 8 | b
    write("32.bmp", bmp(width, height, 32, bmp_rows(value, 32)))
    rgba = alpha_ramp(rgb)
    value = value | rgba[..., 3].astype(int) << 24
    write("32_alpha.bmp",
          bmp(width, height, 32, bmp_rows(value, 32), 3,
              version4=(0xff0000, 0xff00, 0xff, 0xff000000)))
    # Ten bits a channel, which Pillow does not read.
    value = (r << 2) << 20 | (g << 2) << 10 | b << 2
    ten = (rgb.astype(int) << 2) * 255 // 1023
    write("ten_bits.bmp",
          bmp(width, height, 32, bmp_rows(value, 32), 3,
              masks=struct.pack("<III", 0x3ff00000, 0xffc00, 0x3ff)),
          ten.astype(np.uint8))


# --- HEIF and AVIF ----------------------------------------------------------
def make_heif():
    rgb = picture(64, 48)
    image = Image.fromarray(rgb)
    translucent = Image.fromarray(alpha_ramp(rgb), "RGBA")
    write("plain.heic", save(image, format="HEIF", quality=90))
    write("alpha.heic", save(translucent, format="HEIF", quality=90))
    # Versions of libheif spread the halved colours of a turned picture in
    # different ways; whole colours leave the turn alone to be compared.
    write("turned.heic", save(image, format="HEIF", subsampling="4:4:4",
               quality=90, exif=exif(6)))
    write("plain.avif", save(image, format="AVIF", subsampling="4:4:4",
               quality=90))
    write("alpha.avif", save(translucent, format="AVIF", subsampling="4:4:4",
               quality=90))
    write("turned.avif", save(image, format="AVIF", subsampling="4:4:4",
               quality=90, exif=exif(6)))


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for make in (make_jpeg, make_png, make_webp, make_gif, make_bmp,
                 make_heif):
        make()


if __name__ == "__main__":
    main()
