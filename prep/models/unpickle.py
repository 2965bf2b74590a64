"""Tensors out of a PyTorch file, without PyTorch and without running what a pickle may ask for.

A file written by `torch.save` is a zip: `NAME/data.pkl` says which tensors there are, `NAME/data/KEY` holds the
numbers of each storage. A pickle may name any callable of any module; here exactly those that a dict of tensors needs
are known, and they are ours. Anything else ends in `ModelError` before it is looked up.
"""

from __future__ import annotations

import collections
import pickle
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prep.errors import ModelError

Tensor = npt.NDArray[Any]
PICKLE_MAX_BYTES = 4 << 20
"""CAM++'s, with 937 tensors, has 0.1 MB."""
_DTYPES = {
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "ShortStorage": "<i2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
    "BoolStorage": "?",
}


@dataclass(frozen=True)
class _Kind:
    """A storage class by its numpy type; not callable, so that a pickle can name it and nothing more."""

    dtype: str


def read_tensors(path: Path) -> dict[str, Any]:
    """The dict that `torch.save` wrote: tensors become numpy arrays, dicts, numbers and texts stay what they are.

    Raises:
        ModelError: not such a file, damaged, or it asks for anything but tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            loaded = _Reader(archive).read()
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{path.name} is not a readable PyTorch file: {error}") from error
    except (pickle.UnpicklingError, EOFError, struct.error) as error:
        raise ModelError(f"{path.name} refused: {error}") from error
    except (AttributeError, IndexError, KeyError, MemoryError, OverflowError, TypeError, ValueError) as error:
        raise ModelError(f"{path.name} refused, its pickle is malformed: {type(error).__name__}: {error}") from error
    if not isinstance(loaded, dict):
        raise ModelError(f"{path.name} refused: it holds a {type(loaded).__name__}, not a dict of tensors")
    return dict(loaded)


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """The arrays of nested dicts, by their keys joined with dots; what is no array is left out."""
    found: dict[str, Tensor] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, np.ndarray):
            found[f"{prefix}{key}"] = value
    return found


class _Reader:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        (self._pickle,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        self._folder = self._pickle.removesuffix("data.pkl")
        self._storages: dict[str, Tensor] = {}

    def read(self) -> Any:
        if self._archive.getinfo(self._pickle).file_size > PICKLE_MAX_BYTES:
            raise pickle.UnpicklingError(f"its pickle is longer than {PICKLE_MAX_BYTES:,} B")
        order = f"{self._folder}byteorder"
        if order in self._archive.namelist() and self._archive.read(order) != b"little":
            raise pickle.UnpicklingError("its numbers are not little-endian")
        with self._archive.open(self._pickle) as file:
            return _Unpickler(file, self._storage).load()

    def _storage(self, kind: object, key: object, n_items: object) -> Tensor:
        """The numbers of one storage; it must be stored uncompressed (as PyTorch does) and exactly as long as said."""
        if not (isinstance(kind, _Kind) and isinstance(key, str) and isinstance(n_items, int)):
            raise pickle.UnpicklingError("a storage is not described as PyTorch does")
        if key not in self._storages:
            entry = self._archive.getinfo(f"{self._folder}data/{key}")
            n_bytes = n_items * np.dtype(kind.dtype).itemsize
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != n_bytes:
                raise pickle.UnpicklingError(f"storage {key} has {entry.file_size:,} B where {n_bytes:,} B belong")
            self._storages[key] = np.frombuffer(self._archive.read(entry), kind.dtype)
        found = self._storages[key]
        if found.dtype != np.dtype(kind.dtype) or len(found) != n_items:
            raise pickle.UnpicklingError(f"storage {key} is described in two ways")
        return found


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, storage: Any) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _DTYPES:
            return _Kind(_DTYPES[name])
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and nothing but tensors is read")

    def persistent_load(self, pid: Any) -> Tensor:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise pickle.UnpicklingError(f"it refers to something outside: {pid!r:.80}")
        _, kind, key, _device, n_items = pid
        found: Tensor = self._storage(kind, key, n_items)
        return found


def _rebuild(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None, *_: Any
) -> Tensor:
    """A copy of the tensor's items; every one of them must lie inside the storage."""
    numbers = [offset, *size, *stride]
    if not isinstance(storage, np.ndarray) or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor is not described as PyTorch does")
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise pickle.UnpicklingError("a tensor has a negative size, step or place")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and (last >= len(storage) or int(np.prod(size, dtype=object)) > len(storage)):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    if 0 in size:
        return np.zeros(size, storage.dtype)
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False).copy()
