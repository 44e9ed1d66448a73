# SPDX-License-Identifier: Apache-2.0
"""The servers that the other tests here rely on do what is said of them."""
import datetime
import hashlib
import hmac
import os
import signal
import subprocess
import sys
import urllib.parse

import process
import pytest
import requests
import service
from service import NAMES, SERVICES, Service


def run_with(*arguments, **more):
    return subprocess.Popen([sys.executable, SERVICES / "with", *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, **more)


@pytest.mark.parametrize("name", NAMES)
def test_a_server_outlives_kill_restart_and_pause_on_its_port(name):
    with Service(name) as one:
        url = one.url
        one.kill()
        assert not service.answers(name, one.port)
        one.start()
        process.until(lambda: service.answers(name, one.port))
        one.pause()
        assert not service.answers(name, one.port)
        one.resume()
        process.until(lambda: service.answers(name, one.port))
        one.restart()
        assert one.url == url
        folder, port = one.folder, one.port
    assert not folder.exists()
    assert not service.answers(name, port)


def test_the_s3_server_checks_signatures_and_keeps_objects(s3):
    known = s3.environment()
    url = f"{known['OLHO_TEST_S3']}/{known['OLHO_TEST_S3_BUCKET']}/a%20b"
    body = b"seven"
    digest = hashlib.sha256(body).hexdigest()

    def ask(method, secret, data=b"", sent=None):
        signed = sign(method, url, known["OLHO_TEST_S3_KEY"], secret,
                      sent or hashlib.sha256(data).hexdigest())
        return requests.request(method, url, data=data, headers=signed,
                                timeout=process.PATIENCE_S)

    secret = known["OLHO_TEST_S3_SECRET"]
    assert ask("PUT", "another secret", body).status_code == 403
    assert requests.put(url, data=body, timeout=process.PATIENCE_S).status_code == 403
    assert ask("GET", secret).status_code == 404
    assert ask("PUT", secret, body, digest[::-1]).status_code == 400
    assert ask("PUT", secret, body, digest).status_code == 200
    s3.kill()
    s3.start()
    assert ask("GET", secret).content == body


def sign(method, url, key, secret, digest):
    """The headers of AWS signature version 4."""
    parts = urllib.parse.urlsplit(url)
    now = datetime.datetime.now(datetime.timezone.utc)
    day, moment = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    names = "host;x-amz-content-sha256;x-amz-date"
    request = (f"{method}\n{parts.path}\n\nhost:{parts.netloc}\n"
               f"x-amz-content-sha256:{digest}\nx-amz-date:{moment}\n\n"
               f"{names}\n{digest}")
    scope = f"{day}/us-east-1/s3/aws4_request"
    text = (f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n"
            + hashlib.sha256(request.encode()).hexdigest())
    made = f"AWS4{secret}".encode()
    for step in (day, "us-east-1", "s3", "aws4_request", text):
        made = hmac.new(made, step.encode(), hashlib.sha256).digest()
    return {"x-amz-date": moment, "x-amz-content-sha256": digest,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={key}/{scope}, "
                             f"SignedHeaders={names}, Signature={made.hex()}"}


def test_the_runner_passes_on_urls_and_the_exit_code():
    with run_with("redis", "--", "sh", "-c",
                  "echo $OLHO_TEST_REDIS; exit 7") as runner:
        out, err = runner.communicate(timeout=process.PATIENCE_S)
    assert runner.returncode == 7, err
    assert out.startswith("redis://:secret@127.0.0.1:")


def test_the_runner_calls_a_server_that_does_not_start_a_failure(tmp_path):
    env = {**os.environ, "PATH": "/bin:/usr/bin", "TMPDIR": str(tmp_path)}
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "setpriv").write_text("#!/bin/sh\necho no luck >&2\nexit 3\n")
    (tools / "setpriv").chmod(0o755)
    env["PATH"] = f"{tools}:{env['PATH']}"
    with run_with("redis", "--", "echo", "ran", env=env) as runner:
        out, err = runner.communicate(timeout=process.PATIENCE_S)
    assert runner.returncode == 125
    assert "ran" not in out
    assert "redis ended with 3" in err and "no luck" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_runner_that_is_ended(number, tmp_path):
    with run_with("redis", "--", "sh", "-c",
                  "echo $OLHO_TEST_REDIS; exec sleep 6000",
                  env={**os.environ, "TMPDIR": str(tmp_path)}) as runner:
        url = runner.stdout.readline()
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        process.until(lambda: service.answers("redis", port))
        runner.send_signal(number)
        runner.wait(process.PATIENCE_S)
        process.until(lambda: not service.answers("redis", port))
        # Its end is read only when the command has closed it too.
        assert runner.stdout.read() == ""
