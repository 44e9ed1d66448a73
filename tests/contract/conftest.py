# SPDX-License-Identifier: Apache-2.0
"""Real servers, one of each kind for each module of tests, that a test may
kill, pause and start again as long as it leaves them running."""
import pytest
from service import Service


def served(name):
    @pytest.fixture(scope="module", name=name)
    def fixture():
        with Service(name) as service:
            yield service

    return fixture


postgres = served("postgres")
mariadb = served("mariadb")
redis = served("redis")
s3 = served("s3")
