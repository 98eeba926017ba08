"""Every stored table: its columns, types, units, nulls and key, written once.

Column names live here, those of rings in `graphguard/ring_schema.py`, and nowhere else. `storage
index` means the append-only index of an entity's key in the workspace's `ids`; times are
microseconds since 1970, UTC.
"""

import pyarrow as pa

from graphguard.ring_schema import (
    RING_ACTS,
    RING_CHANGES,
    RING_EVIDENCE,
    RING_MEMBERS,
    RING_MEMORY,
    RING_SETS,
    RINGS,
)
from graphguard.table_schema import DAY, FLAG, INT, REAL, REALS, TEXT, TableSchema

FIXED_POINT = 1 << 20
"""Numeric log columns are stored as round(value * FIXED_POINT): integer sums are exact in any
order, float sums in a parallel group-by are not."""

EVENT_TEXT = "__text"
"""Column of `events` that holds the log's text: the same log column may be an entity as well."""


ROW_TEXT = "__text"
"""Column of `features` that holds a row's texts, where the config lists the theme `words`."""


IDS = TableSchema(
    name="ids",
    # Key as in the log, null once it was erased (its index is never given again); storage index.
    columns={"key": TEXT, "index": INT},
    key=("index",),
    nullable=("key",),
)

ID_SEGMENTS = TableSchema(
    name="ids",
    columns={
        "key": pa.string_view(),  # by storage index, from the one in the file's name; null: erased
        # In rising order, not beside their keys: the beginning of each key's hash, then its row.
        "mark": pa.uint64(),
        # Of the n-th beginning of a mark: the place of the first mark that begins so, or would.
        "start": pa.int32(),
    },
    key=(),
    nullable=("key",),
)

TOMBSTONES = TableSchema(
    name="tombstones",
    columns={
        "entity_type": TEXT,
        "mark": TEXT,  # keyed hash of an erased key, 32 hexadecimal digits
    },
    key=("entity_type", "mark"),
)

EVENTS = TableSchema(
    name="events",
    columns={"time_us": INT},
    # Then, by config: entity columns (storage index), numeric columns (fixed point, nullable),
    # categorical columns and EVENT_TEXT (strings, nullable).
    key=(),
    open=True,
)

ACTED = TableSchema(
    name="acted",
    columns={"bits": INT},  # 64 entities each, by storage index, the lowest in the lowest bit
    key=(),
)

REJECTS = TableSchema(
    name="rejects",
    columns={
        "file": TEXT,  # relative to the config's folder
        "row": INT,  # number of the row in its file, from 0; of erased rows -1, -2, ...
        "column": TEXT,
        "reason": TEXT,
        "value": TEXT,  # as found; null where the cell was null
        "time_us": INT,  # the row's time; null where it has none or it cannot be read
    },
    key=("file", "row"),
    nullable=("value", "time_us"),
)

INTAKE = TableSchema(
    name="intake",
    columns={
        "source": TEXT,  # name of the log, entity table or `labels`
        "file": TEXT,
        "read": INT,
        "accepted": INT,
        "rejected": INT,
        "not_yet": INT,  # rows at or after as_of: counted, not validated, not stored
        "identical": INT,  # accepted rows equal to an earlier row of the file
    },
    key=("source", "file"),
)

DELIVERIES = TableSchema(
    name="deliveries",
    columns={
        "source": TEXT,  # as in `intake`
        "unit": TEXT,  # dt=2026-01-31, or all
        "file": TEXT,  # as in `intake`; also files that a manifest lists and nobody delivered
        "state": TEXT,  # taken | repeated: same bytes as an earlier file of the unit | quarantined
        "sha256": TEXT,  # null where the file is not there
        "checked": TEXT,  # what vouches for its bytes: manifest | pages | nothing
        "reason": TEXT,  # why it was not taken
    },
    key=("source", "unit", "file"),
    nullable=("sha256", "reason"),
)

ENTITIES = TableSchema(
    name="entities",
    columns={
        "entity": INT,  # storage index
        "time_us": INT,  # when the row became true; 0 for a timeless table
        "born_us": INT,  # birth; null where unknown
    },
    # Then, by config: numeric columns (fixed point) and categorical ones (string), nullable.
    key=("entity", "time_us"),
    nullable=("born_us",),
    open=True,
)

LABELS = TableSchema(
    name="labels",
    columns={
        "entity": INT,  # storage index
        "known_at_us": INT,
        "bad": FLAG,  # true: enforced; false: cleared
        "source": TEXT,  # who decided; empty where the file does not say
        "trains": FLAG,  # whether labels.train_on admits the source
    },
    key=("entity", "known_at_us", "source"),
)

DAILY_EDGES = TableSchema(
    name="edges",
    columns={
        "source": INT,  # storage index of the source entity
        "target": INT,  # storage index of the target entity
        "day": DAY,  # UTC
        "count": INT,  # events of the day between the two
        "first_us": INT,
        "last_us": INT,
    },
    # Then <numeric>_sum, <numeric>_min, <numeric>_max per numeric column of the log, fixed point.
    key=("source", "target", "day"),
    open=True,
)

PAIRS = TableSchema(
    name="pairs",
    columns={
        "user_a": INT,  # storage index; a's key sorts before b's
        "user_b": INT,
        "channel": TEXT,  # `likes.content_id` for a trace, `shared.device` for a shared entity
        "window_us": INT,  # the window with the smallest p; 0 for a shared entity
        "weight": INT,  # distinct objects shared within the window
        "a_first": INT,  # of these, how often a acted first; 0 for a shared entity
        "gap_us": INT,  # median gap of these acts; null for a shared entity
        "expected": REAL,  # weight expected by chance
        "together": INT,  # objects both touched, whenever; null where interests were asked
        # of these, met within the window by chance; or met on by what both like
        "by_chance": REAL,  # both are null for a shared entity
        "chances": REALS,  # of meeting on each of `together`, ascending; null where that is
        "most_users": INT,  # a shared entity of more users does not count; null for a trace
        "tests": INT,  # windows, or classes of `most_users`, of which the smallest p was taken
        "log10_p": REAL,  # of the channel times `tests`, at most 0
        "log10_q": REAL,  # of the pair: Benjamini-Hochberg over all pairs of users
    },
    key=("user_a", "user_b", "channel"),
    nullable=("gap_us", "together", "by_chance", "chances", "most_users"),
)

GROUPS = TableSchema(
    name="groups",
    columns={
        "entity": INT,  # storage index of a user in a group
        "group": INT,  # its group, numbered by the first of its keys
    },
    # Then what the user has in its group, `features/groups.py`.
    key=("entity",),
    open=True,
)

FEATURES = TableSchema(
    name="features",
    columns={
        "key": TEXT,  # the entity's key; rows are sorted by it
        "entity": INT,  # storage index
        "anchor_us": INT,  # only rows with time < anchor_us were seen
        "scored": FLAG,  # false: enforced before the anchor, so a neighbour but no row to score
    },
    # Then float32 columns, null where a feature has no meaning for the row, and ROW_TEXT.
    key=("entity", "anchor_us"),
    open=True,
)

TRAINING_LABELS = TableSchema(
    name="training_labels",
    columns={
        "key": TEXT,  # rows are sorted by key and anchor
        "anchor_us": INT,
        "bad": FLAG,  # the label the model was trained on
        "fold": INT,  # users of one fold are not shown each other's labels
    },
    key=("key", "anchor_us"),
)

AXES = TableSchema(
    name="axes",
    columns={
        "key": TEXT,  # an object that users met, or a user; rows are in order of key
        "weight": REAL,  # logarithm of how rare it was
        "place": REALS,  # on each axis
    },
    key=("key",),
)

EVALUATION = TableSchema(
    name="evaluation",
    columns={
        "key": TEXT,
        "anchor_us": INT,
        "slice": TEXT,  # select | calibrate | certify
        "model": TEXT,
        "label": FLAG,  # enforced within the horizon
        "raw": REAL,  # the model's own probability
        "risk_score": REAL,  # calibrated
    },
    key=("key", "anchor_us", "model"),
)

PREDICTIONS = TableSchema(
    name="predictions",
    columns={
        "key": TEXT,
        "entity": INT,
        "anchor_us": INT,
        "raw": REAL,
        "risk_score": REAL,  # calibrated probability of enforcement within the horizon, in [0, 1]
    },
    key=("entity",),
)

SCORES = TableSchema(
    name="scores",
    columns={
        "entity_type": TEXT,
        "entity_id": TEXT,
        "risk_score": REAL,  # calibrated probability; nothing changes it after calibration
        "ring_risk": REAL,  # probability that the ring is abusive; null while too few rings matured
        "ring_id": TEXT,  # null outside rings
        "reasons": TEXT,  # JSON list of {code, text, weight}, strongest first
        "model_id": TEXT,
        "run_id": TEXT,
        "as_of": DAY,
    },
    key=("entity_type", "entity_id"),
    nullable=("ring_risk", "ring_id"),
)

DECISIONS = TableSchema(
    name="decisions",
    columns={
        "entity_type": TEXT,
        "entity_id": TEXT,
        "action": TEXT,
        "risk_score": REAL,
        "ring_risk": REAL,
        "threshold": REAL,  # the score that was needed; null for a budget alone
        "reasons": TEXT,
        "ring_id": TEXT,
        "model_id": TEXT,
        "policy_id": TEXT,
        "run_id": TEXT,
        "as_of": DAY,
        "decided_at": pa.timestamp("us", tz="UTC"),  # = as_of: wall time decides nothing
        "expires_at": pa.timestamp("us", tz="UTC"),
        "holdout": FLAG,  # decided, but kept from action to measure precision
        "decision_key": TEXT,  # idempotency key: the same decision has the same key in a re-run
    },
    key=("entity_type", "entity_id", "action"),
    nullable=("ring_risk", "threshold", "ring_id"),
)

TABLES = {
    table.name: table
    for table in (
        IDS,
        TOMBSTONES,
        EVENTS,
        REJECTS,
        INTAKE,
        ENTITIES,
        LABELS,
        DAILY_EDGES,
        PAIRS,
        GROUPS,
        FEATURES,
        TRAINING_LABELS,
        AXES,
        EVALUATION,
        PREDICTIONS,
        RINGS,
        RING_MEMBERS,
        RING_EVIDENCE,
        RING_ACTS,
        RING_SETS,
        RING_CHANGES,
        RING_MEMORY,
        SCORES,
        DECISIONS,
    )
}
