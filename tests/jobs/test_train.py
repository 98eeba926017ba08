"""Training stacks the families it has fitted, and the tree among them says why."""

import polars as pl
import pytest

from graphguard.config.training import SearchConfig
from graphguard.jobs.nightly import Night, run_night
from graphguard.models.search import SPACES
from graphguard.tables.files import read_json, read_parquet


@pytest.fixture(scope="module")
def stacked(night):
    """The features of the shared night, with other families trained on them."""
    config, _ = night
    training = config.training.model_copy(
        update={
            "models": ("ensemble", "trees", "propagated"),
            "search": SearchConfig(trials=2),
            "propagated": config.training.propagated.model_copy(update={"epochs": 2, "hidden": 8}),
        }
    )
    return run_night(Night(config.model_copy(update={"training": training}), last="score"))


def test_an_ensemble_is_judged_beside_the_families_it_adds_up(stacked):
    metrics = read_json(stacked.file("train", "metrics.json"))
    folder = stacked.stage("train")

    assert list(metrics["models"]) == ["ensemble", "propagated", "trees"]
    assert metrics["champion"] in metrics["models"]
    beside = sorted(path.name for path in (folder / "challengers").iterdir())
    assert beside == sorted(set(metrics["models"]) - {metrics["champion"]})
    table = read_parquet(folder / "evaluation.parquet")
    scores = {name: one.sort("key", "anchor_us") for (name,), one in table.group_by("model")}
    raw = pl.DataFrame({name: one.get_column("raw") for name, one in scores.items()})
    # The ensemble is no member in disguise, and follows both.
    ranks = raw.select(pl.all().rank())
    assert ranks.select(pl.corr("ensemble", "trees")).item() < 0.9999
    assert ranks.select(pl.corr("ensemble", "trees")).item() > 0.3


def test_what_a_search_has_tried_stands_in_metrics_and_card(stacked):
    metrics = read_json(stacked.file("train", "metrics.json"))
    card = read_json(stacked.file("train", "card.json"))

    assert list(metrics["search"]) == ["trees"]
    first, second = metrics["search"]["trees"]
    assert first["settings"] == {}
    assert set(second["settings"]) == set(SPACES["trees"])
    best = max(first["auprc"], second["auprc"])
    kept = metrics["models"]["trees"]["select"]["auprc"]["value"]
    assert kept == pytest.approx(best, abs=1e-6)
    assert ("search" in card["settings"]) == (metrics["champion"] == "trees")
