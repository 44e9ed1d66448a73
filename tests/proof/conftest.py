# SPDX-License-Identifier: Apache-2.0
"""An installation of the replaced service, made once, and olho started on
it."""
import shutil

import installation
import process
import pytest
import trained_models
from installation import VERSIONS, Bucket, Database
from reference_service import ReferenceService
from service import Service, free_port


def pytest_configure(config):
    # Keras asks numpy in a way that numpy 2 wants otherwise.
    config.addinivalue_line("filterwarnings",
                            "ignore:__array__ impl:DeprecationWarning")


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The folder models/ with two versions of different size and seed."""
    folder = tmp_path_factory.mktemp("trained") / "models"
    photos = installation.photos_of("train")
    for seed, (name, alpha) in enumerate(zip(VERSIONS, (1.0, 0.5)), 1):
        trained_models.make_version(folder / name, photos, name, alpha, seed)
    return folder


@pytest.fixture(scope="session")
def references(models):
    """The replaced service, by version."""
    return {name: ReferenceService(models / name) for name in VERSIONS}


@pytest.fixture(scope="session")
def coins():
    """All photos by path: those that are indexed and those that are not."""
    return {**installation.photos_of("train"), **installation.photos_of("test")}


@pytest.fixture(scope="session")
def expected(references, coins):
    """What the replaced service says, by version and path."""
    return {name: dict(zip(coins, reference.answer(list(coins.values()))))
            for name, reference in references.items()}


@pytest.fixture(scope="module")
def postgres():
    with Service("postgres") as service:
        yield service


@pytest.fixture(scope="module")
def redis():
    with Service("redis") as service:
        yield service


@pytest.fixture(scope="module")
def s3():
    with Service("s3") as service:
        yield service


@pytest.fixture
def database(postgres):
    return Database(postgres)


@pytest.fixture(scope="module")
def bucket(s3, coins):
    made = Bucket(s3)
    for key in (installation.key_of, installation.flat_key_of):
        made.add(installation.BUCKET,
                 {key(path): photo for path, photo in coins.items()})
    return made


@pytest.fixture
def start(serve, room, models, database, bucket):
    """Starts olho where the replaced service ran, with its .env; env is what
    olho has besides."""
    shutil.copytree(models, room.work / "models")

    def start(settings=None, **env):
        port = free_port()
        installation.write_env(room.work, port, database.service,
                               bucket.service, **(settings or {}))
        server = serve(room=room,
                       env={"FLASK_PORT": "-", "LOG_LEVEL": "-",
                            "STORE_TIMEOUT": 60, "BLOB_TIMEOUT": 60, **env})
        assert server.port == port
        return server

    return start


def is_written(server):
    return all(server.metric(name) == 0 for name in
               ("olho_store_away", "olho_store_spill_rows",
                "olho_store_waiting"))


@pytest.fixture
def settle():
    """Waits until every row is in the database."""
    return lambda server: process.until(lambda: is_written(server))


@pytest.fixture(scope="module")
def server_of_one(serve, tmp_path_factory, models, postgres, bucket):
    """A server with one version, shared by tests that leave it as it was."""
    room = process.Room(tmp_path_factory.mktemp("room"))
    shutil.copytree(models, room.work / "models")
    installation.write_env(room.work, free_port(), postgres, bucket.service)
    Database(postgres)
    return serve(room=room, env={"FLASK_PORT": "-", "LOG_LEVEL": "-",
                                 "STORE_URL": "none"})
