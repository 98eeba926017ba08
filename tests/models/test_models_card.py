import json

import numpy as np
import pytest

from graphguard.evaluate.bootstrap import Interval
from graphguard.models.base import Rows
from graphguard.models.card import CardFacts, SliceSummary, model_card, summarise_slice

DAY_US = 86_400_000_000


def test_a_slice_is_summed_up():
    # user 4 at two anchors, user 7 at one
    rows = Rows(
        node=np.array([4, 4, 7]),
        anchor_us=np.array([10, 20, 20]),
        x=np.zeros((3, 1), dtype=np.float32),
        names=("a",),
        label=np.array([0, 1, 0], dtype=np.int8),
    )

    assert summarise_slice("train", rows) == SliceSummary("train", 10, 20, 3, 2, 1)
    empty = summarise_slice("train", rows.take(np.arange(0)))
    assert (empty.first_anchor_us, empty.rows) == (None, 0)


def test_a_slice_without_labels_is_refused():
    rows = Rows(np.array([1]), np.array([1]), np.zeros((1, 1), np.float32), ("a",), None)

    with pytest.raises(ValueError, match="slice 'train': rows carry no label"):
        summarise_slice("train", rows)


def test_a_card_is_plain_json_with_its_limits():
    gains = {f"c{number:02}": (30 - number) / 465 for number in range(30)} | {"unused": 0.0}
    facts = CardFacts(
        model="trees",
        settings={"bags": 3},
        horizon_us=14 * DAY_US,
        slices=[SliceSummary("train", 10, 20, 300, 200, 7)],
        metrics={"selection": {"auprc": Interval(0.5, 0.4, 0.6)}},
        kinds=[{"name": "new", "rows": 40, "positives": 2, "metrics": {}}],
        calibration={"slope": 0.95},
        columns=list(gains),
        gains=gains,
        versions={"xgboost": "3.2.0"},
    )

    card = model_card(facts)

    assert json.loads(json.dumps(card, allow_nan=False)) == card
    assert card["predicts"] == "chance that a user is enforced within 14 days after the anchor"
    assert card["metrics"]["selection"]["auprc"] == {"value": 0.5, "low": 0.4, "high": 0.6}
    assert card["slices"][0]["positives"] == 7
    assert card["kinds"][0]["name"] == "new"
    assert card["calibration"] == {"slope": 0.95}
    assert [each["column"] for each in card["top_columns"]][:3] == ["c00", "c01", "c02"]
    assert len(card["top_columns"]) == 20
    assert card["limits"][0].startswith(
        "Users never decided count as negatives, which understates the truth"
    )
