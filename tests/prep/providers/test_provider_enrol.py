"""Enrolling once, vendor by vendor, over a real ledger: lost and late answers, clean-up, what is never guessed."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from provider_kit import PATIENT, Answers, limits_of, request_of, sample

from prep.errors import ConfigError, OutcomeUnknown, ProviderFailure, Refused, Retryable
from prep.hosting.base import Hosted
from prep.providers import open_provider
from prep.providers.enrol import Clock, enrol_once
from prep.providers.http import Backoff
from prep.providers.ledger import Ledger, Plan
from prep.providers.publish import Publisher

LOST = httpx.Response(502, html="<h1>bad gateway</h1>")
SIGNED = "https://b.s3.example.com/p/1.wav?X-Amz-Credential=AK&X-Amz-Signature=5ecre7"


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "uploads.sqlite") as opened:
        yield opened


def plan(vendor, by_url=True, **options):
    made = request_of(sample(b"RIFF", url=SIGNED), name="Ann", by_url=by_url, **options)
    return Plan(vendor, "a1", made, {"consent_id": "c"})


def calls(vendor):
    return [f"{asked.method} {asked.url.path.rpartition('/')[2]}" for asked in vendor.asked]


def kling(task, status=200, code=0):
    return httpx.Response(status, json={"code": code, "message": "said", "request_id": "r", "data": task})


TASK = {"task_id": "7", "task_status": "submitted", "created_at": 1, "updated_at": 1}
VOICE = {"voice_id": "v1", "voice_name": "Ann", "trial_url": "", "owned_by": "1"}
DONE = TASK | {"task_status": "succeed", "task_result": {"voices": [VOICE]}}
NONE = kling(None, 404, 1203)


class Kling(Answers):
    """Answers the create, then look-ups by our own id, then queries by task id."""

    def __init__(self, create, looks, states):
        super().__init__("kling")
        self.create, self.looks, self.states = list(create), list(looks), list(states)

    def handle(self, asked):
        self.asked.append(asked)
        ours = self.looks if "voxprep-" in asked.url.path else self.states
        queue = self.create if asked.method == "POST" else ours
        return queue.pop(0) if len(queue) > 1 else queue[0]


def test_a_create_that_shows_late_is_adopted_and_not_sent_again(ledger):
    """Lost, then absent, and there when it is looked for once more before the second try."""
    vendor = Kling([LOST], [NONE, NONE, kling(DONE)], [kling(DONE)])
    done = enrol_once(vendor.open(), ledger, plan("kling"), PATIENT)
    assert (done.state, done.voice_id, done.adopted) == ("ready", "v1", True)
    assert [asked.method for asked in vendor.asked].count("POST") == 1


def test_a_lost_create_that_is_nowhere_goes_on_under_the_same_token(ledger):
    vendor = Kling([LOST], [NONE], [NONE])
    for _ in range(2):
        with pytest.raises(Retryable):
            enrol_once(vendor.open(), ledger, plan("kling"), PATIENT)
    tokens = {asked.content.partition(b"voxprep-")[2][:32] for asked in vendor.asked if asked.method == "POST"}
    assert len(tokens) == 1
    assert (ledger.latest(plan("kling")).attempt, ledger.latest(plan("kling")).state) == (1, "failed")


def test_a_task_that_failed_gets_a_new_token_next_time(ledger):
    failed = TASK | {"task_status": "failed", "task_status_msg": f"cannot read {SIGNED}"}
    vendor = Kling([kling(TASK), kling(TASK)], [NONE], [kling(failed), kling(DONE)])
    with pytest.raises(Refused, match="cannot read") as caught:
        enrol_once(vendor.open(), ledger, plan("kling"), PATIENT)
    assert "5ecre7" not in str(caught.value)
    done = enrol_once(vendor.open(), ledger, plan("kling"), PATIENT)
    assert (done.state, done.attempt) == ("ready", 2)
    tokens = {asked.content.partition(b"voxprep-")[2][:32] for asked in vendor.asked if asked.method == "POST"}
    assert len(tokens) == 2
    assert "5ecre7" not in str([row.facts for row in ledger.steps(plan("kling"))])


def test_attempts_of_a_lost_ledger_are_stepped_over(ledger):
    """The first two ids are known to the vendor as failed: the third is tried."""
    failed = kling(TASK | {"task_status": "failed"})
    vendor = Kling([kling(TASK)], [failed, failed, NONE], [kling(DONE)])
    done = enrol_once(vendor.open(), ledger, plan("kling"), PATIENT)
    assert (done.state, done.attempt) == ("ready", 3)


def test_training_that_does_not_end_is_left_open_and_gone_on_with(ledger):
    ticks = iter(range(0, 100_000, 100))
    vendor = Kling([kling(TASK)], [NONE], [kling(TASK)])
    with pytest.raises(Retryable, match="still in training after 300 s"):
        enrol_once(vendor.open(), ledger, plan("kling"), PATIENT, clock=Clock(lambda: float(next(ticks))))
    assert ledger.latest(plan("kling")).state == "sending"
    again = Kling([kling(TASK)], [kling(DONE)], [kling(DONE)])
    assert enrol_once(again.open(), ledger, plan("kling"), PATIENT).state == "ready"
    assert [asked.method for asked in again.asked] == ["GET"]


def test_a_vendor_that_falls_silent_during_training_settles_nothing(ledger):
    vendor = Kling([kling(TASK)], [NONE], [httpx.Response(503)])
    with pytest.raises(Retryable):
        enrol_once(vendor.open(), ledger, plan("kling"), PATIENT)
    assert ledger.latest(plan("kling")).state == "sending"


SLOT = {"id": "s1", "name": "n", "language": "", "demo_url": "", "state": "Init"}


class Qiniu(Answers):
    """A Qiniu with slots that change as its calls do; `post` says what becomes of the creates."""

    def __init__(self, post, rows=(), put=None, delete=None):
        super().__init__("qiniu")
        self.rows = {row["id"]: dict(row) for row in rows}
        self.post, self.put, self.delete = list(post), put, delete

    def handle(self, asked):
        self.asked.append(asked)
        slot = asked.url.path.rpartition("/")[2]
        if asked.method == "POST":
            return self.post.pop(0)(self)
        if asked.method == "PUT":
            if self.put:
                return self.put
            self.rows[slot]["state"] = "Success"
        if asked.method == "DELETE":
            if self.delete:
                return self.delete
            self.rows.pop(slot, None)
            return self.says({})
        if slot == "voice-clones":
            return self.says({"voices": list(self.rows.values())})
        return self.says(self.rows[slot]) if slot in self.rows else self.says(None, 404)

    @staticmethod
    def says(data, code=0):
        return httpx.Response(code or 200, json={"code": code, "msg": "said", "reqid": "r", "data": data})


def makes(slot, answer=None):
    def made(vendor):
        vendor.rows[slot] = SLOT | {"id": slot}
        return answer or vendor.says(vendor.rows[slot])

    return made


def loses(vendor):
    return LOST


def test_qiniu_a_slot_that_shows_late_is_trained_and_no_second_one_made(ledger):
    vendor = Qiniu([makes("late", LOST)])
    done = enrol_once(vendor.open(), ledger, plan("qiniu"), PATIENT)
    assert (done.voice_id, list(vendor.rows)) == ("late", ["late"])
    assert calls(vendor).count("POST voice-clones") == 1


def test_qiniu_an_empty_slot_made_by_somebody_between_two_runs_is_not_ours(ledger):
    """Killed after the list was read and before our own create was begun: nothing of ours can be there."""
    vendor = Qiniu([makes("ours")], [SLOT | {"id": "old"}])

    class Killed(BaseException):
        pass

    def die(point):
        if point == "before:done":
            raise Killed

    ledger.observe = die
    with pytest.raises(Killed):
        enrol_once(vendor.open(), ledger, plan("qiniu"), PATIENT)
    ledger.observe = lambda point: None
    vendor.rows["theirs"] = SLOT | {"id": "theirs"}
    done = enrol_once(vendor.open(), ledger, plan("qiniu"), PATIENT)
    assert done.voice_id == "ours"
    assert vendor.rows["theirs"]["state"] == "Init"


def test_qiniu_a_refused_training_leaves_no_slot(ledger):
    vendor = Qiniu([makes("s1"), makes("s2")], put=Qiniu.says(None, 400))
    with pytest.raises(Refused):
        enrol_once(vendor.open(), ledger, plan("qiniu"), PATIENT)
    assert vendor.rows == {}
    assert ledger.latest(plan("qiniu")).state == "failed"


def test_qiniu_a_paid_slot_that_cannot_be_deleted_is_named_and_settled(ledger):
    vendor = Qiniu([makes("s1")], put=Qiniu.says(None, 400), delete=Qiniu.says(None, 403))
    with pytest.raises(Refused, match="slot s1 is a paid one and stays") as caught:
        enrol_once(vendor.open(), ledger, plan("qiniu"), PATIENT)
    assert "console" in caught.value.failure.fix
    assert ledger.latest(plan("qiniu")).state == "failed"


def test_qiniu_a_slot_that_cannot_be_deleted_now_is_deleted_by_the_next_run(ledger):
    vendor = Qiniu([makes("s1"), makes("s2")], put=Qiniu.says(None, 400), delete=httpx.Response(503))
    with pytest.raises(Retryable, match="could not be removed"):
        enrol_once(vendor.open(), ledger, plan("qiniu"), PATIENT)
    assert ledger.latest(plan("qiniu")).state == "sending"
    vendor.delete = None
    with pytest.raises(Refused):
        enrol_once(vendor.open(), ledger, plan("qiniu"), PATIENT)
    assert (vendor.rows, ledger.latest(plan("qiniu")).state) == ({}, "failed")


def test_302_with_an_address_that_cannot_be_used_has_sent_nothing(ledger):
    """It had ended as "never sent again" for good, though nothing ever was."""
    answer = httpx.Response(200, json={"task_id": "t", "status": "success", "audio_url": "https://a.b/c"})
    vendor = Answers("ai302", {"POST real": answer}, clone_path="/302/real")
    client = httpx.Client(transport=httpx.MockTransport(refuse_scheme))
    broken = open_provider(vendor.account(), client, PATIENT, limits_of("ai302"))
    with pytest.raises(ConfigError):
        enrol_once(broken, ledger, plan("ai302"), PATIENT)
    assert ledger.latest(plan("ai302")).state == "failed"
    assert enrol_once(vendor.open(), ledger, plan("ai302"), PATIENT).state == "ready"


def refuse_scheme(asked):
    raise httpx.UnsupportedProtocol("no such scheme")


def test_302_a_lost_answer_is_unknown_for_good(ledger):
    vendor = Answers("ai302", {"POST task": LOST}, clone_path="/302/real/task")
    for _ in range(2):
        with pytest.raises(OutcomeUnknown, match="never sent again"):
            enrol_once(vendor.open(), ledger, plan("ai302"), PATIENT)
    assert [asked.method for asked in vendor.asked] == ["POST"]
    assert ledger.latest(plan("ai302")).state == "unknown"


class Shelf:
    """A host in memory, for what the publisher does; the hosts themselves have tests of their own."""

    spec, removable, promise = "shelf:", True, "in memory"

    def __init__(self):
        self.files = {}
        self.down = False

    def place(self, data, suffix):
        return f"{len(self.files)}{suffix}"

    def put(self, key, data, media_type):
        self.files[key] = data
        return Hosted(self.spec, key, f"https://shelf.example.com/{key}?X-Amz-Signature=5ecre7", True)

    def remove(self, key):
        if self.down:
            raise Retryable(ProviderFailure("hosting", "down"))
        self.files.pop(key, None)

    def close(self):
        pass


def published(shelf, check=lambda hosted, data, media_type: None):
    return Publisher("shelf:", lambda spec: shelf, check=check)


def test_hosted_files_go_with_every_end_and_no_signature_is_kept(ledger, tmp_path):
    shelf = Shelf()
    vendor = Kling([kling(TASK)], [NONE], [kling(DONE)])
    publisher = published(shelf)
    enrol_once(vendor.open(), ledger, plan("kling"), PATIENT, publisher)
    assert (shelf.files, publisher.left) == ({}, [])
    assert b"shelf.example.com/0.wav?X-Amz-Signature=5ecre7" in vendor.asked[1].content
    assert b"5ecre7" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_a_file_that_cannot_be_removed_now_is_told_of_and_removed_by_the_next_run(ledger):
    shelf, vendor = Shelf(), Kling([kling(TASK)], [NONE], [kling(DONE)])
    shelf.down = True
    publisher = published(shelf)
    assert enrol_once(vendor.open(), ledger, plan("kling"), PATIENT, publisher).state == "ready"
    assert len(publisher.left) == 1
    assert "is still there" in publisher.left[0]
    shelf.down = False
    again = published(shelf)
    enrol_once(vendor.open(), ledger, plan("kling"), PATIENT, again)
    assert (shelf.files, again.left) == ({}, [])


def test_what_is_seen_at_the_address_is_checked_before_the_vendor_is_told(ledger):
    def other_bytes(hosted, data, media_type):
        raise Refused(ProviderFailure("hosting", "other bytes"))

    shelf, vendor = Shelf(), Kling([kling(TASK)], [NONE], [kling(DONE)])
    with pytest.raises(Refused, match="other bytes"):
        enrol_once(vendor.open(), ledger, plan("kling"), PATIENT, published(shelf, other_bytes))
    assert ([asked.method for asked in vendor.asked], shelf.files) == (["GET"], {})
    assert ledger.latest(plan("kling")).state == "failed"


def test_a_create_that_may_still_be_on_its_way_is_waited_for(ledger):
    """The vendor takes 20 s to make a slot, and the client gave up at once: a second create would make two."""
    slept = []
    vendor = Qiniu([loses, makes("second")])

    def sleep(seconds):
        slept.append(seconds)
        if sum(slept) > 20:
            vendor.rows.setdefault("first", SLOT | {"id": "first"})

    clock = Clock(today=lambda: datetime.now(UTC) + timedelta(seconds=sum(slept)))
    patient = Backoff(start_s=1.0, cap_s=8.0, settle_s=30.0, sleep=sleep)
    done = enrol_once(vendor.open(), ledger, plan("qiniu"), patient, clock=clock)
    assert (done.voice_id, list(vendor.rows)) == ("first", ["first"])
    assert calls(vendor).count("POST voice-clones") == 1


def test_after_that_time_it_is_sent_again(ledger):
    slept = []
    vendor = Qiniu([loses, makes("second")])
    clock = Clock(today=lambda: datetime.now(UTC) + timedelta(seconds=sum(slept)))
    patient = Backoff(start_s=1.0, cap_s=8.0, settle_s=30.0, sleep=slept.append)
    done = enrol_once(vendor.open(), ledger, plan("qiniu"), patient, clock=clock)
    assert (done.voice_id, sum(slept) >= 30.0) == ("second", True)


def test_a_vendor_that_refuses_repetitions_is_not_waited_for(ledger):
    slept = []
    vendor = Kling([LOST, kling(TASK)], [NONE], [kling(DONE)])
    patient = Backoff(start_s=1.0, cap_s=8.0, settle_s=30.0, sleep=slept.append)
    assert enrol_once(vendor.open(), ledger, plan("kling"), patient).state == "ready"
    assert sum(slept) < 30.0
