#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/sigv4/reference.json: S3 requests signed by botocore.

    pip install botocore==1.44.5
    tools/make_sigv4_reference.py [FOLDER]     FOLDER: tests/data/sigv4

Each case names a request as src/blob/sigv4.h takes it, and what botocore makes
of it: the target of the URL, the canonical request and the Authorization value,
or the target of a presigned URL. Names and secrets are invented.
"""
import datetime
import hashlib
import json
import pathlib
import sys
from unittest import mock

import botocore
import botocore.auth
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode, percent_encode_sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY = hashlib.sha256(b"").hexdigest()
KEYS = [
    "photo.jpg", "a/b/c.jpg", "with space.jpg", "two  spaces", " ends ",
    "plus+plus", "tilde~dash-dot.under_", "percent%20%", "a//b", "question?mark",
    "hash#", "colon:semi;comma,at@", "equals=and&", "quote'\"`", "(round)[square]",
    "{curly}|pipe^", "star*bang!dollar$", "less<greater>", "caf\u00e9",
    "\u00e3o/\u65e5\u672c\u8a9e.png", "\U0001f441.gif", "e\u0301", "\u20ac" * 40,
    "x" * 1000, "", "~", "a/./b", "a/../b", "%2e%2e/x", "UPPER/lower", "\x7f",
]
QUERIES = [
    [], [["list-type", "2"]],
    [["prefix", "a b/c+d"], ["list-type", "2"], ["delimiter", "/"],
     ["encoding-type", "url"], ["continuation-token", "1/+=~&?%\u00e9"]],
    [["b", ""], ["a", ""], ["A", "x"], ["a-b", "1"], ["a.b", "2"], ["a1", "3"]],
    [["k", "b"], ["k", "a"], ["k", ""], ["k~", "1"], ["k%", "2"], ["k ", "3"]],
    [["uploads", ""]],
]
HEADERS = [[], [["content-type", "image/jpeg"]],
           [["x-amz-meta-b", "two"], ["x-amz-meta-a", "  one   and  more "],
            ["content-type", "text/plain; charset=utf-8"],
            ["cache-control", "no-cache"], ["x-amz-acl", "private"]]]
TIMES = [1440938160000, 0, 951782399999, 1795262400123, 4102444799000]
PLACES = [("s3.eu-west-1.amazonaws.com", "eu-west-1"),
          ("127.0.0.1:9000", "us-east-1"), ("photos.minio.test", "sa-east-1")]


def cases():
    for i, key in enumerate(KEYS):
        yield "GET", key, [], [], EMPTY, i
        yield "PUT", key, [], HEADERS[i % 3], \
            hashlib.sha256(key.encode()).hexdigest(), i + 1
    for i, query in enumerate(QUERIES):
        yield "GET", "", query, [], EMPTY, i
        yield "HEAD", "k\u00e9y", query, HEADERS[2], UNSIGNED, i + 2


def path_of(key, place):
    return f"/{key}" if place.startswith("photos.") else \
        f"/photos/{key}" if key else "/photos"


def sign(signer, method, url, headers, time_ms):
    """The signed request, with the clock of botocore at time_ms."""
    moment = datetime.datetime.fromtimestamp(time_ms // 1000,
                                             datetime.timezone.utc)
    request = AWSRequest(method, url, headers)
    with mock.patch.object(botocore.auth, "get_current_datetime",
                           lambda *_, **__: moment.replace(tzinfo=None)):
        signer.add_auth(request)
    return request


class Fixed(S3SigV4Auth):
    """Takes the payload's hash as it is given."""

    def payload(self, request):
        return request.headers["X-Amz-Content-SHA256"]

    def _modify_request_before_signing(self, request):
        kept = request.headers["X-Amz-Content-SHA256"]
        super()._modify_request_before_signing(request)
        del request.headers["X-Amz-Content-SHA256"]
        request.headers["X-Amz-Content-SHA256"] = kept


def target_of(url):
    return url[url.index("/", len("https://")):]


def make(method, key, query, headers, payload, number):
    host, region = PLACES[number % len(PLACES)]
    time_ms = TIMES[number % len(TIMES)]
    credentials = Credentials("AKIDEXAMPLE", "wJalr/secret+EXAMPLE" * (
        1 + number % 3))
    path = path_of(key, host)
    encoded = percent_encode(path, safe="/~")
    url = f"http://{host}{encoded}"
    parts = percent_encode_sequence(query)
    request = sign(Fixed(credentials, "s3", region), method,
                   url + ("?" + parts if parts else ""),
                   {**dict(headers), "X-Amz-Content-SHA256": payload}, time_ms)
    signer = Fixed(credentials, "s3", region)
    unsigned = AWSRequest(method, request.url, dict(request.headers))
    del unsigned.headers["Authorization"]
    expires = 1 + number * 4001 % 604800
    query_signer = S3SigV4QueryAuth(credentials, "s3", region, expires)
    presigned = sign(query_signer, "GET", url, {}, time_ms)
    return {
        "method": method, "host": host, "region": region, "path": path,
        "query": query, "headers": headers, "payload": payload,
        "time_ms": time_ms, "secret": credentials.secret_key,
        "canonical": signer.canonical_request(unsigned),
        "authorization": request.headers["Authorization"],
        "expires": expires, "presigned": target_of(presigned.url),
    }


def main():
    folder = pathlib.Path(sys.argv[1] if sys.argv[1:] else
                          ROOT / "tests" / "data" / "sigv4")
    folder.mkdir(parents=True, exist_ok=True)
    made = {"made_with": f"botocore {botocore.__version__}",
            "access_key": "AKIDEXAMPLE",
            "cases": [make(*case) for case in cases()]}
    text = json.dumps(made, indent=1, ensure_ascii=True) + "\n"
    (folder / "reference.json").write_text(text, encoding="utf-8")
    print(f"{len(made['cases'])} cases")


main()
