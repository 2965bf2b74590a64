"""The upload ledger: every remote step is on disk before and after it happens, so no kill makes two voices.

    planned -> sending -> ready            sending: a create may be on its way, or training goes on
                 |    -> failed            the vendor said no, or made nothing, and nothing is left there
                 |    -> unknown           the vendor cannot be asked; nothing is sent until it can

An enrolment is identified by vendor, account, name and the files' digests; each attempt at it has a token of
its own. A re-run after `failed` is a new attempt, unless a create of the failed one was never answered: that
one might still come to life, so it is gone on with under its own token. The file is SQLite in WAL mode, or
with a rollback journal where the file system refuses WAL, always in exclusive mode: the operating system frees
the lock when a process dies, and a second upload is told so. Keys are never in it, only a salted hash that
tells accounts apart; nor are addresses of hosted files, which may carry a signature, only what removes them.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self, cast

from prep.errors import ConfigError, PrepError, ProviderError, Refused, Retryable
from prep.providers.base import EnrolRequest

State = Literal["planned", "sending", "ready", "failed", "unknown"]
Observer = Callable[[str], None]
"""Told of each point passed (`create:begun`, `create:answered`, `create:done`, `ready`, ...)."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS enrolments (
  id TEXT NOT NULL, attempt INTEGER NOT NULL, vendor TEXT NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL,
  files TEXT NOT NULL, consent TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('planned', 'sending', 'ready', 'failed', 'unknown')),
  voice_id TEXT NOT NULL DEFAULT '', adopted INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '',
  receipt TEXT NOT NULL DEFAULT '', created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
  PRIMARY KEY (id, attempt));
CREATE TABLE IF NOT EXISTS steps (
  n INTEGER PRIMARY KEY, id TEXT NOT NULL, attempt INTEGER NOT NULL, step TEXT NOT NULL, creates INTEGER NOT
  NULL, outcome TEXT NOT NULL CHECK (outcome IN ('begun', 'done', 'refused', 'lost')), facts TEXT NOT NULL
  DEFAULT '', begun_at TEXT NOT NULL, ended_at TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS hosted (
  n INTEGER PRIMARY KEY, id TEXT NOT NULL, attempt INTEGER NOT NULL, spec TEXT NOT NULL, key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('begun', 'there', 'removed', 'kept')), at TEXT NOT NULL);
"""
LOCK_WAIT_S = 1.0


class LedgerBusy(PrepError):
    """Another upload holds this ledger."""


@dataclass(frozen=True)
class Plan:
    """Who is to be enrolled where: `account` is the salted hash, `digests` the files' sha256 in order.

    `consent` is what is kept of the consent record (its id and summary), by name. `instead` is what stands
    for the files where there are none (Kling: the id of a video).
    """

    vendor: str
    account: str
    request: EnrolRequest
    consent: Mapping[str, str]
    instead: str = ""

    @property
    def digests(self) -> list[str]:
        """The files' sha256, in order."""
        return [sample.sha256 for sample in self.request.samples]

    @property
    def id(self) -> str:
        """sha256 over vendor, account, name and files (or what stands for them); no other option counts."""
        parts = [self.vendor, self.account, self.request.name, *self.digests]
        parts += [f"instead of files: {self.instead}"] if self.instead else []
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Enrolment:
    """One row: where an attempt stands. `receipt` is empty until it was written."""

    id: str
    attempt: int
    state: State
    voice_id: str
    adopted: bool
    message: str
    receipt: str
    updated_at: str

    @property
    def token(self) -> str:
        """32 hex digits that belong to this attempt alone."""
        return hashlib.sha256(f"{self.id} attempt {self.attempt}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class HostedRow:
    """A file put somewhere for a vendor to fetch; `key` removes it again from where `spec` says."""

    n: int
    spec: str
    key: str
    state: Literal["begun", "there", "removed", "kept"]


@dataclass(frozen=True)
class StepRow:
    """One remote step as the ledger has it."""

    attempt: int
    step: str
    outcome: str
    facts: Mapping[str, str]


class Ledger:
    """An open ledger, locked for this process; use `Ledger.open`."""

    def __init__(self, connection: sqlite3.Connection, observe: Observer) -> None:
        self._db = connection
        self.observe = observe

    @classmethod
    @contextmanager
    def open(cls, path: Path, observe: Observer = lambda point: None) -> Iterator[Self]:
        """Open or make the ledger at `path` and hold it.

        Raises:
            LedgerBusy: another process holds it.
            ConfigError: the file is not a ledger, or cannot be written.
        """
        try:
            connection = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None)
        except sqlite3.Error as error:
            raise ConfigError(f"{path}: cannot be opened as an upload ledger ({error})") from error
        with closing(connection):
            try:
                connection.execute("PRAGMA locking_mode=EXCLUSIVE")
                prefer_wal(connection)
                connection.execute("PRAGMA synchronous=FULL")
                connection.executescript(f"BEGIN EXCLUSIVE; {SCHEMA} PRAGMA user_version=1; COMMIT;")
            except sqlite3.Error as error:
                raise _opening(path, error) from error
            yield cls(connection, observe)

    def latest(self, plan: Plan) -> Enrolment | None:
        """The last attempt at this enrolment, or None."""
        rows = self._db.execute(
            "SELECT id, attempt, state, voice_id, adopted, message, receipt, updated_at FROM enrolments"
            " WHERE id = ? ORDER BY attempt DESC LIMIT 1",
            (plan.id,),
        )
        row = rows.fetchone()
        return None if row is None else Enrolment(row[0], row[1], row[2], row[3], bool(row[4]), *row[5:])

    def begin(self, plan: Plan) -> Enrolment:
        """The attempt to go on with: the one that may still be alive at the vendor, else a new one, planned."""
        last = self.latest(plan)
        if last is not None and last.state != "failed":
            return last
        if last is not None and self.may_exist(last, ("begun", "lost")):
            return self.settle(plan, "planned")
        now = _now()
        facts = (plan.id, last.attempt + 1 if last else 1, plan.vendor, plan.account, plan.request.name)
        self._write(
            "INSERT INTO enrolments"
            " (id, attempt, vendor, account, name, files, consent, state, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 'planned', ?, ?)",
            (*facts, json.dumps(plan.digests), json.dumps(dict(plan.consent)), now, now),
        )
        self.observe("planned")
        return cast(Enrolment, self.latest(plan))

    def settle(
        self, plan: Plan, state: State, *, voice_id: str = "", adopted: bool = False, message: str = ""
    ) -> Enrolment:
        """Write where the latest attempt ended, and return it."""
        self._write(
            "UPDATE enrolments SET state = ?, voice_id = ?, adopted = ?, message = ?, updated_at = ?"
            " WHERE id = ? AND attempt = (SELECT max(attempt) FROM enrolments WHERE id = ?)",
            (state, voice_id, adopted, message, _now(), plan.id, plan.id),
        )
        self.observe(state)
        return cast(Enrolment, self.latest(plan))

    def keep_receipt(self, enrolment: Enrolment, receipt: str) -> None:
        """Keep the receipt with its attempt, so that a re-run shows the same one."""
        self._write(
            "UPDATE enrolments SET receipt = ? WHERE id = ? AND attempt = ?",
            (receipt, enrolment.id, enrolment.attempt),
        )

    def may_exist(self, enrolment: Enrolment, outcomes: tuple[str, ...] = ("begun", "done", "lost")) -> bool:
        """Whether this attempt began a create with one of these outcomes: by default, any but refused."""
        marks = ", ".join("?" * len(outcomes))
        found = self._db.execute(
            f"SELECT 1 FROM steps WHERE id = ? AND attempt = ? AND creates AND outcome IN ({marks}) LIMIT 1",
            (enrolment.id, enrolment.attempt, *outcomes),
        )
        return found.fetchone() is not None

    def resolve(self, enrolment: Enrolment) -> None:
        """The vendor has shown what became of this attempt's creates: none of them is open any more."""
        self._write(
            "UPDATE steps SET outcome = 'done' WHERE id = ? AND attempt = ? AND creates"
            " AND outcome IN ('begun', 'lost')",
            (enrolment.id, enrolment.attempt),
        )

    def recall(self, enrolment: Enrolment, fact: str) -> str:
        """The newest value under this name among the facts of this attempt's steps, or empty."""
        rows = self._db.execute(
            "SELECT facts FROM steps WHERE id = ? AND attempt = ? AND facts != '' ORDER BY n DESC",
            (enrolment.id, enrolment.attempt),
        )
        known = (json.loads(row[0]) for row in rows)
        return str(next((facts[fact] for facts in known if fact in facts), ""))

    def last_open_create(self, enrolment: Enrolment) -> datetime | None:
        """When the newest create of this attempt that was never answered was last heard of; None = there is none."""
        row = self._db.execute(
            "SELECT max(begun_at, ended_at) FROM steps WHERE id = ? AND attempt = ? AND creates"
            " AND outcome IN ('begun', 'lost') ORDER BY n DESC LIMIT 1",
            (enrolment.id, enrolment.attempt),
        ).fetchone()
        return None if row is None else datetime.fromisoformat(row[0])

    def is_open(self, enrolment: Enrolment, step: str) -> bool:
        """Whether the newest step of this name in this attempt was begun and never answered."""
        row = self._db.execute(
            "SELECT outcome FROM steps WHERE id = ? AND attempt = ? AND step = ? ORDER BY n DESC LIMIT 1",
            (enrolment.id, enrolment.attempt, step),
        ).fetchone()
        return row is not None and row[0] in ("begun", "lost")

    def begin_hosting(self, enrolment: Enrolment, spec: str, key: str) -> int:
        """Write down that a file is about to be put at `key`; gives the row's number."""
        row = (enrolment.id, enrolment.attempt, spec, key, _now())
        number = self._write(
            "INSERT INTO hosted (id, attempt, spec, key, state, at) VALUES (?, ?, ?, ?, 'begun', ?)", row
        )
        self.observe("host:begun")
        return number

    def note_hosted(self, number: int, key: str, state: Literal["there", "removed", "kept"]) -> None:
        """Write down what became of a hosted file (`kept`: it cannot be removed)."""
        self._write("UPDATE hosted SET key = ?, state = ?, at = ? WHERE n = ?", (key, state, _now(), number))
        self.observe(f"host:{state}")

    def hosted(self, plan: Plan) -> list[HostedRow]:
        """Every file hosted for this enrolment, by any attempt, in order."""
        rows = self._db.execute("SELECT n, spec, key, state FROM hosted WHERE id = ? ORDER BY n", (plan.id,))
        return [HostedRow(*row) for row in rows]

    def steps(self, plan: Plan) -> list[StepRow]:
        """All steps of all attempts, in order."""
        rows = self._db.execute("SELECT attempt, step, outcome, facts FROM steps WHERE id = ? ORDER BY n", (plan.id,))
        return [StepRow(row[0], row[1], row[2], json.loads(row[3] or "{}")) for row in rows]

    def journal(self, enrolment: Enrolment) -> LedgerJournal:
        """Where a provider writes down the steps of this attempt."""
        return LedgerJournal(self, enrolment)

    def _write(self, sql: str, values: tuple[object, ...]) -> int:
        """One statement, on disk when this returns (autocommit, synchronous=FULL); gives the row's number."""
        return self._db.execute(sql, values).lastrowid or 0

    def _begin_step(self, enrolment: Enrolment, name: str, creates: bool) -> int:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if creates:
                self._write(
                    "UPDATE enrolments SET state = 'sending', updated_at = ? WHERE id = ? AND attempt = ?",
                    (_now(), enrolment.id, enrolment.attempt),
                )
            return self._write(
                "INSERT INTO steps (id, attempt, step, creates, outcome, begun_at) VALUES (?, ?, ?, ?, 'begun', ?)",
                (enrolment.id, enrolment.attempt, name, creates, _now()),
            )

    def _end_step(self, number: int, outcome: str, facts: Mapping[str, str]) -> None:
        self._write(
            "UPDATE steps SET outcome = ?, facts = ?, ended_at = ? WHERE n = ?",
            (outcome, json.dumps(dict(facts), ensure_ascii=False), _now(), number),
        )


class LedgerJournal:
    """The journal of one attempt; see `prep.providers.base.Journal`."""

    def __init__(self, ledger: Ledger, enrolment: Enrolment) -> None:
        self._ledger = ledger
        self._enrolment = enrolment

    @contextmanager
    def step(self, name: str, *, creates: bool = False) -> Iterator[dict[str, str]]:
        """Record begun, then done, refused (nothing made, or never sent) or lost; after any other error begun stays."""
        facts: dict[str, str] = {}
        number = self._ledger._begin_step(self._enrolment, name, creates)
        self._ledger.observe(f"{name}:begun")
        try:
            yield facts
        except (ProviderError, ConfigError) as error:
            outcome = "refused" if isinstance(error, Refused | Retryable | ConfigError) else "lost"
            self._ledger._end_step(number, outcome, facts | {"said": str(error)})
            self._ledger.observe(f"{name}:{outcome}")
            raise
        self._ledger.observe(f"{name}:answered")
        self._ledger._end_step(number, "done", facts)
        self._ledger.observe(f"{name}:done")

    def recall(self, fact: str) -> str:
        """The newest value of a fact in this attempt; see `prep.providers.base.Journal`."""
        return self._ledger.recall(self._enrolment, fact)

    def is_open(self, step: str) -> bool:
        """Whether a step was begun and never answered; see `prep.providers.base.Journal`."""
        return self._ledger.is_open(self._enrolment, step)


def prefer_wal(connection: sqlite3.Connection) -> str:
    """Switch to WAL, or to a rollback journal where WAL is refused; returns the mode, `wal` or `delete`.

    Raises:
        sqlite3.OperationalError: the database is locked.
    """
    try:
        mode = str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
    except sqlite3.OperationalError as error:
        if _is_lock(error):
            raise
        mode = "refused"
    return mode if mode == "wal" else str(connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0])


def _is_lock(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _opening(path: Path, error: sqlite3.Error) -> PrepError:
    if _is_lock(error):
        return LedgerBusy(f"{path}: another upload is using this ledger; wait until it ends, then run this again")
    return ConfigError(f"{path}: cannot be used as an upload ledger ({error})")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
