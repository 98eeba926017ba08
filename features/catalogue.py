"""Which feature columns a config asks for: their names, themes and meanings.

Reads the config, writes nothing. A block is the columns of one theme about one scope: they go
through one `group_by`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import narwhals as nw

from graphguard.config.sections import Config
from graphguard.errors import BadSetting, near_match
from graphguard.features import activity, content, network, timing, values, words
from graphguard.schema import EVENT_TEXT

Feature = Callable[[], nw.Expr]
THEMES = {
    "activity": activity,
    "timing": timing,
    "network": network,
    "values": values,
    "content": content,
    words.THEME: words,
}
ISLANDS = "islands"
"""The theme that looks at the whole graph at once; see `features/islands.py`."""
GROUPS = "groups"
"""The theme that looks at all links at once; see `features/groups.py`."""
COUNTS = frozenset(feature for theme in THEMES.values() for feature in theme.COUNTS)
"""Features that are 0, not null, for a row without events in their scope."""


@dataclass(frozen=True)
class Source:
    """What a block's rows are made from."""

    kind: str
    """events, objects, numbers, deviations, categories, shares, texts, births, attributes,
    attribute_categories or pairs."""
    log: str = ""
    """Log; empty for all logs together and for what is no log."""
    actor: str = ""
    """Column of the log that holds the row's entity."""
    column: str = ""
    """Column that is measured, or the channel of pairs."""
    target: str = ""
    """Column of the object that a value belongs to."""
    category: str = ""
    """The category whose share is measured."""


@dataclass(frozen=True)
class Block:
    """The columns of one theme about one scope."""

    scope: str
    theme: str
    source: Source
    features: tuple[Feature, ...]
    words: str
    """The scope in plain words."""


@dataclass(frozen=True)
class FeatureColumn:
    """One feature column, for readers."""

    name: str
    theme: str
    scope: str
    meaning: str
    """First sentence of the feature's docstring."""
    phrase: str
    """The column in plain words, to stand in a reason."""


def asks_for(theme: str, config: Config) -> bool:
    """Whether a theme that looks at all rows of an anchor together is listed.

    Raises:
        BadSetting: It is, and rows have anchors of their own.
    """
    if theme in config.features and config.training.event is not None:
        reason = f"theme '{theme}' needs rows of one anchor; drop it, or use a calendar"
        raise BadSetting(str(config.root), "features", reason)
    return theme in config.features


def column_catalogue(config: Config) -> list[FeatureColumn]:
    """Every column that `feature_table` makes under `config`, in order.

    Raises:
        BadSetting: `features` names a theme that does not exist.
    """
    return [
        FeatureColumn(
            name=f"{block.scope}.{feature.__name__}",
            theme=block.theme,
            scope=block.scope,
            meaning=_sentence(feature),
            phrase=_phrase(feature, block.words),
        )
        for block in blocks(config)
        for feature in block.features
    ]


def blocks(config: Config) -> list[Block]:
    """The blocks of columns that `config` asks for; no column name twice.

    Raises:
        BadSetting: `features` names a theme that does not exist.
    """
    themes = (*THEMES, ISLANDS, GROUPS)
    for theme in config.features:
        if theme not in themes:
            known = ", ".join(themes)
            message = f"unknown theme '{theme}' (known: {known}).{near_match(theme, themes)}"
            raise BadSetting(str(config.root), "features", message)
    found: dict[tuple[str, str, tuple[Feature, ...]], Block] = {}
    for block in _all_blocks(config):
        if block.theme in config.features:
            found.setdefault((block.scope, block.theme, block.features), block)
    return list(found.values())


def _all_blocks(config: Config) -> Iterator[Block]:
    acting = {log: actor for log in config.logs if (actor := config.actor_column(log))}
    timed = [log for log in acting if not config.logs[log].timeless]
    if len(timed) > 1:
        yield from _event_blocks("all", Source("events"), "in all logs", timeless=False)
    for log, actor in acting.items():
        timeless = config.logs[log].timeless
        source = Source("events", log, actor)
        yield from _event_blocks(log, source, f"in {log}", timeless=timeless)
        yield from _value_blocks(config, log, actor)
        text = config.logs[log].text
        if text:
            texts = Source("texts", log, actor, EVENT_TEXT)
            yield Block(log, "content", texts, content.COLUMNS, f"in {text} of {log}")
    yield from _object_blocks(config, acting)
    yield from _profile_blocks(config)
    if config.training.event is None:
        yield from _pair_blocks(config)


def _event_blocks(scope: str, source: Source, words: str, *, timeless: bool) -> Iterator[Block]:
    features = activity.TIMELESS_COLUMNS if timeless else activity.EVENT_COLUMNS
    yield Block(scope, "activity", source, features, words)
    if not timeless:
        yield Block(scope, "timing", source, timing.COLUMNS, words)


def _object_blocks(config: Config, acting: dict[str, str]) -> Iterator[Block]:
    """Blocks about objects touched, by edge type, and by trace where its object is no edge's end.

    Edges that end in the target type are seen from that end, under the name of the reverse edge.
    """
    target = config.training.target
    edges = []
    for edge in config.graph.edges:
        source_type, relation, target_type = edge.name
        if acting.get(edge.log) == edge.source:
            words = f"{target_type} by {relation}"
            edges.append((f"{relation}:{target_type}", edge.log, edge.source, edge.target, words))
        if target_type == target:
            words = f"{source_type} by {relation}, received"
            scope = f"rev_{relation}:{source_type}"
            edges.append((scope, edge.log, edge.target, edge.source, words))
    ends = {(log, column) for _, log, _, column, _ in edges}
    for trace in config.rings.traces:
        own = trace.near != "text" and (trace.log, trace.object) not in ends
        if trace.log in acting and own:
            scope = f"{trace.log}:{trace.object}"
            words = f"{trace.object} in {trace.log}"
            edges.append((scope, trace.log, acting[trace.log], trace.object, words))
    for scope, log, actor, column, words in edges:
        source = Source("objects", log, actor, column)
        timeless = config.logs[log].timeless
        acts = activity.TIMELESS_OBJECT_COLUMNS if timeless else activity.OBJECT_COLUMNS
        yield Block(scope, "activity", source, acts, words)
        touched = network.TIMELESS_COLUMNS if timeless else network.OBJECT_COLUMNS
        yield Block(scope, "network", source, touched, words)


def _value_blocks(config: Config, log: str, actor: str) -> Iterator[Block]:
    settings = config.logs[log]
    targets = {
        edge.target: edge.name[2]
        for edge in config.graph.edges
        if edge.log == log and edge.source == actor
    }
    for column in settings.numeric:
        scope, words = f"{log}:{column}", f"{column} of {log}"
        numbers = Source("numbers", log, actor, column)
        features = values.TIMELESS_NUMERIC_COLUMNS if settings.timeless else values.NUMERIC_COLUMNS
        yield Block(scope, "values", numbers, features, words)
        for target, target_type in targets.items():
            against = Source("deviations", log, actor, column, target)
            words_of = f"{words}, by {target_type}"
            name = f"{scope}:{target_type}"
            yield Block(name, "values", against, values.DEVIATION_COLUMNS, words_of)
    for column in settings.categorical:
        used = values.TIMELESS_CATEGORY_COLUMNS if settings.timeless else values.CATEGORY_COLUMNS
        source = Source("categories", log, actor, column)
        yield Block(f"{log}:{column}", "values", source, used, f"{column} of {log}")
        shared = values.TIMELESS_SHARE_COLUMNS if settings.timeless else values.SHARE_COLUMNS
        for category in settings.shares.get(column, ()):
            source = Source("shares", log, actor, column, category=category)
            words = f"{column} '{category}' of {log}"
            yield Block(f"{log}:{column}={category}", "values", source, shared, words)


def _profile_blocks(config: Config) -> Iterator[Block]:
    target = config.training.target
    settings = config.entities.get(target)
    if settings is None:
        return
    if settings.born:
        births = Source("births")
        yield Block(target, "activity", births, activity.PROFILE_COLUMNS, target)
    for column in settings.numeric:
        source = Source("attributes", column=column)
        words = f"{column} of the {target}"
        yield Block(f"{target}:{column}", "values", source, values.ATTRIBUTE_COLUMNS, words)
    for column in settings.categorical:
        source = Source("attribute_categories", column=column)
        words = f"{column} of the {target}"
        features = values.ATTRIBUTE_CATEGORY_COLUMNS
        yield Block(f"{target}:{column}", "values", source, features, words)


def _pair_blocks(config: Config) -> Iterator[Block]:
    channels: dict[str, tuple[tuple[Feature, ...], str]] = {
        f"{trace.log}.{trace.object}": (
            network.TRACE_PAIR_COLUMNS,
            f"{trace.object} in {trace.log}",
        )
        for trace in config.rings.traces
    }
    for name in config.rings.shared:
        channels[f"shared.{name}"] = (network.SHARED_PAIR_COLUMNS, f"shared {name}")
    if channels:
        yield Block("all", "network", Source("pairs"), network.PAIR_COLUMNS, "in any channel")
    for channel, (features, named) in channels.items():
        yield Block(channel, "network", Source("pairs", column=channel), features, named)


def _sentence(feature: Feature) -> str:
    return (feature.__doc__ or "").strip().split("\n", maxsplit=1)[0]


def _phrase(feature: Feature, words: str) -> str:
    plain = _sentence(feature).rstrip(".").split(";")[0]
    return f"{plain[:1].lower()}{plain[1:]} ({words})"
