# SPDX-License-Identifier: Apache-2.0
"""What an installation of the replaced service leaves: its .env, its tables
with a few rows, its bucket of photos and its folder of models."""
import pathlib

import boto3
import botocore.config
import psycopg2
import psycopg2.extras

COINS = pathlib.Path(__file__).resolve().parent.parent / "data" / "coins"
BUCKET = "original"
VERSIONS = ("v1_20251115", "v2_20251201")
OLD_VERSION = "v0_20250901"

TABLES = """
CREATE TABLE items (
    id serial PRIMARY KEY, item_id integer, nome varchar(255),
    categoria varchar(100), embedding_id integer, foto_path varchar(500),
    preco numeric(10,2) DEFAULT 0, criado_por varchar(50));
CREATE TABLE predictions (
    id serial PRIMARY KEY, image_path varchar(255) NOT NULL,
    classe varchar(100) NOT NULL, classe_numerica integer,
    confianca decimal(5,4), embedding bytea, inference_time_ms integer,
    model_version varchar(50), item_id integer REFERENCES items(id),
    created_at timestamp DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE model_metrics (
    id serial PRIMARY KEY, model_version varchar(50) UNIQUE,
    accuracy decimal(5,4), precision decimal(5,4), recall decimal(5,4),
    f1_score decimal(5,4), total_classes integer,
    total_training_samples integer, inference_time_avg_ms decimal(6,2),
    faiss_index_size integer, trained_at timestamp, loaded_at timestamp,
    created_at timestamp DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE inference_logs (
    id serial PRIMARY KEY, request_id varchar(36), image_hash varchar(64),
    predicted_class varchar(100), confidence decimal(5,4),
    top_k_predictions json, inference_time_ms integer,
    model_version varchar(50), user_id integer, status varchar(20),
    error_message text, created_at timestamp DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE ab_test_results (
    id serial PRIMARY KEY, request_id varchar(36), model_version varchar(50),
    prediction varchar(100), confidence decimal(5,4), latency_ms integer,
    status varchar(20), grupo varchar(10),
    created_at timestamp DEFAULT CURRENT_TIMESTAMP);
"""
OLD_ROWS = """
INSERT INTO predictions (image_path, classe, classe_numerica, confianca,
    inference_time_ms, model_version) VALUES
    ('original/a.jpg', '1e', 1, 0.91, 210, %(v)s),
    ('original/b.jpg', '2c', 4, 0.55, 198, %(v)s);
INSERT INTO inference_logs (request_id, predicted_class, confidence,
    top_k_predictions, inference_time_ms, model_version, status) VALUES
    ('old-1', '1e', 0.91, '[{"classe": "1e", "confianca": 0.91}]', 210, %(v)s,
     'success');
INSERT INTO model_metrics (model_version, accuracy, total_classes) VALUES
    (%(v)s, 0.88, 8);
INSERT INTO ab_test_results (request_id, model_version, prediction, confidence,
    latency_ms, status, grupo) VALUES
    ('old-1', %(v)s, '1e', 0.91, 215, 'success', 'A');
"""
OLD_COUNTS = {"predictions": 2, "inference_logs": 1, "model_metrics": 1,
              "ab_test_results": 1}


def photos_of(split):
    """The photos of a split by the path that labels give them."""
    return {f"{BUCKET}//{path.parent.name}/{path.name}": path.read_bytes()
            for path in sorted((COINS / split).rglob("*.jpg"))}


def key_of(path):
    return path.split("//", 1)[1]


def flat_key_of(path):
    """Of a second copy outside of any folder: a path with a slash begins with
    a bucket."""
    return key_of(path).replace("/", "_")


class Database:
    """PostgreSQL with the tables of the replaced service and some rows."""

    def __init__(self, service):
        self.service = service
        self.parts = dict(host="127.0.0.1", port=service.port, dbname="olho",
                          user="olho", password="secret")
        self.do("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        self.do(TABLES)
        self.do(OLD_ROWS, {"v": OLD_VERSION})

    def do(self, sql, values=None):
        with psycopg2.connect(**self.parts) as link:
            with link.cursor() as cursor:
                cursor.execute(sql, values)
        link.close()

    def rows(self, sql, values=None):
        """A list of dictionaries."""
        link = psycopg2.connect(
            **self.parts, cursor_factory=psycopg2.extras.RealDictCursor)
        with link, link.cursor() as cursor:
            cursor.execute(sql, values)
            found = cursor.fetchall()
        link.close()
        return found

    def new(self, table):
        """The rows that are not the old service's, in their order."""
        return self.rows(f"SELECT * FROM {table} WHERE id > %s ORDER BY id",
                         (OLD_COUNTS[table],))

    def old(self, table):
        return self.rows(f"SELECT * FROM {table} WHERE id <= %s ORDER BY id",
                         (OLD_COUNTS[table],))

    def add_items(self, paths):
        """A row of items for every second photo, as people had entered
        them; returns id and name by path."""
        named = {}
        for i, path in enumerate(paths):
            if i % 2 == 0:
                named[path] = (1000 + i, f"Moeda {i}")
                self.do("INSERT INTO items (item_id, nome, categoria, "
                        "embedding_id, foto_path) VALUES (%s, %s, %s, %s, %s)",
                        (*named[path], "moedas", i, path))
        return named


class Bucket:
    """The S3 server with the bucket of the photos."""

    def __init__(self, service):
        self.service = service
        self.client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{service.port}",
            aws_access_key_id="testkey", aws_secret_access_key="testsecret",
            region_name="us-east-1",
            config=botocore.config.Config(s3={"addressing_style": "path"}))

    def add(self, bucket, objects):
        names = [b["Name"] for b in self.client.list_buckets()["Buckets"]]
        if bucket not in names:
            self.client.create_bucket(Bucket=bucket)
        for key, data in objects.items():
            self.client.put_object(Bucket=bucket, Key=key, Body=data)


def write_env(folder, port, postgres, s3, version=VERSIONS[0], **more):
    """The .env as the replaced service read it."""
    settings = {
        "FLASK_PORT": port, "WORKERS": 4, "TIMEOUT": 30,
        "MODEL_PATH": f"models/{version}/model.keras",
        "EMBEDDINGS_PATH": f"models/{version}/embeddings.faiss",
        "MODEL_VERSION": version, "INPUT_SIZE": 224,
        "MINIO_HOST": "127.0.0.1", "MINIO_PORT": s3.port,
        "MINIO_ACCESS_KEY": "testkey", "MINIO_SECRET_KEY": "testsecret",
        "MINIO_BUCKET_ORIGINAL": BUCKET,
        "DB_HOST": "127.0.0.1", "DB_PORT": postgres.port, "DB_NAME": "olho",
        "DB_USER": "olho", "DB_PASSWORD": "secret",
        "FAISS_INDEX_TYPE": "Flat", "FAISS_METRIC": "L2", "FAISS_NPROBE": 10,
        "LOG_LEVEL": "INFO", "LOG_FILE": "logs/collector.log",
        "BATCH_SIZE": 32, "MAX_IMAGE_SIZE_MB": 10,
        "CONFIDENCE_THRESHOLD": 0.5, **more}
    (folder / "logs").mkdir(exist_ok=True)
    (folder / ".env").write_text(
        "".join(f"{k}={v}\n" for k, v in settings.items()))
