"""The stored tables of rings, as `graphguard/schema.py` has the others."""

from graphguard.table_schema import DAY, INT, REAL, REALS, TEXT, TEXTS, TableSchema

RINGS = TableSchema(
    name="rings",
    columns={
        "ring_id": TEXT,
        "size": INT,
        "density": REAL,  # linked pairs over all pairs
        "evidence_bits": REAL,  # sum over linked pairs
        "log10_p": REAL,  # of the ring's best pair, times all pairs of users
        "log10_q": REAL,  # of the rings up to this one, the share that chance may have made
        "synchrony_s": REAL,  # median gap between matching acts, seconds; null without a trace
        "met_share": REAL,  # of objects two linked members both touched, met within the window on
        "chance_share": REAL,  # the same by chance: near `met_share`, the ring is a crowd of fans
        "channels": TEXT,  # comma-separated, strongest first
        "known_bad": INT,  # members enforced before as_of
        "mean_risk": REAL,  # mean risk_score of members that have one; null where none has
        "first_seen": DAY,  # as_of of the ring's birth
        "ties": TEXT,  # JSON list of {type, key, members}: objects that tie most members
    },
    key=("ring_id",),
    nullable=("synchrony_s", "met_share", "chance_share", "mean_risk"),
)

RING_MEMBERS = TableSchema(
    name="ring_members",
    columns={
        "ring_id": TEXT,
        "key": TEXT,
        "entity": INT,
        "role": TEXT,  # core | edge
        "degree": INT,  # other members it is linked to
        "evidence_bits": REAL,
        "first_share": REAL,  # of its meetings in time, came first: who leads; null without a trace
    },
    key=("ring_id", "key"),
    nullable=("first_share",),
)

RING_EVIDENCE = TableSchema(
    name="ring_evidence",
    columns={
        "ring_id": TEXT,
        "key_a": TEXT,
        "key_b": TEXT,
        "channel": TEXT,  # also `embedding`, and `again.` before a trace
        "window_us": INT,  # this and what follows as in `pairs`
        "weight": INT,
        "a_first": INT,
        "gap_us": INT,
        "expected": REAL,
        "together": INT,
        "by_chance": REAL,
        "chances": REALS,
        "most_users": INT,
        "tests": INT,
        "log10_p": REAL,
        "log10_q": REAL,
        "bits": REAL,
    },
    key=("ring_id", "key_a", "key_b", "channel"),
    nullable=("gap_us", "together", "by_chance", "chances", "most_users"),
)

RING_ACTS = TableSchema(
    name="ring_acts",
    columns={
        "ring_id": TEXT,
        "channel": TEXT,  # a trace, `shared.<type>` or `alike.`: what `ring_evidence` rests on
        "object_type": TEXT,
        "object": TEXT,  # key of an object that two linked members acted on; or site of links
        "users": INT,  # all users of the object in the window
        "key": TEXT,  # the member
        "time_us": INT,
        "event_id": TEXT,  # `<log>:<mark>`, the same every night
    },
    key=("ring_id", "channel", "object", "event_id"),
)

RING_SETS = TableSchema(
    name="ring_sets",
    columns={
        "ring_id": TEXT,
        "channel": TEXT,  # of `ring_evidence`: its links are the pairs inside such sets
        "number": INT,  # of the set in its ring and channel, the least likely first
        # again | once | company | core | audience | alike, or of one who joins: known | beside
        "test": TEXT,
        "window_us": INT,  # within which it met; null where each link has a window of its own
        "object_type": TEXT,  # empty where only the links say on what it met
        "objects": TEXTS,  # on which it met, as in `ring_acts`
        "users": INT,  # that the test counted
        "keys": TEXTS,  # those of them that are members of the ring, sorted
        "log10_q": REAL,
        "terms": TEXT,  # JSON object: what q follows from, with these users (docs/rings.md)
    },
    key=("ring_id", "channel", "number"),
    nullable=("window_us",),
)

RING_CHANGES = TableSchema(
    name="ring_changes",
    columns={
        "ring_id": TEXT,
        # birth | growth | shrink | steady | merge | split | dormant (not found tonight) | return
        # (found again) | death (forgotten)
        "change": TEXT,
        "other": TEXT,  # the ring merged with or split from; empty otherwise
        "joined": INT,
        "left": INT,
    },
    key=("ring_id", "change", "other"),
)

RING_MEMORY = TableSchema(
    name="ring_memory",
    columns={
        "ring_id": TEXT,
        "key": TEXT,  # member when the ring was last found
        "first_seen": DAY,
        "last_seen": DAY,  # as_of of the last night that found it: earlier than tonight, asleep
    },
    key=("ring_id", "key"),
)
