"""What makes columns of rows when a model is fitted and scores: labels, texts, far hops, places.

The models that read columns share it, so that each reads the same ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from graphguard.config.training import LabelUse, TextUse
from graphguard.models.base import GraphContext, Rows
from graphguard.models.far_columns import FarColumns, far_phrases
from graphguard.models.label_rates import LabelRates, label_phrases, wants_label_rates
from graphguard.models.positions import Positions, position_phrases
from graphguard.models.text_score import TextScore, text_phrases


class MakerSettings(Protocol):
    """Settings of a model whose rows get more columns."""

    @property
    def label_rates(self) -> LabelUse:
        """Whether columns are made of the training labels around a row."""
        ...

    @property
    def label_folds(self) -> int:
        """Folds whose labels are hidden from their own rows."""
        ...

    @property
    def hops(self) -> int:
        """How far away neighbours count; the columns of features are the first hop."""
        ...

    @property
    def text(self) -> TextUse:
        """Whether a column is made of what rows' texts say."""
        ...

    @property
    def positions(self) -> int:
        """Axes on which users are placed by what they met; 0: none."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the folds, and of the axes."""
        ...


@dataclass(frozen=True)
class Makers:
    """The fitted makers of a model; None where it has no such column."""

    rates: LabelRates | None = None
    words: TextScore | None = None
    far: FarColumns | None = None
    places: Positions | None = None

    @classmethod
    def fit(cls, settings: MakerSettings, train: Rows, context: GraphContext | None) -> Self:
        """Fit what the settings ask for, on training rows; nothing where there is no context.

        Raises:
            BadSetting: Columns of labels are asked for, but no label's time is known; or places,
                but each row has an anchor of its own.
        """
        rates = words = far = places = None
        if context is not None and wants_label_rates(settings.label_rates, context):
            rates = LabelRates.fit(train, context, settings.label_folds, settings.seed)
        if context is not None and settings.text == "auto" and train.text is not None:
            words = TextScore.fit(train, context, settings.seed)
        if context is not None and settings.hops > 1 and context.graph.edge_types:
            far = FarColumns.fit(train, context)
        if context is not None and settings.positions and context.graph.edge_types:
            places = Positions.fit(train, context, settings.positions, settings.seed)
        return cls(rates, words, far, places)

    def apply(self, rows: Rows, context: GraphContext | None) -> Rows:
        """The rows with the columns added.

        Raises:
            ValueError: There are columns to make, and no context to make them of.
        """
        every = (self.far, self.rates, self.words, self.places)
        made = [one for one in every if one is not None]
        if not made:
            return rows
        if context is None:
            message = "the model makes columns of its rows: give the GraphContext of the run"
            raise ValueError(message)
        for maker in made:
            rows = maker.apply(rows, context)
        return rows

    def save(self, folder: Path) -> dict[str, Any]:
        """Write what they hold into `folder`; returns what `load` needs beside, as JSON values."""
        facts: dict[str, Any] = {}
        named = {
            "label_rates": self.rates,
            "text": self.words,
            "far": self.far,
            "positions": self.places,
        }
        for name, maker in named.items():
            if maker is not None:
                maker.save(folder)
            facts[name] = None if maker is None else maker.facts()
        return facts

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> Self:
        """Bring back what `save` wrote and returned.

        Raises:
            ArtefactInvalid: A file is missing or not what it claims to be.
            KeyError: The facts are not of makers.
        """
        rates, words, far = facts["label_rates"], facts["text"], facts["far"]
        # Models of before there were places say nothing of them.
        places = facts.get("positions")
        return cls(
            None if rates is None else LabelRates.load(folder, rates),
            None if words is None else TextScore.load(folder, words),
            None if far is None else FarColumns.load(folder, far),
            None if places is None else Positions.load(folder, places),
        )


def maker_phrases(names: tuple[str, ...], phrases: Mapping[str, str]) -> dict[str, str]:
    """What each column among `names` that a maker made says, in plain words.

    Args:
        names: Names of any columns.
        phrases: What the columns of features say.
    """
    return {
        **label_phrases(names),
        **text_phrases(names),
        **far_phrases(names, phrases),
        **position_phrases(names),
    }
