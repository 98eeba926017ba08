import polars as pl
import pytest

from graphguard.features.table import FeatureInputs, feature_table
from graphguard.schema import ENTITIES

DAY = 86_400_000_000
HOUR = 3_600_000_000
ANCHOR = 20_000 * DAY


@pytest.fixture
def profiles_table(config):
    """Features of user 1 and 2 from versions (entity, time, born, karma, country)."""

    def make(versions: list[tuple]) -> pl.DataFrame:
        schema = ENTITIES.empty().schema | {"karma": pl.Int64, "country": pl.String}
        entities = pl.DataFrame(versions, schema=schema, orient="row")
        platform = config(
            entities={
                "user": {
                    "path": "x",
                    "key": "k",
                    "born": "b",
                    "numeric": ["karma"],
                    "categorical": ["country"],
                }
            }
        )
        rows = pl.DataFrame({"entity": [1, 2], "anchor_us": [ANCHOR] * 2})
        return feature_table(FeatureInputs(rows, {}, entities), platform)

    return make


def test_age_is_measured_at_the_anchor_and_births_before_count(profiles_table):
    # born: user 3, an hour later less 1 us user 1, then user 2 within the hour of both
    born = ANCHOR - 2 * DAY
    births = [(3, born), (1, born + HOUR - 1), (2, born + HOUR)]

    table = profiles_table([(user, 0, at, None, None) for user, at in births])

    assert table.get_column("user.account_age_d")[1] == pytest.approx(2 - 1 / 24)
    assert table.get_column("user.births_within_hour").to_list() == [1, 2]


def test_versions_and_births_from_the_anchor_on_are_not_known(profiles_table):
    table = profiles_table(
        [
            (1, 0, None, 3 << 20, "a"),
            (1, ANCHOR - 1, None, 4 << 20, "b"),
            (1, ANCHOR, 5, 9 << 20, "c"),
            (2, 0, ANCHOR, None, "a"),
        ]
    )

    assert table.get_column("user.account_age_d").to_list() == [None, None]
    assert table.get_column("user:karma.attribute").to_list() == [4, None]
    # known before the anchor: a, b, a
    rarity = table.get_column("user:country.attribute_rarity").to_list()
    assert rarity == pytest.approx([1.5849625, 0.5849625], rel=1e-6)
