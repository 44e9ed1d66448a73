# SPDX-License-Identifier: Apache-2.0
"""Who may include whom.

A room of src/ includes itself and lower rows only; rooms on one row never
include each other. A foreign library is included by one file only, so that
exchanging it means to write one file.
"""

import os
import re

from sources import includes

# From low to high.
ROWS = [
    {"base"},
    {"obs"},
    {"image", "infer", "vectors", "store", "cache", "blob", "stream"},
    {"models"},
    {"learn"},
    {"http"},
    {"apps"},
    {"cmd"},
]
HEIGHT = {room: row for row, rooms in enumerate(ROWS) for room in rooms}

# Foreign header (a prefix) and the files that may include it. A library with
# a reading and a writing side, or one per instruction set, has a pattern.
FOREIGN = {
    "microhttpd.h": r"^src/http/server\.c$",
    "jansson.h": r"^src/base/json\.c$",
    "zlib.h": r"^src/base/gzip\.c$",
    "openssl/": r"^src/base/hash\.c$",
    "jpeglib.h": r"^src/image/(de|en)code_jpeg\.c$",
    "jerror.h": r"^src/image/decode_jpeg\.c$",
    "png.h": r"^src/image/decode_png\.c$",
    "webp/": r"^src/image/decode_webp\.c$",
    "libheif/": r"^src/image/decode_heif\.c$",
    "onnxruntime_c_api.h": r"^src/infer/engine_ort\.c$",
    "sqlite3.h": r"^src/store/store_sqlite\.c$",
    "libpq-fe.h": r"^src/store/store_postgres\.c$",
    "mysql.h": r"^src/store/store_mysql\.c$",
    "hiredis.h": r"^src/cache/cache_redis\.c$",
    "curl/": r"^src/base/fetch\.c$",
    "nghttp2/": r"^src/base/grpc_stream\.c$",
    "milvus.pb-c.h": r"^src/vectors/milvus_(\w+)\.c$",
    "hdf5.h": r"^src/models/hdf5_file\.c$",
    "zip.h": r"^src/models/zip_file\.c$",
    "onnx.pb-c.h": r"^src/models/onnx_(read|write)\.c$",
    "immintrin.h": r"_(avx2|avx512)\.c$",
    "arm_neon.h": r"_neon\.c$",
}

SYSTEM = set("""
arpa/inet.h assert.h cpuid.h ctype.h dirent.h dlfcn.h errno.h fcntl.h fenv.h
float.h fnmatch.h ftw.h getopt.h glob.h inttypes.h iso646.h langinfo.h libgen.h
limits.h linux/falloc.h locale.h malloc.h math.h net/if.h netdb.h netinet/in.h
netinet/tcp.h poll.h pthread.h pwd.h regex.h sched.h semaphore.h setjmp.h
signal.h spawn.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h
stdio.h stdlib.h stdnoreturn.h string.h strings.h sys/auxv.h sys/epoll.h
sys/eventfd.h sys/file.h sys/inotify.h sys/ioctl.h sys/mman.h sys/prctl.h
sys/random.h sys/resource.h sys/sendfile.h sys/signalfd.h sys/socket.h
sys/stat.h sys/statvfs.h sys/syscall.h sys/sysinfo.h sys/time.h sys/timerfd.h
sys/types.h sys/uio.h sys/un.h sys/utsname.h sys/wait.h syslog.h termios.h
threads.h time.h unistd.h utime.h wchar.h
""".split())


def layers(tree):
    """rooms include themselves and lower rows only"""
    for path in tree.matching(r"^src/.*\.[ch]$"):
        parts = path.split("/")
        if len(parts) != 3 or parts[1] not in HEIGHT:
            yield f"{path}:1: not a known room; tools/lint/layers.py lists them"
            continue
        for number, header, quoted in includes(tree.text(path)):
            if quoted:
                yield from _direction(tree, path, parts[1], number, header)


def _direction(tree, path, room, number, header):
    other = header.split("/")[0]
    if "/" not in header:
        yield f'{path}:{number}: name "{header}" with its room, as room/file.h'
    elif f"src/{header}" not in tree.paths:
        yield f'{path}:{number}: there is no src/{header}'
    elif other != room and HEIGHT.get(other, 99) >= HEIGHT[room]:
        kind = ("a sibling" if HEIGHT.get(other) == HEIGHT[room]
                else "a higher layer")
        yield f"{path}:{number}: {room} includes {header}, {kind}"


def own_header(tree):
    """a .c file includes its own header first"""
    for path in tree.matching(r"^src/.*\.c$"):
        own = re.sub(r"\.c$", ".h", path)
        if own not in tree.paths:
            continue
        first = next(iter(includes(tree.text(path))), (1, "nothing", True))
        if first[1] != own[len("src/"):]:
            yield (f"{path}:{first[0]}: includes {first[1]} before its own "
                   f"header, {own[len('src/'):]}")


def foreign(tree):
    """one foreign library in one file"""
    for path in tree.matching(r"^(src|include)/.*\.[ch]$"):
        for number, header, quoted in includes(tree.text(path)):
            if not quoted and header not in SYSTEM:
                yield from _one_home(path, number, header)


def _one_home(path, number, header):
    for prefix, home in FOREIGN.items():
        if header == prefix or prefix.endswith("/") and \
                header.startswith(prefix):
            if not re.search(home, path):
                yield (f"{path}:{number}: <{header}> belongs in the files "
                       f"{home} only")
            return
    yield (f"{path}:{number}: <{header}> is neither a system header nor a "
           f"library with a home in tools/lint/layers.py")


def guards(tree):
    """a header's guard is its path"""
    for path in tree.matching(r"^src/.*\.h$"):
        name = os.path.splitext(path[len("src/"):])[0]
        guard = "OLHO_" + re.sub(r"\W", "_", name).upper() + "_H"
        if f"#ifndef {guard}\n#define {guard}\n" not in tree.text(path):
            yield f"{path}:1: its include guard should be {guard}"


RULES = [layers, own_header, foreign, guards]
