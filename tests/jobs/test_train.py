"""Training stacks the families it has fitted, and the tree among them says why."""

import polars as pl
import pytest

from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.files import read_json, read_parquet


@pytest.fixture(scope="module")
def stacked(night):
    """The features of the shared night, with other families trained on them."""
    config, _ = night
    training = config.training.model_copy(
        update={
            "models": ("ensemble", "trees", "propagated"),
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
