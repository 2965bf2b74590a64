"""PyTorch files made by hand: tensors are read, anything else is refused and never run."""

import collections
import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from prep.errors import ModelError
from prep.models.unpickle import flat, read_tensors


class Named:
    """Pickles as a reference to `module.name`."""

    def __init__(self, module, name, args=None):
        self.module, self.name, self.args = module, name, args


class Storage:
    def __init__(self, kind, key, n_items):
        self.pid = ("storage", Named("torch", kind), key, "cpu", n_items)


class Tensor:
    def __init__(self, storage, offset, size, stride):
        self.args = (storage, offset, size, stride, False, collections.OrderedDict())


class Writer(pickle._Pickler):
    """Writes what `torch.save` writes, in protocol 2, from the stand-ins above."""

    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            if obj.args is not None:
                super().save(obj.args)
                self.write(pickle.REDUCE)
        elif isinstance(obj, Tensor):
            self.write(pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n")
            super().save(obj.args)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


def torch_file(path, tree, storages=(), compression=zipfile.ZIP_STORED, extra=()):
    buffer = io.BytesIO()
    Writer(buffer, 2).dump(tree)
    return raw_file(path, buffer.getvalue(), storages, compression, extra)


def raw_file(path, data, storages=(), compression=zipfile.ZIP_STORED, extra=()):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        for key, values in (*storages, *extra):
            archive.writestr(f"archive/{key}", values if isinstance(values, bytes) else values.tobytes())
    return path


NUMBERS = np.arange(12, dtype="<f4")
STORED = (("data/7", NUMBERS),)


def test_tensors_with_their_steps_and_places(tmp_path):
    storage = Storage("FloatStorage", "7", 12)
    tree = collections.OrderedDict(
        a=Tensor(storage, 0, (3, 4), (4, 1)),
        b=Tensor(storage, 2, (2, 3), (1, 2)),
        c=Tensor(storage, 5, (), ()),
        d=Tensor(storage, 0, (0, 4), (4, 1)),
        sub={"count": 3, "e": Tensor(storage, 0, (12,), (1,))},
    )
    read = read_tensors(torch_file(tmp_path / "x.pt", tree, STORED))
    np.testing.assert_array_equal(read["a"], NUMBERS.reshape(3, 4))
    np.testing.assert_array_equal(read["b"], [[2, 4, 6], [3, 5, 7]])
    assert read["c"].shape == ()
    assert read["c"] == 5
    assert read["d"].shape == (0, 4)
    assert read["sub"]["count"] == 3
    assert set(flat(read)) == {"a", "b", "c", "d", "sub.e"}


def test_a_call_is_refused_and_not_made(tmp_path):
    mark = tmp_path / "called"
    path = torch_file(tmp_path / "x.pt", {"a": Named("os", "system", (f"touch {mark}",))})
    with pytest.raises(ModelError, match=r"os\.system"):
        read_tensors(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("collections", "namedtuple"),
        ("collections", "OrderedDict.fromkeys"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("prep.models.unpickle", "read_tensors"),
    ],
)
def test_only_the_names_of_tensors_are_known(tmp_path, module, name):
    with pytest.raises(ModelError, match="nothing but tensors"):
        read_tensors(torch_file(tmp_path / "x.pt", {"a": Named(module, name, ())}))


def tensor(offset, size, stride, n_items=12, kind="FloatStorage", key="7"):
    return {"a": Tensor(Storage(kind, key, n_items), offset, size, stride)}


@pytest.mark.parametrize(
    "tree",
    [
        tensor(0, (13,), (1,)),
        tensor(1, (12,), (1,)),
        tensor(-1, (2,), (1,)),
        tensor(4, (2,), (-4,)),
        tensor(0, (2,), (2**62,)),
        tensor(0, (10**6, 10**6), (0, 0)),
        tensor(0, (2, 2), (1,)),
        tensor(0, (2.5,), (1,)),
        tensor(0, (1000,), (1,), n_items=1000),
        tensor(0, (6,), (1,), kind="DoubleStorage"),
        tensor(0, (2,), (1,), key="8"),
        tensor(0, (2,), (1,), key="../../etc/passwd"),
        {"a": Named("torch", "FloatStorage", ())},
        {"a": Tensor("no storage", 0, (2,), (1,))},
    ],
    ids=range(14),
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, tree):
    with pytest.raises(ModelError):
        read_tensors(torch_file(tmp_path / "x.pt", tree, STORED))


def test_a_packed_storage_is_refused(tmp_path):
    path = torch_file(tmp_path / "x.pt", tensor(0, (12,), (1,)), STORED, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="where 48 B belong"):
        read_tensors(path)


def test_big_endian_numbers_are_refused(tmp_path):
    path = torch_file(tmp_path / "x.pt", tensor(0, (12,), (1,)), STORED, extra=[("byteorder", b"big")])
    with pytest.raises(ModelError, match="little-endian"):
        read_tensors(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no pickle",
        pickle.dumps({"a": 1})[:-3],
        pickle.dumps([1, 2]),
        pickle.BINUNICODE8 + (1 << 62).to_bytes(8, "little"),
        b"\x80\x04" + pickle.BYTEARRAY8 + (1 << 62).to_bytes(8, "little") + b".",
        b"\x80\x02" + pickle.POP + b".",
    ],
    ids=range(7),
)
def test_a_broken_pickle_is_refused(tmp_path, data):
    with pytest.raises(ModelError, match=r"x\.pt"):
        read_tensors(raw_file(tmp_path / "x.pt", data))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", os.urandom(100)], ids=["empty", "head of a zip", "noise"])
def test_no_zip_is_refused(tmp_path, data):
    (tmp_path / "x.pt").write_bytes(data)
    with pytest.raises(ModelError, match="not a readable PyTorch file"):
        read_tensors(tmp_path / "x.pt")


def test_a_missing_file_is_a_model_error(tmp_path):
    with pytest.raises(ModelError):
        read_tensors(tmp_path / "x.pt")
