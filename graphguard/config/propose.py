"""Propose a config from the columns of a platform's logs; every guess says why it was made."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import yaml

from graphguard.config.sections import Config
from graphguard.errors import FileUnreadable, InputMissing, NoActor

SAMPLE_ROWS = 20_000
TIME_NAMES = ("ts", "time", "timestamp", "created_at", "event_time", "date")
ACTOR_NAMES = (
    "user_id",
    "user",
    "account_id",
    "account",
    "author_id",
    "author",
    "actor",
    "uid",
    "customer_id",
    "member_id",
)
OBJECT_HINT = re.compile(
    r"(_id|_key|_hash|^id|device|address|^ip|ip$|url|link|page|hashtag|phone|email|card|target|"
    r"content|item|object|terminal)$"
)
SHARED_HINT = re.compile(r"(device|address|^ip|ip$|phone|email|card|cookie)")
USER_HINT = re.compile(r"(followee|followed|friend|recipient|receiver|invitee|target_user)")
"""Columns that name another user; others are known by their values."""
SAME_VALUES = 0.5
"""Share of a column's different values that act elsewhere, from which it names users."""
TEXT_HINT = re.compile(r"(text|caption|body|message|comment|title|bio)$")
EPOCH_S = (946_684_800, 4_102_444_800)
"""Integers between the years 2000 and 2100 may be times."""
PER_SECOND = {"microseconds": 10**6, "milliseconds": 10**3, "seconds": 1, "nanoseconds": 10**9}
CATEGORIES = 200
"""Words of more values than that are names of things."""
LABEL_NAMES = (
    "is_abusive",
    "is_spam",
    "is_bad",
    "is_vandal",
    "is_fraud",
    "label",
    "abusive",
    "bad",
)

CONVERT = "convert it to a timestamp or integer microseconds"
"""What is said of a time that cannot be read as it is; as the log's `time` nothing else passes."""


@dataclass
class LogGuess:
    """What the columns of one log seem to be."""

    name: str
    path: str
    time: str | None = None
    why_time: str = ""
    actor: str | None = None
    objects: list[str] = field(default_factory=list)
    sparse: list[str] = field(default_factory=list)
    """Objects that some rows lack: good for traces, while an edge needs both its ends."""
    users: dict[str, str] = field(default_factory=dict)
    """Objects that name other users, and why that is thought."""
    text: str | None = None
    key: str | None = None
    columns: list[str] = field(default_factory=list)
    samples: dict[str, pl.Series] = field(default_factory=dict)
    """The different values of each object column, as text."""
    numeric: list[str] = field(default_factory=list)
    categorical: list[str] = field(default_factory=list)


def propose_config(logs: dict[str, Path], labels: Path | None, root: Path) -> str:
    """Write a config as YAML text.

    Args:
        logs: A Parquet file or a folder of them, by the log's name.
        labels: A Parquet file or folder with decisions, if there is one.
        root: Folder that paths in the config are relative to.

    Raises:
        InputMissing: A path holds no Parquet file.
        FileUnreadable: A file is no Parquet.
        NoActor: No log has a column that could be the acting user.
    """
    guesses = [_guess(name, path, root) for name, path in logs.items()]
    actor = _common_actor(guesses)
    for guess in guesses:
        if actor in guess.objects:
            guess.objects.remove(actor)
            guess.actor = actor
    _find_users(guesses, actor)
    if not any(guess.actor for guess in guesses):
        raise NoActor(sorted({column for guess in guesses for column in guess.columns}))
    lines = [
        "# Proposed by `graphguard init` from the columns of your logs. Read it over: a guess",
        "# says why it was made. `graphguard settings` explains every setting.",
        "workspace: workspace",
        "# as_of: 2026-01-31   # or pass --as-of",
        "",
        "logs:",
    ]
    for guess in guesses:
        lines += _log_lines(guess)
    lines += ["", "graph:", "  window: 30d", "  edges:"]
    if actor not in ACTOR_NAMES:
        lines.append(f"    # '{actor}' is taken for the user who acts: no column has a usual name")
    edges = [line for guess in guesses for line in _edge_lines(guess)]
    lines += edges
    if not any(line.lstrip().startswith("-") for line in edges):
        lines.append("    # no column looks like an object that users act on; write at least one:")
        lines.append(
            f"    # - {{name: [user, does, thing], log: {_word(guesses[0].name)}, "
            f"source: {_word(actor)}, target: COLUMN}}"
        )
    lines += ["", *_feature_lines(guesses), ""]
    lines += [*_label_lines(labels, root, actor), "", *_ring_lines(guesses)]
    return "\n".join(lines) + "\n"


def _guess(name: str, path: Path, root: Path) -> LogGuess:
    files, pattern = _files(name, path, root)
    frame = _sample(files[0])
    guess = LogGuess(name, pattern, columns=frame.columns)
    for column, kind in frame.schema.items():
        _place(guess, column, kind, frame.get_column(column))
    if guess.time is None:
        guess.why_time = "no column looks like a time, so its events count as before any cutoff"
    for column in list(guess.objects):
        values = frame.get_column(column)
        is_key = values.n_unique() == values.len() and values.len() > 1 and not values.null_count()
        if values.null_count():
            guess.sparse.append(column)
        guess.samples[column] = values.drop_nulls().cast(pl.String).unique()
        if is_key and column not in ACTOR_NAMES and guess.key is None:
            guess.key = column
    return guess


def _place(guess: LogGuess, column: str, kind: pl.DataType, values: pl.Series) -> None:
    lower = column.lower()
    distinct = values.n_unique() / max(values.len(), 1)
    if isinstance(kind, pl.Datetime) or kind == pl.Date:
        if guess.time is None or lower in TIME_NAMES or guess.why_time.startswith(CONVERT):
            guess.time, guess.why_time = column, f"it has type {kind}"
    elif lower in TIME_NAMES and (kind == pl.String or kind.is_integer()):
        if guess.time is None:
            guess.time, guess.why_time = column, _why_time(kind, values.drop_nulls())
    elif kind == pl.String and TEXT_HINT.search(lower):
        guess.text = guess.text or column
    elif kind == pl.Boolean:
        guess.categorical.append(column)
    elif (kind == pl.String or kind.is_integer()) and (
        OBJECT_HINT.search(lower) or lower in ACTOR_NAMES
    ):
        guess.objects.append(column)
    elif kind.is_float() or kind.is_integer():
        guess.numeric.append(column)
    elif kind == pl.String and (distinct > 0.2 or values.n_unique() > CATEGORIES):
        guess.objects.append(column)
    elif kind == pl.String:
        guess.categorical.append(column)


def _why_time(kind: pl.DataType, values: pl.Series) -> str:
    """What a column that is called as times are holds; only microseconds can be used as it is."""
    if kind == pl.String:
        return f"{CONVERT}: by its name a time, and text is none"
    low, high = EPOCH_S
    for unit, per_second in PER_SECOND.items():
        if len(values) and values.is_between(low * per_second, high * per_second).all():
            told = f"its integers are {unit} of this century"
            return told if unit == "microseconds" else f"{CONVERT}: {told}"
    return f"{CONVERT}: by its name a time, and its integers are none of this century"


def _common_actor(guesses: list[LogGuess]) -> str:
    """The column that acts: a usual name first, then the one in most logs."""
    columns = [column for guess in guesses for column in guess.objects]
    if not columns:
        return ""
    usual = [name for name in ACTOR_NAMES if name in columns]
    return usual[0] if usual else max(dict.fromkeys(columns), key=columns.count)


def _find_users(guesses: list[LogGuess], actor: str) -> None:
    """Note the objects that are users themselves, as who is followed is.

    Numbers prove nothing: things and users are both counted from one.
    """
    acting = [guess.samples[actor] for guess in guesses if guess.actor]
    known = pl.concat(acting).unique() if acting else pl.Series("", [], dtype=pl.String)
    for guess in guesses:
        for column in guess.objects:
            values = guess.samples[column]
            also = int(values.filter(values.str.contains(r"\D")).is_in(known.implode()).sum())
            if USER_HINT.search(column.lower()):
                guess.users[column] = "by its name"
            elif also > SAME_VALUES * max(len(values), 1):
                guess.users[column] = f"{also:,} of {len(values):,} values act in the logs too"


def _files(name: str, path: Path, root: Path) -> tuple[list[Path], str]:
    if path.is_file():
        return [path], _relative(path, root)
    files = sorted(path.rglob("*.parquet"))
    if not files:
        raise InputMissing(name, str(path), _why_no_file(path))
    place = files[0].relative_to(path).parent
    parts = [re.sub(r"\d{4}-\d{2}-\d{2}", "{date}", part) for part in place.parts]
    return files, "/".join([_relative(path, root), *parts, "*.parquet"])


def _why_no_file(path: Path) -> str:
    if not path.exists():
        return "there is no such file or folder"
    other = sorted(one.name for one in path.rglob("*") if one.is_file())
    if not other:
        return "the folder is empty; pass a Parquet file, or a folder with some"
    return (
        f"it holds {len(other)} other file{'s' if len(other) > 1 else ''}, such as {other[0]}, and "
        f"logs are read from Parquet files called *.parquet; convert them"
    )


def _relative(path: Path, root: Path) -> str:
    resolved = path.resolve()
    try:
        return resolved.relative_to(root.resolve()).as_posix()
    except ValueError:
        return resolved.as_posix()


def _sample(path: Path) -> pl.DataFrame:
    try:
        return pl.scan_parquet(path).head(SAMPLE_ROWS).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FileUnreadable(path, " ".join(str(error).split())[:200]) from error


def _log_lines(guess: LogGuess) -> list[str]:
    lines = [
        f"  {_word(guess.name)}:",
        f"    path: {_quoted(guess.path)}",
        f"    time: {_word(guess.time or 'none')}   # {guess.why_time}",
    ]
    if guess.key:
        lines.append(f"    key: {_word(guess.key)}   # every value in the sample is different")
    if guess.text:
        lines.append(f"    text: {_word(guess.text)}   # by its name")
    if guess.numeric:
        lines.append(f"    numeric: [{', '.join(map(_word, guess.numeric))}]")
    if guess.categorical:
        lines.append(f"    categorical: [{', '.join(map(_word, guess.categorical))}]")
    return lines


def _edge_lines(guess: LogGuess) -> list[str]:
    if guess.actor is None:
        return [f"    # log '{guess.name}' has no user column, so it makes no edges"]
    lines = []
    for column in guess.objects:
        if column == guess.key and len(guess.objects) > 1:
            continue
        if column in guess.sparse:
            lines.append(f"    # {guess.name}.{column} is often null, so it is a trace, no edge")
            continue
        kind = "user" if column in guess.users else _kind(column)
        if column in guess.users:
            lines.append(f"    # {guess.name}.{column} names users: {guess.users[column]}")
        lines.append(
            f"    - {{name: [user, {_word(guess.name)}, {_word(kind)}], "
            f"log: {_word(guess.name)}, source: {_word(guess.actor)}, target: {_word(column)}}}"
        )
    return lines


def _feature_lines(guesses: list[LogGuess]) -> list[str]:
    """The default themes, groups where users can be linked, and words where there are texts."""
    themes = [*Config.model_fields["features"].default]
    themes += ["groups"] if _ring_lines(guesses) else []
    themes += ["words"] if any(guess.text and guess.actor for guess in guesses) else []
    return [f"features: [{', '.join(themes)}]"]


def _label_lines(labels: Path | None, root: Path, actor: str) -> list[str]:
    if labels is None:
        return [
            "labels:   # what people decided; correct path and columns",
            '  path: "labels/*.parquet"',
            f"  key: {_word(actor)}",
            "  value: is_abusive",
            "  known_at: decided_at",
        ]
    files, pattern = _files("labels", labels, root)
    schema = _sample(files[0]).schema
    times = [name for name, kind in schema.items() if isinstance(kind, pl.Datetime)]
    known = [name for name in times if re.search(r"(decid|block|known|ban|enforc)", name)] or times
    flags = [name for name in schema if name.lower() in LABEL_NAMES]
    flags += [name for name, kind in schema.items() if kind == pl.Boolean]
    key = actor if actor in schema else next(iter(schema))
    value = flags[0] if flags else "is_abusive"
    return [
        "labels:",
        f"  path: {_quoted(pattern)}",
        f"  key: {_word(key)}{'' if key == actor else '   # the logs call it ' + actor}",
        f"  value: {_word(value)}   # by its name",
        f"  known_at: {_word(known[0]) if known else 'decided_at'}   # when the decision was made",
    ]


def _ring_lines(guesses: list[LogGuess]) -> list[str]:
    """Devices and the like are shared, whenever they are touched; all else is a trace in time."""
    traces, shared = [], set()
    for guess in guesses:
        if not (guess.actor and guess.time):
            continue
        things = [column for column in guess.objects if column != guess.key]
        whole = [column for column in things if column not in guess.sparse]
        shared |= {_kind(column) for column in whole if SHARED_HINT.search(column.lower())}
        acts = [column for column in things if not SHARED_HINT.search(column.lower())]
        traces += [
            f"    - {{log: {_word(guess.name)}, object: {_word(column)}}}" for column in acts[:2]
        ]
        if guess.text:
            log, text = _word(guess.name), _word(guess.text)
            traces.append(f"    - {{log: {log}, object: {text}, near: text}}")
    lines = ["  traces:", *traces] if traces else []
    if shared:
        lines.append(f"  shared: [{', '.join(map(_word, sorted(shared)))}]")
    return ["rings:", *lines] if lines else []


def _kind(column: str) -> str:
    """Entity type of a column, by its name."""
    word = re.sub(r"\W+", "_", column.lower()).strip("_") or "thing"
    return re.sub(r"(_id|_key|_hash)$", "", word) or word


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _word(text: str) -> str:
    """A name as YAML reads it back, in quotes only where it would be read as something else."""
    try:
        plain = yaml.safe_load(f"{{a: {text}, b: [{text}, 0]}}") == {"a": text, "b": [text, 0]}
    except yaml.YAMLError:
        plain = False
    return text if plain else _quoted(text)
