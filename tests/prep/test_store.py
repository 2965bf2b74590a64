"""The store: old entry, new entry or none, never half of one."""

import threading
from pathlib import Path

import pytest

from prep.store import Store, digest, file_sha256, fill_atomic, write_atomic


def entry(store: Store) -> Path:
    (path,) = (store.root / "results").rglob("*.json")
    return path


def test_digest_tells_apart_what_is_cut_or_typed_differently():
    keys = [digest("ab", "c"), digest("a", "bc"), digest("abc"), digest(1), digest("1"), digest(1.0), digest(None)]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 32 for key in keys)


def test_digest_does_not_depend_on_the_order_of_settings():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_file_sha256_of_known_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    "value", [{}, [], 0, "é測\udcff", {"a": [1, 2.5, None]}, {"nested": {"ü": [True]}}, "line\nline"]
)
def test_what_is_put_comes_back(store, value):
    store.put("k" * 32, value)
    assert store.get("k" * 32) == value


def test_an_absent_entry_is_none(store):
    assert store.get("0" * 32) is None


def test_a_later_put_replaces(store):
    store.put("k" * 32, 1)
    store.put("k" * 32, 2)
    assert store.get("k" * 32) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:-1],
        lambda raw: b"",
        lambda raw: raw.replace(b"12345", b"12346"),
        lambda raw: b"\xff" + raw[1:],
        lambda raw: raw + b" ",
        lambda raw: b"\0" * len(raw),
    ],
    ids=["half", "last byte gone", "empty", "digit flipped", "head damaged", "byte added", "zeros"],
)
def test_a_damaged_entry_reads_as_absent_and_can_be_put_again(store, damage):
    store.put("k" * 32, {"n": 12345})
    path = entry(store)
    path.write_bytes(damage(path.read_bytes()))
    assert store.get("k" * 32) is None
    store.put("k" * 32, {"n": 12345})
    assert store.get("k" * 32) == {"n": 12345}


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), SystemExit(1)])
def test_an_error_while_filling_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "folder" / "x.json"
    write_atomic(path, b"old")

    def fill(temporary: Path) -> None:
        temporary.write_bytes(b"half of the n")
        raise error

    with pytest.raises(type(error)):
        fill_atomic(path, fill)
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_an_error_while_filling_a_new_file_leaves_nothing(tmp_path):
    def fill(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fill_atomic(tmp_path / "x", fill)
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_file_keeps_the_suffix_that_writers_look_at(tmp_path):
    seen = []
    fill_atomic(tmp_path / "x.flac", lambda temporary: (seen.append(temporary.suffix), None)[1])
    assert seen == [".flac"]


def test_a_value_that_is_no_json_leaves_nothing(store):
    with pytest.raises(TypeError):
        store.put("k" * 32, {"path": object()})
    assert store.get("k" * 32) is None
    assert not store.root.exists() or list(store.root.rglob("*.json")) == []


def test_readers_see_whole_entries_while_others_write(store):
    store.put("k" * 32, [0] * 5000)
    stop = threading.Event()

    def write(n: int) -> None:
        while not stop.is_set():
            store.put("k" * 32, [n] * 5000)

    writers = [threading.Thread(target=write, args=(n,)) for n in (1, 2)]
    for writer in writers:
        writer.start()
    seen = [store.get("k" * 32) for _ in range(200)]
    stop.set()
    for writer in writers:
        writer.join()
    assert all(value is not None and len(set(value)) == 1 and len(value) == 5000 for value in seen)


def test_a_blob_is_adopted_under_its_key(store):
    temporary = store.new_blob(".flac")
    temporary.write_bytes(b"12345")
    path = store.adopt(temporary, "ab" * 16, ".flac")
    assert path == store.blob_path("ab" * 16, ".flac")
    assert path.read_bytes() == b"12345"
    assert not temporary.exists()
    assert store.size_bytes() == 5


def test_the_size_of_a_store_never_used_is_0(tmp_path):
    assert Store(tmp_path / "nowhere").size_bytes() == 0
