"""Random faults and kills between any two steps of an upload, then calm: it ends as promised; see `storm.py`."""

import pytest
from storm import storm, weather


@pytest.fixture(scope="module")
def sky():
    with weather() as both:
        yield both


@pytest.mark.parametrize("seed", range(20))
def test_it_ends_as_promised(sky, seed):
    assert storm(seed, *sky).wrongs == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 120))
def test_it_ends_as_promised_many_times(sky, seed):
    assert storm(seed, *sky).wrongs == []
