"""Uploads in a storm: one enrolment under random faults and kills, run again until it ends; everything from a seed.

A run happens in a forked child that dies with `os._exit` at the n-th point the upload passes. The sandbox lives in
this process and keeps what it was sent. What must hold at the end is in `wrongs`. `python -m benchmarks uploads` runs a
thousand of them, several at a time: they mostly wait.
"""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sandbox_kit import SAID, speech
from upload_kit import BY_URL, CREATES, VENDORS, environment, good_run, served, wav, write_consent

from pipelines.sandbox.app import Running, running
from pipelines.sandbox.settings import FAULTS, PlannedFault, Settings

KILLED = 9
ENDINGS = {0: "ready", 3: "refused", 4: "retry", 5: "unknown", KILLED: "killed"}
READ_S = 0.5  # a silent vendor is given up after this
SETTLE_S = 2.5  # so long the sandbox may take for a create, on a busy machine too
MOST_POINTS = 30
MOST_RUNS = 12
SETTINGS = Settings(train_s=0.02, hang_s=0.8, retry_after_s=0, slow_s=0.2)
REASON = "the sample is noisy"
LOST = ("garbage", "cut", "hang-after", "hang-before", "503", "500")
"""Faults that leave open whether a create was carried out."""


def child_main() -> None:
    """Fork a child for every JSON line on stdin; answer with its exit code. Single-threaded, so forking is safe."""
    import pipelines.upload  # noqa: F401  (loaded once, here, not in every child)
    import prep.hosting.folder
    import prep.providers.ai302
    import prep.providers.kling
    import prep.providers.qhaigc
    import prep.providers.qiniu
    import prep.providers.qwen  # noqa: F401

    for line in sys.stdin:
        wish = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(one_run(wish))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def one_run(wish: dict[str, Any]) -> int:
    """One upload; its exit code says how it ended."""
    import pipelines.upload as uploading
    from pipelines.voices import Wire
    from prep.errors import OutcomeUnknown, Refused, Retryable
    from prep.providers.http import Backoff

    class Impatient(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            request.extensions["timeout"] = {"connect": 5, "read": READ_S, "write": 5, "pool": 5}
            return super().handle_request(request)

    points = [0]

    def passed(point: str) -> None:
        points[0] += 1
        if wish["kill_at"] in (points[0], point):
            os._exit(KILLED)

    run = Path(wish["run"])
    options = {"contact_email": "user@example.com"} if wish["vendor"] == "qhaigc" else {}
    job = uploading.UploadJob(run, wish["vendor"], "Ann", run / "consent.toml", options, hosting=wish["hosting"])
    wire = Wire(wish["environ"], Impatient(), Backoff(start_s=0.005, cap_s=0.05, settle_s=SETTLE_S))
    try:
        uploading.upload(job, wire, passed)
    except (Refused, Retryable, OutcomeUnknown) as error:
        (run / "said.txt").write_text(str(error), encoding="utf-8")
        return {Refused: 3, Retryable: 4, OutcomeUnknown: 5}[type(error)]
    except Exception:  # noqa: BLE001  whatever it is belongs into the storm's report
        (run / "said.txt").write_text(traceback.format_exc(), encoding="utf-8")
        return 6
    return 0


class Forker:
    """The process that forks the children."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), "--child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def run(self, **wish: Any) -> int:
        """One upload in a child; its exit code."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@dataclass
class Storm:
    """What happened: how each run ended, and what is wrong at the end."""

    seed: int
    vendor: str
    runs: list[str] = field(default_factory=list)
    n_faults: int = 0
    wrongs: list[str] = field(default_factory=list)
    end: str = ""


@contextmanager
def weather() -> Iterator[tuple[Running, Forker]]:
    """A sandbox and a forker."""
    with running(SETTINGS) as here:
        forker = Forker()
        try:
            yield here, forker
        finally:
            forker.close()


def storm(seed: int, here: Running, forker: Forker) -> Storm:
    """One enrolment from first try to its end; `seed` chooses vendor, faults and kills."""
    rng = random.Random(seed)
    this = Storm(seed, VENDORS[seed % len(VENDORS)])
    here.books.reset()
    folder = Path(tempfile.mkdtemp(prefix="storm"))
    try:
        with served(folder / "others") as others, served(folder / "www") as spec:
            before = somebody_else(here, this.vendor, folder / "others", others.partition("=")[2])
            write_consent(good_run(folder, this.vendor))
            for _ in range(rng.randint(1, 4)):
                rough(this, rng, here)
                run(this, here, forker, folder, spec, death(this.vendor, rng))
            here.books.faults.clear()
            here.books.outcomes.clear()
            calm(this, here, forker, folder, spec)
            this.wrongs += wrongs(this, here, folder, before)
    finally:
        shutil.rmtree(folder)
    return this


def rough(this: Storm, rng: random.Random, here: Running) -> None:
    """Plan what goes wrong in the next run."""
    if rng.random() < 0.5:
        method, _, path = CREATES[this.vendor].partition(" ")
        here.books.plan(PlannedFault(rng.choice(LOST), path, method, rng.randint(1, 3)))
        this.n_faults += 1
    for _ in range(rng.randint(0, 2)):
        method = rng.choice(["*", "POST", "GET"] + (["PUT", "DELETE"] if this.vendor == "qiniu" else []))
        here.books.plan(PlannedFault(rng.choice(FAULTS), f"/{this.vendor}/", method, rng.randint(1, 6)))
        this.n_faults += 1
    if rng.random() < 0.2:
        here.books.fail_next(this.vendor, REASON)


def death(vendor: str, rng: random.Random) -> int | str:
    """Where a run is killed: at a step that makes something, at any n-th point, or not at all (0)."""
    steps = ["slot", "train"] if vendor == "qiniu" else ["create"]
    named = [f"{step}:{when}" for step in steps for when in ("begun", "answered", "done")]
    named += ["host:begun", "host:there", "follow:begun", "ready", "host:removed", "receipt"]
    return rng.choice([rng.choice(named), rng.randint(1, MOST_POINTS), 0])


def run(this: Storm, here: Running, forker: Forker, folder: Path, spec: str, kill_at: int | str) -> str:
    """One run of the upload, killed at its n-th point or at a named one (0 = not)."""
    hosting = spec if this.vendor in BY_URL else ""
    code = forker.run(run=str(folder), vendor=this.vendor, hosting=hosting, environ=environment(here), kill_at=kill_at)
    ending = ENDINGS.get(code, f"exit {code}")
    if ending.startswith("exit"):
        this.wrongs.append(f"a run ended with {ending}: {(folder / 'said.txt').read_text(encoding='utf-8')}")
    this.runs.append(ending)
    return ending


def calm(this: Storm, here: Running, forker: Forker, folder: Path, spec: str) -> None:
    """Run it again, undisturbed, until it is ready; an `unknown` that stays one is an end as well."""
    last = ""
    for _ in range(MOST_RUNS):
        ending = run(this, here, forker, folder, spec, 0)
        if ending == "ready" or (ending == last == "unknown"):
            break
        last = ending
    this.end = state(folder)[-1]


def state(folder: Path) -> list[str]:
    """The state of each attempt, as the ledger has it."""
    with closing(sqlite3.connect(folder / "uploads.sqlite")) as db:
        return [row[0] for row in db.execute("SELECT state FROM enrolments ORDER BY attempt")]


def wrongs(this: Storm, here: Running, folder: Path, before: dict[str, Any]) -> list[str]:
    """What must not be: all promises of an upload that was run until it ended."""
    out = []
    states, store = state(folder), here.books.stores[this.vendor]
    ours = [row for key, row in store.items() if key not in before]
    made = alive(this.vendor, ours)
    if this.end not in ("ready", "unknown"):
        out.append(f"it ended {this.end} ({this.runs[-1]}): {(folder / 'said.txt').read_text(encoding='utf-8')}")
    if this.end == "unknown" and this.vendor != "ai302":
        out.append("unknown, though the vendor has a look-up and it works")
    if set(states[:-1]) - {"failed"}:
        out.append(f"earlier attempts ended {states[:-1]}")
    if this.end == "ready" and this.vendor != "ai302" and len(made) != 1:
        out.append(f"{len(made)} voices: {made}")
    if this.vendor in ("ai302", "kling") and len(ours) > len(states):
        out.append(f"{len(ours)} tasks in {len(states)} attempts")
    if this.vendor == "qiniu" and len(ours) != 1:
        out.append(f"{len(ours)} slots: {ours}")
    left = [path.name for path in (folder / "www").iterdir()]
    if left:
        out.append(f"hosted files left: {left}")
    if any(b"sk-sandbox" in path.read_bytes() for path in folder.rglob("*") if path.is_file()):
        out.append("a key is in a file")
    changed = [key for key, row in before.items() if looks(store.get(key)) != row]
    if changed:
        out.append(f"somebody else's were touched: {changed}")
    return out


def alive(vendor: str, rows: list[Any]) -> list[Any]:
    """The usable voices among these."""
    if vendor == "kling":
        return [row for row in rows if row.voice]
    if vendor == "qiniu":
        return [row for row in rows if row.state == "Success"]
    return rows


def looks(row: Any) -> str:
    """What of somebody else's object must stay as it is."""
    return repr(row)


def somebody_else(here: Running, vendor: str, folder: Path, url: str) -> dict[str, Any]:
    """Objects of the same account that are not ours, made by hand: the same name, an empty slot."""
    with httpx.Client(headers={"Authorization": "Bearer sk-sandbox"}, trust_env=False, timeout=20) as http:
        base = here.base_url(vendor)
        if vendor == "kling":
            (folder / "other.wav").write_bytes(speech(8.0))
            body = {"voice_name": "Ann", "voice_url": f"{url}/other.wav", "external_task_id": "other"}
            http.post(f"{base}/v1/general/custom-voices", json=body).raise_for_status()
            for _ in range(300):
                task = http.get(f"{base}/v1/general/custom-voices/other").json()["data"]
                if task["task_status"] in ("succeed", "failed"):
                    break
                time.sleep(0.01)
        elif vendor == "qiniu":
            for _ in range(2):
                http.post(f"{base}/v1/voice-clones", json={"model_id": "QN_ACV"}).raise_for_status()
        elif vendor == "qwen":
            data = "data:audio/wav;base64," + base64.b64encode(speech(8.0)).decode()
            wish = {"action": "create", "target_model": "qwen3-tts-vc-2026-01-22", "preferred_name": "ann"}
            body = {"model": "qwen-voice-enrollment", "input": {**wish, "audio": {"data": data}, "text": SAID}}
            http.post(f"{base}/services/audio/tts/customization", json=body).raise_for_status()
        elif vendor == "qhaigc":
            form = {"name": "Bob", "reference_texts": ["one", "two"], "contact_email": "a@example.com"}
            files = [("audio_files", (f"{n}.wav", wav(seed=n), "audio/wav")) for n in (1, 2)]
            http.post(f"{base}/v1/voice/model", data=form, files=files).raise_for_status()
    here.books.calls.clear()
    return {key: looks(row) for key, row in here.books.stores[vendor].items()}


COLUMNS = ("vendor", "enrolments", "runs", "killed", "faults planned", "ready", "unknown", "wrong")


def rows(storms: list[Storm]) -> list[tuple[str, ...]]:
    """The storms by vendor, and all together, under `COLUMNS`."""
    out = []
    for vendor in (*VENDORS, "all"):
        mine = [one for one in storms if vendor in (one.vendor, "all")]
        ends, runs = Counter(one.end for one in mine), Counter(ending for one in mine for ending in one.runs)
        planned, wrong = sum(one.n_faults for one in mine), sum(bool(one.wrongs) for one in mine)
        cells = (len(mine), runs.total(), runs["killed"], planned, ends["ready"], ends["unknown"], wrong)
        out.append((vendor, *map(str, cells)))
    return out


def many(n: int, first: int = 0) -> list[Storm]:
    """The storms of `n` seeds, one after the other; what is wrong is printed at once."""
    storms = []
    with weather() as (here, forker):
        for seed in range(first, first + n):
            storms.append(storm(seed, here, forker))
            if storms[-1].wrongs:
                print(storms[-1], file=sys.stderr, flush=True)
    return storms


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        child_main()
    else:
        print(json.dumps([asdict(one) for one in many(*map(int, sys.argv[1:]))]))
