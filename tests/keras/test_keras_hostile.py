# SPDX-License-Identifier: Apache-2.0
"""Files that lie: links out of the file, storage elsewhere, sizes that are
claimed and not there, archives that unpack to more than they say."""
import json
import shutil
import zipfile

import h5py
import numpy as np
import process
import pytest

TINY = process.DATA / "keras"
KERNEL = "model_weights/embedding/embedding/kernel"


@pytest.fixture
def tiny(room):
    """A copy of the small model, to be spoilt."""
    path = room.work / "model.h5"
    shutil.copy(TINY / "tiny_3.h5", path)
    return path


def refused(room, path, *words):
    """The import fails with these words, at once, and leaves nothing."""
    done = room.run("model", "import", path, "--out", room.work / "out")
    assert done.returncode == 1, done.stdout
    for word in words:
        assert word in done.stderr
    assert not (room.work / "out").exists()
    assert not list(room.work.glob(".*"))


def spoil(path, kernel=KERNEL):
    """Opens the copy and takes a kernel out; returns the file and its data."""
    file = h5py.File(path, "r+")
    data = file[kernel][:]
    del file[kernel]
    return file, data


def test_a_soft_link_is_not_followed(room, tiny):
    file, data = spoil(tiny)
    file["elsewhere"] = data
    file[KERNEL] = h5py.SoftLink("/elsewhere")
    file.close()
    refused(room, tiny, "embedding", "links")


def test_an_external_link_is_not_followed(room, tiny):
    file, data = spoil(tiny)
    with h5py.File(room.work / "other.h5", "w") as other:
        other["kernel"] = data
    file[KERNEL] = h5py.ExternalLink("other.h5", "/kernel")
    file.close()
    refused(room, tiny, "embedding", "links")


def test_numbers_outside_the_file_are_not_read(room, tiny):
    file, data = spoil(tiny)
    (room.work / "secret").write_bytes(data.tobytes())
    file.create_dataset(KERNEL, data.shape, data.dtype,
                        external=[(str(room.work / "secret"), 0, data.nbytes)])
    file.close()
    refused(room, tiny, "embedding", "stored outside")


def test_a_virtual_dataset_is_not_read(room, tiny):
    file, data = spoil(tiny)
    with h5py.File(room.work / "other.h5", "w") as other:
        other["kernel"] = data
    layout = h5py.VirtualLayout(data.shape, data.dtype)
    layout[:] = h5py.VirtualSource(room.work / "other.h5", "kernel",
                                   data.shape)
    file.create_virtual_dataset(KERNEL, layout)
    file.close()
    refused(room, tiny, "embedding", "stored outside")


def test_another_filter_is_not_run(room, tiny):
    file, data = spoil(tiny)
    file.create_dataset(KERNEL, data=data, compression="lzf")
    file.close()
    refused(room, tiny, "embedding", "filter")


def test_deflated_weights_are_read(room, tiny):
    file, data = spoil(tiny)
    file.create_dataset(KERNEL, data=data, compression="gzip", shuffle=True,
                        fletcher32=True)
    file.close()
    done = room.run("model", "import", tiny, "--out", room.work / "out")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(room.work / "out")
    plain = room.run("model", "import", TINY / "tiny_3.h5", "--out",
                     room.work / "out")
    assert done.stdout.splitlines()[1:6] == plain.stdout.splitlines()[1:6]


def test_whole_numbers_are_no_weights(room, tiny):
    file, data = spoil(tiny)
    file[KERNEL] = (data * 100).astype("int8")
    file.close()
    refused(room, tiny, "embedding", "quantised")


@pytest.mark.parametrize("kind", ["half", "double"])
def test_other_precisions_are_read(room, tiny, kind):
    file, data = spoil(tiny)
    file[KERNEL] = data.astype({"half": "<f2", "double": ">f8"}[kind])
    file.close()
    done = room.run("model", "import", tiny, "--out", room.work / "out")
    assert done.returncode == 0, done.stderr


def test_another_shape_is_refused_naming_both(room, tiny):
    file, data = spoil(tiny)
    file[KERNEL] = data.T.copy()
    file.close()
    refused(room, tiny, "embedding", "5 x 4", "4 x 5")


def test_a_missing_weight_is_named(room, tiny):
    spoil(tiny)[0].close()
    refused(room, tiny, "embedding", "has no")


def with_units(path, units):
    """Lets the config claim that many units of the embedding."""
    file, _ = spoil(path)
    config = json.loads(file.attrs["model_config"])
    for layer in config["config"]["layers"]:
        if layer["config"]["name"] == "embedding":
            layer["config"]["units"] = units
    file.attrs["model_config"] = json.dumps(config)
    return file


def test_a_claim_of_numbers_that_are_not_there_is_refused(room, tiny):
    file = with_units(tiny, 1 << 20)
    file.create_dataset(KERNEL, (4, 1 << 20), "f4")
    file.close()
    refused(room, tiny, "embedding", "claims 16777216 bytes", "0 are stored")


def test_a_bomb_of_deflated_zeros_is_refused(room, tiny):
    file = with_units(tiny, 1 << 20)
    dataset = file.create_dataset(KERNEL, (4, 1 << 20), "f4", compression=9,
                                  chunks=(1, 1 << 18))
    dataset[0, :1 << 18] = 0
    file.close()
    refused(room, tiny, "embedding", "claims 16777216 bytes")


def test_a_huge_claim_of_the_config_is_refused(room, tiny):
    with_units(tiny, 1 << 40).close()
    refused(room, tiny, "embedding", "units")


def change_config(path, change):
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change({layer["config"]["name"]: layer
                for layer in config["config"]["layers"]})
        file.attrs["model_config"] = json.dumps(config)


def test_layers_in_a_circle_are_refused(room, tiny):
    def change(layers):
        layers["embedding"]["inbound_nodes"] = layers["drop"]["inbound_nodes"]
    change_config(tiny, change)
    refused(room, tiny, "needs itself")


def test_a_connection_to_nothing_is_refused(room, tiny):
    def change(layers):
        node = layers["drop"]["inbound_nodes"][0]
        node["args"][0]["config"]["keras_history"] = ["nobody", 0, 0]
    change_config(tiny, change)
    refused(room, tiny, "nobody")


def test_a_config_that_is_no_json_is_refused(room, tiny):
    with h5py.File(tiny, "r+") as file:
        file.attrs["model_config"] = '{"class_name": '
    refused(room, tiny, "model_config", "line 1")


def test_a_config_over_the_limit_is_refused(room, tiny):
    with h5py.File(tiny, "r+") as file:
        del file.attrs["model_config"]
        file.attrs.create("model_config", np.bytes_(b" " * 60000))
    refused(room, tiny, "model_config")


def archive(path, **entries):
    with zipfile.ZipFile(TINY / "tiny_3.keras") as old, \
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            key = name.split(".")[0]
            data = entries.get(key, old.read(name))
            if data is not None:
                new.writestr(name, data)


def test_a_packed_archive_is_read(room):
    path = room.work / "model.keras"
    archive(path)
    done = room.run("model", "import", path, "--out", room.work / "out")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", ["config", "model"])
def test_an_archive_without_a_part_is_refused(room, missing):
    path = room.work / "model.keras"
    archive(path, **{missing: None})
    refused(room, path, {"config": "config.json",
                         "model": "model.weights.h5"}[missing])


def test_a_large_config_in_an_archive_is_refused(room):
    path = room.work / "model.keras"
    archive(path, config=b" " * (17 << 20))
    refused(room, path, "config.json", "at most")


def test_weights_that_are_no_hdf5_are_refused(room):
    path = room.work / "model.keras"
    archive(path, model=b"x" * 5000)
    refused(room, path, "HDF5")


def test_weights_of_another_layer_are_refused(room):
    """Keras 3 notes names beside weights; two that are swapped would fit."""
    path = room.work / "model.keras"
    weights = room.work / "weights.h5"
    with zipfile.ZipFile(TINY / "tiny_3.keras") as old:
        weights.write_bytes(old.read("model.weights.h5"))
    with h5py.File(weights, "r+") as file:
        file["layers/dense/vars"].attrs["name"] = "another"
    data = weights.read_bytes()
    weights.unlink()
    archive(path, model=data)
    refused(room, path, "another layer")


def test_an_encrypted_entry_is_refused(room):
    path = room.work / "model.keras"
    archive(path)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)
    path.write_bytes(data)
    refused(room, path, "encrypted")
