# SPDX-License-Identifier: Apache-2.0
"""Requests as the clients of the replaced service make them, several at
once."""
import concurrent.futures
import threading

import process
import requests
from installation import BUCKET, flat_key_of, key_of

CALLERS = 4
USERS = 40


class Ask:
    """One request: which photo, in which of the five ways, whose."""

    def __init__(self, number, path, photo, user=None, ways=5):
        self.id = f"proof-{number:05}"
        self.path = path
        self.photo = photo
        self.user = user
        self.way = number % ways
        self.file_name = f"{self.id}.jpg"

    def row_path(self, sha256):
        """What predictions.image_path will say."""
        return (self.file_name, self.file_name, f"sha256:{sha256}",
                f"{BUCKET}/{key_of(self.path)}",
                flat_key_of(self.path))[self.way]

    def send(self, session, url):
        more = {"headers": {"X-Request-Id": self.id}, "data": {}, "params": {}}
        owner = {} if self.user is None else {"user_id": str(self.user)}
        if self.way < 2:
            field = ("image", "file")[self.way]
            more["files"] = {field: (self.file_name, self.photo, "image/jpeg")}
            more["data"] = owner
        else:
            more["params"] = owner
        if self.way == 2:
            more["data"] = self.photo
            more["headers"]["Content-Type"] = "image/jpeg"
        elif self.way == 3:
            more["json"] = {"image_path": f"{BUCKET}/{key_of(self.path)}"}
        elif self.way == 4:
            more["json"] = {"imagen_path": flat_key_of(self.path)}
        return session.post(url + "/api/classify", timeout=process.PATIENCE_S,
                            **more)


class Load:
    """Sends from several threads; keeps (ask, reply) in the order of asks."""

    def __init__(self, url, callers=CALLERS):
        self.url = url
        self.local = threading.local()
        self.pool = concurrent.futures.ThreadPoolExecutor(callers)
        self.sent = []

    def session(self):
        if not hasattr(self.local, "session"):
            self.local.session = requests.Session()
            self.local.session.trust_env = False
        return self.local.session

    def begin(self, ask):
        self.sent.append((ask, self.pool.submit(
            lambda: ask.send(self.session(), self.url))))

    def done_count(self):
        return sum(future.done() for _, future in self.sent)

    def replies(self):
        """Waits for all, in the order in which they were begun."""
        return [(ask, future.result()) for ask, future in self.sent]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.shutdown(cancel_futures=True)


def answers(replies):
    """The JSON of each reply, all of which must be good."""
    bad = [(a.id, a.way, r.status_code, r.text[:300])
           for a, r in replies if r.status_code != 200]
    assert not bad, f"{len(bad)} of {len(replies)} failed: {bad[:5]}"
    return [(ask, reply.json()) for ask, reply in replies]
