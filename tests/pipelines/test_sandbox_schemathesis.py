"""Schemathesis drives the sandbox by its own OpenAPI document: nothing makes a 5xx, every status is documented.

`/_sandbox/faults` is left out, since it plans 5xx on purpose; `/_sandbox/reset` and `/_sandbox/outcomes` stay. The
operations are run by hypothesis directly: Schemathesis' own pytest parametrisation reaches into pytest's internals.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from sandbox_kit import AUTH
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from pipelines.sandbox.app import create_app, running
from pipelines.sandbox.settings import Settings

QUICK = Settings(train_s=0.0, fetch_timeout_s=0.2, allow_local_hosts=False, kling_live_tasks=3)
CHECKS = [not_a_server_error, status_code_conformance]
SCHEMA = schemathesis.openapi.from_dict(create_app().openapi()).exclude(path="/_sandbox/faults")
OPERATIONS = {f"{found.ok().method.upper()} {found.ok().path}": found.ok() for found in SCHEMA.get_all_operations()}
RUNS = [
    pytest.param(operation, mode, id=f"{name} {mode.value}")
    for name, operation in OPERATIONS.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or operation.body or operation.query  # else there is nothing to get wrong
]


@pytest.fixture(scope="module")
def sandbox():
    with running(QUICK) as here:
        yield here


@pytest.mark.parametrize(("operation", "mode"), RUNS)
def test_no_request_makes_a_5xx(sandbox, operation, mode):
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def drive(case):
        for headers in (AUTH, {}):
            answer = case.call(base_url=sandbox.url, headers=headers)
            case.validate_response(answer, checks=CHECKS)

    drive()
