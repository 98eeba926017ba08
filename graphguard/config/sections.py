"""The settings of a run, section by section. Defaults live here; YAML files hold what differs."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from graphguard.config.limits import LimitConfig
from graphguard.config.policy import PolicyConfig
from graphguard.config.training import TrainingConfig
from graphguard.config.values import (
    AsOf,
    Duration,
    DurationSetting,
    Section,
    SizeSetting,
    parse_duration,
    parse_size,
)


class LogConfig(Section):
    """One log of the platform: Parquet files of events."""

    path: str
    """Glob of the files, relative to the config's folder; `{date}` marks daily partitions."""
    time: str
    """Column of the event time (timestamp, or integer microseconds); `none` for a timeless log."""
    key: str | None = None
    """Column that names an event: later repeats of a key are rejected."""
    text: str | None = None
    """Column with the event's text."""
    numeric: tuple[str, ...] = ()
    """Number columns to make value features from."""
    categorical: tuple[str, ...] = ()
    """Category columns to make value features from."""
    shares: dict[str, tuple[str, ...]] = {}
    """Categories, by category column, whose share of a user's events becomes a feature."""
    allow_missing: bool = False
    """Whether a day without files ends the run with exit 99 instead of 65."""
    manifest: str | None = None
    """The platform's SHA-256 of every file, as JSON or SHA256SUMS; `{date}` as in `path`."""

    @property
    def timeless(self) -> bool:
        """Whether the log's events have no time and count as before any cutoff."""
        return self.time == "none"

    @property
    def dated(self) -> bool:
        """Whether the files come in daily partitions."""
        return "{date}" in self.path


class EntityConfig(Section):
    """A table about entities of one type; the latest row before the cutoff wins."""

    path: str
    """Glob of the table's files."""
    key: str
    """Column with the entity's key, as in the logs."""
    time: str | None = None
    """Column that says when the row became true; rows from the cutoff on are not used."""
    born: str | None = None
    """Column with the entity's birth; its age at the anchor becomes a feature."""
    numeric: tuple[str, ...] = ()
    """Number columns that become features."""
    categorical: tuple[str, ...] = ()
    """Category columns that become features."""
    manifest: str | None = None
    """The platform's SHA-256 of every file, as JSON or SHA256SUMS."""


class EdgeConfig(Section):
    """One edge type of the graph: a pair of entity columns of one log."""

    name: tuple[str, str, str]
    """Source type, relation, target type: `[user, likes, content]`."""
    log: str
    """Log the edges come from."""
    source: str
    """Column of the source entity."""
    target: str
    """Column of the target entity."""


class GraphConfig(Section):
    """The heterogeneous graph."""

    window: DurationSetting = Duration("30d", 30 * 86_400_000_000)
    """How far back from an anchor edges and events count; whole days."""
    edges: tuple[EdgeConfig, ...] = Field(min_length=1)
    """The edge types."""
    hubs: dict[str, int] = {}
    """Largest number of edges kept for one node, by node type; above it a seeded sample stays."""
    memory_budget: SizeSetting = parse_size("2GB")
    """Memory that multi-hop aggregates may take beyond the process; it changes no bit of them."""

    @field_validator("window")
    @classmethod
    def _whole_days(cls, value: Duration) -> Duration:
        if value.us % 86_400_000_000 or not value.us:
            message = f"must be whole days, one or more, got {value}"
            raise ValueError(message)
        return value


class LabelConfig(Section):
    """What people decided, and when it became known."""

    path: str
    """Glob of the label files."""
    entity: str = "user"
    """Entity type that is labelled."""
    key: str = "user_id"
    """Column of the entity's key."""
    value: str = "is_abusive"
    """Column of the decision: true or 1 means enforced, false or 0 cleared."""
    known_at: str = "decided_at"
    """Column of the time at which the decision was made."""
    source: str | None = None
    """Column that says who decided."""
    train_on: tuple[str, ...] = ()
    """Sources that may train a model; empty means all."""
    manifest: str | None = None
    """The platform's SHA-256 of every file, as JSON or SHA256SUMS."""


class IndexConfig(Section):
    """Embedding neighbourhoods."""

    engine: Literal["auto", "flat", "ivf", "hnsw", "gpu"] = "auto"
    """FAISS index; `auto` is exact below 200,000 rows."""
    neighbours: int = Field(50, ge=1)
    """Neighbours looked up per user."""
    recall_sample: int = Field(1000, ge=1)
    """Users whose neighbours are also found by brute force, to measure recall."""


class TraceConfig(Section):
    """Acts on a common object that can reveal coordination."""

    log: str
    """Log of the acts."""
    object: str
    """Column of the object acted on."""
    near: Literal["text", "image"] | None = None
    """What is nearly equal is one object: the log's `text`, or the hashes (hex) of `image`s."""
    similarity: float = Field(0.5, ge=0.2, lt=1)
    """Jaccard similarity of two texts' runs of four characters from which on they are near."""
    bits: int = Field(31, ge=0, le=64)
    """Bits in which two picture hashes may differ; less than a quarter of all."""


class RingConfig(Section):
    """How links and neighbours become rings."""

    traces: tuple[TraceConfig, ...] = ()
    """Acts whose timing is compared between users."""
    shared: tuple[str, ...] = ()
    """Entity types whose sharing links users, such as device or address."""
    windows: tuple[DurationSetting, ...] = tuple(
        parse_duration(text) for text in ("1s", "10s", "60s", "10m", "1h")
    )
    """Largest gaps between two acts that are tried, both ends included; ascending."""
    min_members: int = Field(2, ge=2)
    """Smallest group that is reported as a ring; two are one only by what they did together."""
    false_discovery_rate: float = Field(0.01, gt=0, lt=1)
    """Share of linked pairs that may be chance."""
    night_alpha: float = Field(0.05, gt=0, lt=1)
    """Chance that a night without any ring reports one."""
    max_burst: int = Field(200, ge=2)
    """Acts on one object within one window above which pairs are sampled, then verified."""
    max_sharers: int = Field(1000, ge=2)
    """Users of one shared object above which its pairs are counted but not listed."""
    remember: DurationSetting = Duration("90d", 90 * 86_400_000_000)
    """How long a ring that is not found any more keeps its name."""
    null_nights: int = Field(2, ge=0)
    """Nights a channel whose users are dealt by lot, to see that the tests find nothing there."""
    null_acts: int = Field(1_000_000, ge=1000)
    """Acts of a dealt night, about; of more, some objects are taken."""
    earlier: bool = True
    """Whether groups of windows before are known: slow rings show more of themselves in several."""
    behaviour: bool = True
    """Whether users who behave alike confirm weak links, beside those alike to the model."""

    @field_validator("windows")
    @classmethod
    def _ascending(cls, value: tuple[Duration, ...]) -> tuple[Duration, ...]:
        steps = [window.us for window in value]
        if not steps or steps != sorted(set(steps)):
            message = f"must be one or more ascending durations, got {[str(w) for w in value]}"
            raise ValueError(message)
        return value


class ExportConfig(Section):
    """Where decisions and scores go."""

    sink: Literal["parquet"] = "parquet"
    """Kind of sink."""
    path: str
    """Folder of the sink, relative to the config's folder."""


class SparkConfig(Section):
    """The cluster that `engine: spark` runs on; unused otherwise."""

    master: str = Field("local[*]", pattern=r"^(local(\[.+\])?|yarn|(spark|k8s)://.+)$")
    """Address of the master, as Spark writes it: `spark://host:7077`, `yarn`, `k8s://...`."""
    partitions: int = Field(64, ge=1)
    """Parts that a join or a group-by is cut into; about three for each core of the cluster."""
    executor_memory_mb: int = Field(4096, ge=512)
    """Memory of one executor."""
    driver_memory_mb: int = Field(2048, ge=512)
    """Memory of the driver."""
    scratch: Path | None = None
    """Folder for tables between steps, seen by driver and executors; in the workspace if absent."""
    options: dict[str, str] = {}
    """Further Spark properties by name, such as `spark.executor.cores`."""


class Config(Section):
    """A whole run."""

    workspace: Path = Path("workspace")
    """Folder that holds tables and runs, relative to the config's folder."""
    as_of: AsOf | None = None
    """The cutoff, a UTC day; nothing at or after its start is ever seen."""
    engine: Literal["polars", "spark"] = "polars"
    """Engine of the relational steps; `spark` needs the extra of that name."""
    spark: SparkConfig = SparkConfig()
    """Spark."""
    logs: dict[str, LogConfig] = Field(min_length=1)
    """The platform's logs by name."""
    entities: dict[str, EntityConfig] = {}
    """Tables about entities by entity type."""
    graph: GraphConfig
    """The graph."""
    labels: LabelConfig
    """The labels."""
    features: tuple[str, ...] = ("activity", "timing", "network", "values", "content")
    """Themes of features, modules of `features/`."""
    training: TrainingConfig = TrainingConfig()
    """Target, anchors and models."""
    index: IndexConfig = IndexConfig()
    """Embedding neighbourhoods."""
    rings: RingConfig = RingConfig()
    """Rings."""
    policy: PolicyConfig = PolicyConfig()
    """Policy."""
    export: tuple[ExportConfig, ...] = ()
    """Sinks."""
    limits: LimitConfig = LimitConfig()
    """Limits."""
    root: Path = Path(".")
    """Folder that relative paths start from; set to the config file's own folder when read."""

    @model_validator(mode="after")
    def _names_agree(self) -> "Config":
        for edge in self.graph.edges:
            _known("graph.edges", edge.log, self.logs)
        for name, log in self.logs.items():
            for column in (*log.numeric, *log.categorical):
                if column in self.entity_columns(name):
                    message = f"logs.{name}: column '{column}' is an entity already; drop it here"
                    raise ValueError(message)
            for column in log.shares:
                _known(f"logs.{name}.shares", column, log.categorical)
        for trace in self.rings.traces:
            _known("rings.traces", trace.log, self.logs)
            if trace.near == "text" and self.logs[trace.log].text != trace.object:
                message = (
                    f"rings.traces: near: text needs the text of log '{trace.log}', which is "
                    f"{self.logs[trace.log].text or 'none'}; got '{trace.object}'"
                )
                raise ValueError(message)
        types = self.node_types()
        _known("training.target", self.training.target, types)
        _known("labels.entity", self.labels.entity, types)
        for name in (*self.rings.shared, *self.graph.hubs):
            _known("rings.shared and graph.hubs", name, types)
        return self

    def node_types(self) -> tuple[str, ...]:
        """Entity types of the graph, sorted."""
        pairs = ((edge.name[0], edge.name[2]) for edge in self.graph.edges)
        return tuple(sorted({name for pair in pairs for name in pair}))

    def entity_columns(self, log: str) -> dict[str, str]:
        """Entity type of each entity column of `log`; a bare trace object is its own type.

        A trace's object that is no end of an edge (a link, a hashtag) has the type `log.column`.
        """
        columns: dict[str, str] = {}
        for edge in self.graph.edges:
            if edge.log == log:
                columns[edge.source] = edge.name[0]
                columns[edge.target] = edge.name[2]
        for trace in self.rings.traces:
            # The text of a log is stored as it is, not as a key.
            if trace.log == log and trace.near != "text":
                columns.setdefault(trace.object, f"{log}.{trace.object}")
        return columns

    @property
    def workspace_folder(self) -> Path:
        """Absolute folder of tables and runs."""
        return (self.root / self.workspace).resolve()

    def actor_column(self, log: str) -> str | None:
        """The column of `log` that holds the acting target entity, if it has one."""
        for edge in self.graph.edges:
            if edge.log == log and edge.name[0] == self.training.target:
                return edge.source
        return None


def _known(place: str, name: str, names: object) -> None:
    known = sorted(names)  # type: ignore[call-overload]
    if name not in known:
        message = f"{place} names '{name}', which is not among {', '.join(known)}"
        raise ValueError(message)
