"""The ledger: what is on disk when, who may hold it, and what a re-run may conclude."""

import sqlite3
import subprocess
import sys
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from prep.errors import ConfigError, OutcomeUnknown, ProviderFailure, Refused, Retryable
from prep.providers.base import EnrolRequest, SampleFile
from prep.providers.ledger import Ledger, LedgerBusy, Plan, StepRow, prefer_wal

FAILURE = ProviderFailure("acme", "words")


def plan(name="Ann", account="a1", data=b"x", **options):
    return Plan(
        "acme",
        account,
        EnrolRequest(name, (SampleFile.of(Path("a.wav"), data),), options),
        {"consent_id": "c"},
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "uploads.sqlite"


def test_an_enrolment_is_vendor_account_name_and_files():
    assert plan().id == plan(description="other").id
    assert len({plan().id, plan(name="Bob").id, plan(account="a2").id, plan(data=b"y").id}) == 4


def test_what_is_written_before_is_there_during(path):
    """At every observed point the file, read by a copy, already says so."""
    seen = []

    def look(point):
        copy = path.with_name("copy.sqlite")
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            copy.with_name(copy.name + suffix).write_bytes(source.read_bytes() if source.exists() else b"")
        with closing(sqlite3.connect(copy)) as db:
            state = db.execute("SELECT state FROM enrolments").fetchone()
            step = db.execute("SELECT step, outcome, facts FROM steps ORDER BY n DESC LIMIT 1").fetchone()
        seen.append((point, state[0], step))

    with Ledger.open(path, look) as ledger:
        with ledger.journal(ledger.begin(plan())).step("create", creates=True) as facts:
            facts["voice_id"] = "v"
        ledger.settle(plan(), "ready", voice_id="v")
    assert seen == [
        ("planned", "planned", None),
        ("create:begun", "sending", ("create", "begun", "")),
        ("create:answered", "sending", ("create", "begun", "")),
        ("create:done", "sending", ("create", "done", '{"voice_id": "v"}')),
        ("ready", "ready", ("create", "done", '{"voice_id": "v"}')),
    ]


@pytest.mark.parametrize(
    ("error", "outcome", "may_exist"),
    [
        (Refused(FAILURE), "refused", False),
        (Retryable(FAILURE), "refused", False),
        (OutcomeUnknown(FAILURE), "lost", True),
        (KeyboardInterrupt(), "begun", True),
        (None, "done", True),
    ],
)
def test_outcomes_of_a_create(path, error, outcome, may_exist):
    with Ledger.open(path) as ledger:
        journal = ledger.journal(ledger.begin(plan()))
        with pytest.raises(type(error)) if error else nullcontext(), journal.step("create", creates=True):
            if error is not None:
                raise error
        assert ledger.steps(plan())[0].outcome == outcome
        assert ledger.may_exist(ledger.latest(plan())) is may_exist
        assert ledger.may_exist(ledger.begin(plan(name="Bob"))) is False


def test_a_look_up_makes_nothing(path):
    with Ledger.open(path) as ledger:
        enrolment = ledger.begin(plan())
        with ledger.journal(enrolment).step("look"):
            pass
        assert ledger.may_exist(enrolment) is False
        assert ledger.latest(plan()).state == "planned"
        assert ledger.steps(plan()) == [StepRow(1, "look", "done", {})]


def test_attempts(path):
    with Ledger.open(path) as ledger:
        assert ledger.latest(plan()) is None
        assert ledger.begin(plan()).attempt == 1
        assert ledger.begin(plan()).attempt == 1
        ledger.settle(plan(), "failed", message="no")
        assert ledger.begin(plan()).attempt == 2
        ledger.settle(plan(), "unknown")
        assert ledger.begin(plan()).attempt == 2
    with Ledger.open(path) as ledger:
        done = ledger.settle(plan(), "ready", voice_id="v", adopted=True)
        ledger.keep_receipt(done, "{}")
        last = ledger.latest(plan())
        assert (last.state, last.voice_id, last.adopted, last.receipt) == ("ready", "v", True, "{}")


def lose(ledger, enrolment):
    with pytest.raises(OutcomeUnknown), ledger.journal(enrolment).step("create", creates=True):
        raise OutcomeUnknown(FAILURE)


def test_an_attempt_whose_create_was_never_answered_is_gone_on_with_under_its_own_token(path):
    with Ledger.open(path) as ledger:
        first = ledger.begin(plan())
        lose(ledger, first)
        ledger.settle(plan(), "failed")
        again = ledger.begin(plan())
        assert (again.attempt, again.state, again.token) == (1, "planned", first.token)
        ledger.resolve(again)  # the vendor has shown it after all
        ledger.settle(plan(), "failed")
        second = ledger.begin(plan())
        assert second.attempt == 2
        assert second.token != first.token


def test_tokens_belong_to_one_attempt_of_one_enrolment(path):
    with Ledger.open(path) as ledger:
        tokens = {ledger.begin(plan(name=name)).token for name in ("Ann", "Bob")}
        ledger.settle(plan(name="Ann"), "failed")
        tokens.add(ledger.begin(plan(name="Ann")).token)
    assert len(tokens) == 3
    assert all(len(token) == 32 and int(token, 16) for token in tokens)


def test_facts_are_recalled_newest_first_and_only_of_this_attempt(path):
    with Ledger.open(path) as ledger:
        journal = ledger.journal(ledger.begin(plan()))
        for slot in ("s1", "s2"):
            with journal.step("look") as facts:
                facts["slot"] = slot
        with journal.step("train"):
            pass
        assert (journal.recall("slot"), journal.recall("none")) == ("s2", "")
        ledger.settle(plan(), "failed")
        assert ledger.journal(ledger.begin(plan())).recall("slot") == ""


def test_hosted_files_are_on_disk_before_they_are_anywhere_else(path):
    seen = []
    with Ledger.open(path, seen.append) as ledger:
        enrolment = ledger.begin(plan())
        number = ledger.begin_hosting(enrolment, "s3://b/p", "p/1.wav")
        assert [(row.key, row.state) for row in ledger.hosted(plan())] == [("p/1.wav", "begun")]
        ledger.note_hosted(number, "p/1.wav", "there")
        ledger.note_hosted(number, "p/1.wav", "removed")
        assert [row.state for row in ledger.hosted(plan())] == ["removed"]
        assert ledger.hosted(plan(name="Bob")) == []
    assert seen == ["planned", "host:begun", "host:there", "host:removed"]


def test_a_ledger_of_the_first_version_is_gone_on_with(path):
    """It had no table of hosted files; all else is the same."""
    with Ledger.open(path) as ledger:
        ledger.begin(plan())
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE hosted")
    with Ledger.open(path) as ledger:
        assert ledger.latest(plan()).state == "planned"
        assert ledger.hosted(plan()) == []


def test_two_cannot_hold_one_ledger(path):
    with Ledger.open(path), pytest.raises(LedgerBusy, match="another upload"), Ledger.open(path):
        raise AssertionError("opened twice")
    with Ledger.open(path):
        pass


def test_another_process_is_told_and_a_dead_one_leaves_no_lock(path):
    script = (
        "import sys, os, pathlib; from prep.providers.ledger import Ledger, LedgerBusy\n"
        "try:\n"
        "    with Ledger.open(pathlib.Path(sys.argv[1])):\n"
        "        os._exit(7)\n"
        "except LedgerBusy:\n"
        "    os._exit(3)\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    with Ledger.open(path):
        assert subprocess.run(command, check=False).returncode == 3
    assert subprocess.run(command, check=False).returncode == 7
    with Ledger.open(path) as ledger:
        assert ledger.latest(plan()) is None


def test_wal_or_a_rollback_journal(path):
    with closing(sqlite3.connect(path)) as db:
        assert prefer_wal(db) == "wal"
    # a VFS without shared memory refuses WAL, as some network and Windows drives do
    with closing(sqlite3.connect(f"file:{path.with_name('b.sqlite')}?vfs=unix-dotfile", uri=True)) as db:
        assert prefer_wal(db) == "delete"


def test_with_a_rollback_journal_the_lock_holds_as_well(path, monkeypatch):
    monkeypatch.setattr("prep.providers.ledger.prefer_wal", lambda db: db.execute("PRAGMA journal_mode=DELETE"))
    with Ledger.open(path) as ledger:
        ledger.begin(plan())
        with pytest.raises(LedgerBusy), Ledger.open(path):
            raise AssertionError("opened twice")


def test_what_is_no_ledger_is_named(path):
    path.write_bytes(b"this is no database, and long enough to be told from one" * 20)
    with pytest.raises(ConfigError, match=r"uploads\.sqlite"), Ledger.open(path):
        raise AssertionError("opened")
    with pytest.raises(ConfigError, match="ledger"), Ledger.open(path.parent / "none" / "x.sqlite"):
        raise AssertionError("opened")
