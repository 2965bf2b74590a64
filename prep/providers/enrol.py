"""Enrol once: the same road for a first try, a re-run, a lost answer and a killed process.

ready already                    nothing is sent
look-up: there, ours             adopted: followed to its end if it is in training
look-up: there, surely not ours  refused before anything is sent
look-up: not there               hosted if need be, sent; a lost answer leads back to the look-up, which is
                                 repeated while the create may be on its way, `Backoff.tries` times in all
look-up fails                    unknown if a create may have been carried out, else failed
training failed                  what is left at the vendor is removed, then failed

Hosted files are removed at every end. Where the vendor stays silent while training goes on, or what is left
cannot be removed yet, nothing is settled: the error says so, and the next run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NoReturn

from prep.errors import (
    ConfigError,
    OutcomeUnknown,
    PrepError,
    ProviderError,
    ProviderFailure,
    Refused,
    Retryable,
    without_queries,
)
from prep.providers.base import EnrolRequest, Provider, Voice
from prep.providers.http import Backoff
from prep.providers.ledger import Enrolment, Ledger, LedgerJournal, Plan, State
from prep.providers.publish import Publisher

STALE_ATTEMPTS = 50
"""Failed attempts of a lost ledger that are stepped over, one look-up each."""


class _NothingMade(OutcomeUnknown):
    """The answer was lost, and the look-up shows that nothing was made: it may be sent again."""


@dataclass(frozen=True)
class Clock:
    """Seconds that pass, for waiting on training, and the time of day, for creates of earlier runs; for tests."""

    now: Callable[[], float] = time.monotonic
    today: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True)
class _Try:
    """One attempt, with all it needs."""

    provider: Provider
    ledger: Ledger
    plan: Plan
    enrolment: Enrolment
    backoff: Backoff
    publisher: Publisher
    clock: Clock

    @property
    def request(self) -> EnrolRequest:
        return replace(self.plan.request, token=self.enrolment.token)

    @property
    def journal(self) -> LedgerJournal:
        return self.ledger.journal(self.enrolment)

    @property
    def may_exist(self) -> bool:
        return self.ledger.may_exist(self.enrolment)


def enrol_once(
    provider: Provider,
    ledger: Ledger,
    plan: Plan,
    backoff: Backoff,
    publisher: Publisher | None = None,
    clock: Clock | None = None,
) -> Enrolment:
    """Bring the enrolment to an end; the result is always `ready`.

    Raises:
        Refused: the vendor said no, training failed, or the name belongs to another voice.
        Retryable: surely nothing was made, or training is not over yet; run it again later.
        OutcomeUnknown: something may have been made, and the vendor does not answer the look-up.
        ConfigError: the samples need hosting and there is none, or it will not do.
    """
    publisher = publisher or Publisher()
    for _ in range(STALE_ATTEMPTS):
        last = ledger.latest(plan)
        if last is not None and last.state == "ready":
            publisher.sweep(ledger, plan)
            return last
        this = _Try(provider, ledger, plan, ledger.begin(plan), backoff, publisher, clock or Clock())
        found = _look_settled(this)
        if found is not None and found.status == "failed" and not this.may_exist:
            _settle(this, "failed", message=_died(this, found))  # an attempt of a ledger that is lost
            continue
        return _send_all(this) if found is None else _adopt(this, found)
    raise Refused(ProviderFailure(plan.vendor, f"{STALE_ATTEMPTS} attempts have failed; choose another --name"))


def _send_all(this: _Try) -> Enrolment:
    try:
        return this.backoff.retrying(_NothingMade)(_send, this)
    except _NothingMade as error:
        raise Retryable(_fail(this, error.failure)) from error


def _send(this: _Try) -> Enrolment:
    sent_before = this.may_exist
    found = _look(this) if sent_before else None  # a slow vendor may have made it since it was looked for
    if found is not None:
        return _adopt(this, found)
    request = _hosted(this)
    try:
        made = this.provider.enrol(request, this.journal)
    except OutcomeUnknown as error:
        this.backoff.sleep(this.backoff.start_s)  # a vendor still at work needs a moment before its list can tell
        found = _look_settled(this)
        if found is not None:
            return _adopt(this, found)
        raise _NothingMade(error.failure) from error
    except (Refused, Retryable) as error:
        # The create sent before may have ended meanwhile, and stands in the way of this one; and a token that
        # is taken already says that a lost ledger's create did.
        again = sent_before or this.provider.capabilities.lookup == "token"
        found = _look(this) if again else None
        if found is not None:
            return _adopt(this, found)
        failure = _fail(this, error.failure)
        if isinstance(error, Retryable):
            raise Retryable(failure, error.retry_after_s) from error
        raise Refused(failure) from error
    except ConfigError as error:  # nothing was sent
        _fail(this, ProviderFailure(this.plan.vendor, str(error)))
        raise
    return _finish(this, made)


def _hosted(this: _Try) -> EnrolRequest:
    try:
        return this.publisher.publish(this.request, this.ledger, this.enrolment)
    except PrepError as error:
        _fail(this, ProviderFailure(this.plan.vendor, str(error)))
        raise


def _look(this: _Try) -> Voice | None:
    try:
        found = this.provider.find(this.request, this.journal)
    except ProviderError as error:
        if this.may_exist:
            _unknown(this, error)
        if isinstance(error, OutcomeUnknown):
            return None  # the list is cut short; nothing is ours yet, and the vendor refuses a taken name
        _settle(this, "failed", message=str(error))
        raise
    if found is None and this.provider.capabilities.lookup == "none" and this.may_exist:
        said = "a create was sent and its answer never arrived; there is no look-up by anything but its id"
        _unknown(this, OutcomeUnknown(ProviderFailure(this.plan.vendor, said)))
    return found


def _look_settled(this: _Try) -> Voice | None:
    """Look until a create that was never answered is found, or can no longer be on its way."""
    found, wait_s = _look(this), this.backoff.start_s
    while found is None and (left_s := _still_on_its_way_s(this)) > 0.0:
        this.backoff.sleep(min(wait_s, left_s))
        wait_s = min(wait_s * this.backoff.factor, this.backoff.cap_s)
        found = _look(this)
    return found


def _still_on_its_way_s(this: _Try) -> float:
    """Seconds for which an unanswered create may still be carried out; 0 where a repetition could do no harm."""
    since = None if this.provider.capabilities.repeat_is_refused else this.ledger.last_open_create(this.enrolment)
    if since is None:
        return 0.0
    return this.backoff.settle_s - (this.clock.today() - since).total_seconds()


def _unknown(this: _Try, error: ProviderError) -> NoReturn:
    what = "a voice" if this.provider.capabilities.keeps_voices else "a task"
    name = this.provider.sent_name(this.request)
    if this.provider.capabilities.lookup == "none":
        fix = (
            f"look by hand, in the console of {this.plan.vendor}, whether {what} was made at"
            f" {this.enrolment.updated_at} (UTC); this enrolment is never sent again: if nothing was made, choose"
            " another --name"
        )
    else:
        fix = (
            f"look by hand whether {this.plan.vendor} has {what} named {name!r}; run this command again when the vendor"
            " answers look-ups: a voice that is there is adopted, and until then nothing is sent"
        )
    rule = "a create was sent and its outcome is unknown"
    said = f"{error.failure.message}; {error.failure.fix}" if error.failure.fix else error.failure.message
    lost = OutcomeUnknown(replace(error.failure, message=said, rule=rule, fix=fix))
    _settle(this, "unknown", message=str(lost))
    raise lost from error


def _adopt(this: _Try, found: Voice) -> Enrolment:
    if this.may_exist or this.provider.capabilities.lookup == "token":
        return _finish(this, found, adopted=True)
    failure = ProviderFailure(
        this.plan.vendor,
        f"a voice named {found.name!r} exists there already, and this upload did not make it",
        rule="a voice name is unique",
        fix="choose another --name; nothing was sent",
    )
    _settle(this, "failed", message=str(failure))
    raise Refused(failure)


def _finish(this: _Try, voice: Voice, *, adopted: bool = False) -> Enrolment:
    """Follow it to its end; ready, or cleaned up and failed."""
    voice = _follow(this, voice) if voice.status == "training" else voice
    this.ledger.resolve(this.enrolment)
    if voice.status == "ready":
        with this.journal.step("voice") as facts:
            facts.update({**voice.detail, "name": voice.name, "handle": voice.handle})
        done = this.ledger.settle(this.plan, "ready", voice_id=voice.voice_id, adopted=adopted)
        this.publisher.sweep(this.ledger, this.plan)
        return done
    failure = ProviderFailure(
        this.plan.vendor,
        _died(this, voice),
        rule="the vendor trains only on a sample it finds good",
        fix="read its reason, choose or record a better sample, prepare it and run this again: that is a new attempt",
    )
    raise Refused(_fail(this, failure))


def _died(this: _Try, voice: Voice) -> str:
    what = "voice" if this.provider.capabilities.keeps_voices else "task"
    return f"the {what} failed: {voice.reason or 'no reason given'}"


def _follow(this: _Try, voice: Voice) -> Voice:
    poll, wait_s = this.provider.poll, this.provider.poll.start_s
    end_s = this.clock.now() + poll.deadline_s
    with this.journal.step("follow") as facts:
        while voice.status == "training":
            if this.clock.now() >= end_s:
                said = f"{voice.handle} is still in training after {poll.deadline_s:g} s"
                fix = "run the same command again later; it goes on waiting and sends nothing twice"
                raise Retryable(ProviderFailure(this.plan.vendor, said, fix=fix))
            this.backoff.sleep(wait_s)
            wait_s = min(wait_s * poll.factor, poll.cap_s)
            voice = this.provider.status(voice)
            this.ledger.observe("polled")
        facts.update({"status": voice.status, "reason": without_queries(voice.reason)})
    return voice


def _fail(this: _Try, failure: ProviderFailure) -> ProviderFailure:
    """Clean up at the vendor, then settle; where that cannot be done now, nothing is settled and it raises.

    Returns the failure, with what no call can remove added to its fix.
    """
    try:
        stays = this.provider.clean(this.request, this.journal)
    except ProviderError as error:
        said = f"{failure}; what it has left there could not be removed: {error}"
        fix = "run the same command again: it goes on with the clean-up"
        raise Retryable(ProviderFailure(this.plan.vendor, said, fix=fix)) from error
    failure = replace(failure, fix="; ".join(part for part in (stays, failure.fix) if part))
    _settle(this, "failed", message=str(failure))
    return failure


def _settle(this: _Try, state: State, message: str) -> None:
    this.ledger.settle(this.plan, state, message=message)
    this.publisher.sweep(this.ledger, this.plan)
