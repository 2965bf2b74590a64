"""Enrol once: the same road for a first try, a re-run, a lost answer and a killed process.

ready already                  nothing is sent
look-up: there, may be ours    adopted
look-up: there, surely not     refused before anything is sent
look-up: not there             sent; a lost answer leads back to the look-up, `Backoff.tries` times in all
look-up fails                  unknown if a create may have been carried out, else failed
"""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

from prep.errors import OutcomeUnknown, ProviderError, ProviderFailure, Refused, Retryable
from prep.providers.base import Provider, Voice
from prep.providers.http import Backoff
from prep.providers.ledger import Enrolment, Ledger, Plan


class _NothingMade(OutcomeUnknown):
    """The answer was lost, and the look-up shows that nothing was made: it may be sent again."""


def enrol_once(provider: Provider, ledger: Ledger, plan: Plan, backoff: Backoff) -> Enrolment:
    """Bring the enrolment to an end; the result is always `ready`.

    Raises:
        Refused: the vendor said no, or the name belongs to another voice.
        Retryable: surely nothing was made; run it again later.
        OutcomeUnknown: something may have been made, and the vendor does not answer the look-up.
    """
    last = ledger.latest(plan)
    if last is not None and last.state == "ready":
        return last
    enrolment = ledger.begin(plan)
    found = _look(provider, ledger, plan, enrolment)
    if found is not None:
        return _adopt(ledger, plan, found)
    attempts = backoff.retrying(_NothingMade)
    try:
        return attempts(_send, provider, ledger, plan, enrolment, backoff)
    except _NothingMade as error:
        ledger.settle(plan, "failed", message=str(error))
        raise Retryable(error.failure) from error


def _send(provider: Provider, ledger: Ledger, plan: Plan, enrolment: Enrolment, backoff: Backoff) -> Enrolment:
    sent_before = ledger.may_exist(plan)
    try:
        return _ready(ledger, plan, provider.enrol(plan.request, ledger.journal(enrolment)))
    except OutcomeUnknown as error:
        backoff.sleep(backoff.start_s)  # a vendor still at work needs a moment before its list can tell
        found = _look(provider, ledger, plan, enrolment)
        if found is not None:
            return _adopt(ledger, plan, found)
        raise _NothingMade(error.failure) from error
    except (Refused, Retryable) as error:
        # the create sent before may have ended meanwhile, and stands in the way of this one
        found = _look(provider, ledger, plan, enrolment) if sent_before else None
        if found is not None:
            return _adopt(ledger, plan, found)
        ledger.settle(plan, "failed", message=str(error))
        raise


def _look(provider: Provider, ledger: Ledger, plan: Plan, enrolment: Enrolment) -> Voice | None:
    try:
        return provider.find(plan.request, ledger.journal(enrolment))
    except ProviderError as error:
        if ledger.may_exist(plan):
            _unknown(ledger, plan, error)
        if isinstance(error, OutcomeUnknown):
            return None  # the list is cut short; nothing is ours yet, and the vendor refuses a taken name
        ledger.settle(plan, "failed", message=str(error))
        raise


def _unknown(ledger: Ledger, plan: Plan, error: ProviderError) -> NoReturn:
    fix = (
        f"look by hand whether {plan.vendor} has a voice named {plan.request.name!r}; run this command again"
        " when the vendor answers look-ups: a voice that is there is adopted, and until then nothing is sent"
    )
    rule = "a create was sent and its outcome is unknown"
    lost = OutcomeUnknown(replace(error.failure, rule=rule, fix=fix))
    ledger.settle(plan, "unknown", message=str(lost))
    raise lost from error


def _adopt(ledger: Ledger, plan: Plan, found: Voice) -> Enrolment:
    if ledger.may_exist(plan):
        return _ready(ledger, plan, found, adopted=True)
    failure = ProviderFailure(
        plan.vendor,
        f"a voice named {plan.request.name!r} exists there already, and this upload did not make it",
        rule="a voice name is unique",
        fix="choose another --name; nothing was sent",
    )
    ledger.settle(plan, "failed", message=str(failure))
    raise Refused(failure)


def _ready(ledger: Ledger, plan: Plan, voice: Voice, *, adopted: bool = False) -> Enrolment:
    if voice.status != "ready":
        failure = ProviderFailure(plan.vendor, f"voice {voice.voice_id!r} is {voice.status}, not ready")
        ledger.settle(plan, "failed", message=str(failure))
        raise Refused(failure)
    return ledger.settle(plan, "ready", voice_id=voice.voice_id, adopted=adopted)
