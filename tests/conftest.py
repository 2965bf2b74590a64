"""Fixtures shared by all tests, and what they ran with; the builders are in `audio_kit`."""

from __future__ import annotations

from pathlib import Path

import av
import faster_whisper
import numpy as np
import pytest
import soundfile
import soxr
from audio_kit import DATA
from hypothesis import settings

from prep.models.ear import Ear, ear_digest, open_ear
from prep.models.registry import cache_root
from prep.stages.listen import Listen
from prep.store import Store

settings.register_profile("voxprep", deadline=None, max_examples=100, derandomize=True)
settings.load_profile("voxprep")


def pytest_report_header() -> str:
    """A changed codec explains many a changed number."""
    ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
    return (
        f"numpy {np.__version__}, soundfile {soundfile.__version__} ({soundfile.__libsndfile_version__}), "
        f"soxr {soxr.__version__}, PyAV {av.__version__} (libavcodec {ffmpeg}); data: {DATA}"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the shared recordings, tests that need them are skipped and say so."""
    if not DATA.is_dir():
        missing = pytest.mark.skip(reason=f"no recordings at {DATA} (VOXPREP_TEST_DATA names them)")
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(missing)


@pytest.fixture(scope="session")
def data() -> Path:
    """The shared recordings (mark the test `data`)."""
    if not DATA.is_dir():
        pytest.skip(f"no recordings at {DATA} (VOXPREP_TEST_DATA names them)")
    return DATA


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def silero_path() -> Path:
    (path,) = (Path(faster_whisper.__file__).parent / "assets").glob("silero_vad*.onnx")
    return path


@pytest.fixture(scope="session")
def ear() -> Ear:
    return open_ear(cache_root())


@pytest.fixture(scope="session")
def listening(ear: Ear) -> Listen:
    return Listen(lambda: ear, ear_digest())
