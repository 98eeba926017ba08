"""Settings of training: what is predicted, from which past days, by which models."""

from typing import Literal

from pydantic import Field, model_validator

from graphguard.config.values import DurationSetting, Section, parse_duration

LabelUse = Literal["auto", "always", "never"]
TextUse = Literal["auto", "never"]
Family = Literal["trees", "propagated", "sage", "rgcn", "hgt", "dgl_rgcn"]


class EventAnchor(Section):
    """One row per user, at its k-th event."""

    event: int = Field(ge=1)
    """Number of the event at which a user's features and edges are cut."""
    fewer: bool = False
    """Whether users with fewer events have a row too, at their last. A platform cannot know which
    event is the last one: for comparing with others on finished histories."""


class NetworkConfig(Section):
    """What all networks share."""

    hidden: int = Field(64, ge=4)
    """Width of the hidden layers and of the embedding."""
    epochs: int = Field(20, ge=1)
    """Largest number of passes over the training rows; stops early on the selection slice."""
    batch_rows: int = Field(512, ge=1)
    """Rows in a batch."""
    learning_rate: float = Field(0.003, gt=0)
    """Step size of AdamW."""
    loss: Literal["weighted", "focal"] = "weighted"
    """`weighted`: cross-entropy, rare positives weigh more. `focal`: also, easy rows weigh less."""
    focal_gamma: float = Field(2.0, ge=0)
    """How little the focal loss cares for rows that are right already; 0 is `weighted`."""


class SampledConfig(NetworkConfig):
    """What all networks on sampled neighbourhoods share."""

    fanouts: tuple[int, ...] = (8, 4)
    """Neighbours sampled per relation and direction at each hop."""
    sampler: Literal["uniform", "rarity", "pagerank", "pyg-lib"] = "uniform"
    """Which neighbours within the window: a uniform draw, one that favours rare ones, those of
    highest personalised PageRank from the user, or a uniform draw by pyg-lib."""


class PropagatedConfig(NetworkConfig):
    """The decoupled network: attention over what was added up beforehand, relation by relation."""

    hops: int = Field(2, ge=1, le=2)
    """How far away neighbours count: 2 adds means over neighbours of neighbours."""
    pretrain: int = Field(0, ge=0)
    """Epochs before training that guess hidden tokens of all known rows, without labels."""
    label_rates: LabelUse = "auto"
    """Whether columns are made of the training labels around a row; `auto`: in static splits."""
    label_folds: int = Field(10, ge=2)
    """Folds of users whose labels are hidden from one another when these columns are made."""
    text: TextUse = "auto"
    """Whether a column is made of what users' texts say; `auto`: where `features` lists `words`."""
    positions: int = Field(0, ge=0, le=256)
    """Axes of each relation on which users are placed by what they met (a truncated SVD), a column
    each; 0: none. Not with an `event` anchor."""


class EnsembleConfig(Section):
    """Several families, their log-odds added up with weights learned on the selection slice."""

    members: tuple[Family, ...] = ("trees", "propagated")
    """Families to add up; those that are in `models` too are fitted once."""


class SageConfig(SampledConfig):
    """GraphSAGE: means over each relation."""


class RgcnConfig(SampledConfig):
    """Relational graph convolutions: a matrix for each relation."""

    bases: int = Field(4, ge=0)
    """Shared matrices that each relation's is mixed from; 0 gives each relation its own."""


class HgtConfig(SampledConfig):
    """The heterogeneous graph transformer: attention over all neighbours."""

    heads: int = Field(4, ge=1)
    """Attentions side by side; must divide `hidden`."""


class DglRgcnConfig(RgcnConfig):
    """Relational graph convolutions computed by DGL (extra `dgl`)."""


class TreesConfig(Section):
    """The gradient-boosted trees."""

    rounds: int = Field(600, ge=1)
    """Largest number of boosting rounds; stops early on the selection slice."""
    depth: int = Field(5, ge=1)
    """Depth of a tree."""
    learning_rate: float = Field(0.05, gt=0)
    """Shrinkage of each round."""
    bags: int = Field(3, ge=1)
    """Boosters with different seeds whose log-odds are averaged."""
    forests: int = Field(0, ge=0)
    """As many more, each a forest of extremely randomised trees: worth a try on small sets."""
    label_rates: LabelUse = "auto"
    """Whether columns are made of the training labels around a row; `auto`: in static splits."""
    label_folds: int = Field(10, ge=2)
    """Folds of users whose labels are hidden from one another when these columns are made."""
    hops: int = Field(1, ge=1, le=2)
    """How far away neighbours count: 2 adds means over neighbours of neighbours."""
    text: TextUse = "auto"
    """Whether a column is made of what users' texts say; `auto`: where `features` lists `words`."""
    positions: int = Field(0, ge=0, le=256)
    """Axes of each relation on which users are placed by what they met (a truncated SVD), a column
    each; 0: none. Not with an `event` anchor."""


class SearchConfig(Section):
    """A small search of settings on the selection slice (extra `search`)."""

    trials: int = Field(0, ge=0)
    """Settings to try for each family, those of this file first; 0: no search."""
    families: tuple[Family, ...] = ("trees",)
    """Families to search for, of those in `models`."""


class TrainingConfig(Section):
    """What is predicted, from which past days, by which models."""

    target: str = "user"
    """Entity type that is scored."""
    anchor: Literal["calendar", "static"] | EventAnchor = "calendar"
    """`calendar`: rows on a grid of days. `{event: k}`: one row per user at its k-th event.
    `static`: one row per entity at the cutoff, for logs without times; features only."""
    anchors: int = Field(4, ge=3)
    """Number of past anchors (or periods of `anchor_every`, with an event anchor)."""
    anchor_every: DurationSetting = parse_duration("14d")
    """Distance of the anchors on the absolute grid; at least the horizon."""
    horizon: DurationSetting = parse_duration("14d")
    """A row is positive if its user is enforced within this time after the anchor."""
    models: tuple[Family | Literal["ensemble"], ...] = ("trees", "sage")
    """Model families to fit; the better one on the selection slice is the champion."""
    seed: int = 7
    """Seed of every random choice."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks train: `auto` takes a GPU if there is one."""
    refit: bool = True
    """Whether models that can, once judged, learn anew from the selection slice too (`trees`)."""
    search: SearchConfig = SearchConfig()
    """A search of settings before the models are fitted; off by default."""
    ranks: int = Field(1, ge=1)
    """Processes of this machine that train a sampled network together, each with a GPU if there
    are any; they share the mapped graph and rows."""
    min_positives: int = Field(10, ge=1)
    """Fewest positive rows a slice may hold."""
    propagated: PropagatedConfig = PropagatedConfig()
    """Settings of `propagated`."""
    sage: SageConfig = SageConfig()
    """Settings of `sage`."""
    rgcn: RgcnConfig = RgcnConfig()
    """Settings of `rgcn`."""
    hgt: HgtConfig = HgtConfig()
    """Settings of `hgt`."""
    dgl_rgcn: DglRgcnConfig = DglRgcnConfig()
    """Settings of `dgl_rgcn`."""
    trees: TreesConfig = TreesConfig()
    """Settings of `trees`."""
    ensemble: EnsembleConfig = EnsembleConfig()
    """Settings of `ensemble`."""

    @model_validator(mode="after")
    def _windows_do_not_overlap(self) -> "TrainingConfig":
        if self.anchor_every.us < self.horizon.us:
            message = (
                f"anchor_every ({self.anchor_every}) must be at least horizon ({self.horizon}), "
                f"or label windows overlap"
            )
            raise ValueError(message)
        return self

    @property
    def event(self) -> int | None:
        """The k of an event anchor, else None."""
        return self.anchor.event if isinstance(self.anchor, EventAnchor) else None

    @property
    def fewer(self) -> bool:
        """Whether users with fewer events than an event anchor asks for have a row too."""
        return isinstance(self.anchor, EventAnchor) and self.anchor.fewer

    @property
    def calendar(self) -> bool:
        """Whether rows lie on the grid of days."""
        return self.anchor == "calendar"

    @property
    def static(self) -> bool:
        """Whether there is one row per entity, at the cutoff."""
        return self.anchor == "static"
