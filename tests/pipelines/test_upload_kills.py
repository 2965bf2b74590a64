"""An upload killed between any two steps, started again: always one voice, always ready."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from upload_kit import creates, good_run, job, voices, wire

from pipelines.sandbox.app import running
from pipelines.upload import upload

CHILD = """
import os, pathlib, sys
from pipelines.upload import UploadJob, upload
run, point = pathlib.Path(sys.argv[1]), sys.argv[2]
wish = UploadJob(run, "qhaigc", "Ann", run / "consent.toml", {"contact_email": "user@example.com"})
upload(wish, observe=lambda passed: os._exit(9) if passed == point else None)
"""
POINTS = {
    # point: (creates sent before the kill, how the second run ends)
    "planned": (0, "enrolled"),
    "look:begun": (0, "enrolled"),
    "look:done": (0, "enrolled"),
    "create:begun": (0, "enrolled"),
    "create:answered": (1, "adopted"),
    "create:done": (1, "adopted"),
    "voice:begun": (1, "adopted"),
    "ready": (1, "already"),
    "receipt": (1, "already"),
}


@pytest.fixture(scope="module")
def sandbox():
    with running() as here:
        yield here


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_started_again(sandbox, tmp_path, point):
    sandbox.books.reset()
    wish = job(good_run(tmp_path))
    command = [sys.executable, "-c", CHILD, str(tmp_path), point]
    environ = {**sandbox.environment, "PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run(command, env=environ, check=False).returncode == 9
    sent, ending = POINTS[point]
    assert creates(sandbox) == sent
    again = upload(wish, wire(sandbox))
    assert again.state == ending
    assert (creates(sandbox), voices(sandbox)) == (1, ["Ann"])
    with closing(sqlite3.connect(tmp_path / "uploads.sqlite")) as db:
        assert db.execute("SELECT attempt, state FROM enrolments").fetchall() == [(1, "ready")]
    assert again.receipt["voice_id"] == "Ann"
    assert (tmp_path / "vendors/qhaigc/receipt.json").exists()
