"""The checks hold on a real platform's log, in both ways of placing anchors."""

from datetime import date
from pathlib import Path

import pytest

from graphguard.checks.incremental import check_incremental
from graphguard.checks.leakage import check_leakage
from graphguard.config.load import load_config
from graphguard.jobs.nightly import Night, run_night

TOP = Path(__file__).parents[2]
AS_OF = date(2014, 1, 15)
MODES = [("wikipedia.yaml", 3), ("wikipedia_calendar.yaml", 7)]

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def read_config(real_data, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHGUARD_DATA", str(real_data))

    def read(name):
        config = load_config(TOP / "configs" / name, as_of=AS_OF)
        return config.model_copy(update={"workspace": tmp_path / "workspace"})

    return read


@pytest.mark.parametrize("name", [name for name, _ in MODES])
def test_nothing_after_the_cutoff_is_seen(name, read_config):
    proof = check_leakage(
        read_config(name), AS_OF, lambda one: run_night(Night(one, run_id=f"{AS_OF}-check"))
    )

    assert proof.later_rows > 300_000
    assert proof.comparison.rows > 500_000


@pytest.mark.parametrize(("name", "nights"), MODES)
def test_nights_one_by_one_equal_one_rebuild(name, nights, read_config):
    proof = check_incremental(read_config(name), AS_OF, nights, lambda one: run_night(Night(one)))

    assert proof.nights == nights
    assert proof.comparison.rows > 500_000
