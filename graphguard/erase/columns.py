"""Which columns of a stored table hold storage indices, and which hold keys, of which type."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from graphguard.config.sections import Config
from graphguard.schema import AXES
from graphguard.tables.files import read_json
from graphguard.tables.workspace import Workspace

INDEX_COLUMNS = ("entity", "user_a", "user_b")
KEY_COLUMNS = ("key", "entity_id", "key_a", "key_b")
KEY_LISTS = ("keys",)
"""Columns with lists of keys of the scored type."""


@dataclass(frozen=True)
class EntityColumns:
    """What the configs say about a workspace's tables.

    Attributes:
        logs: Entity type by column, by log.
        target: Entity type that is scored.
        labelled: Entity type that is labelled.
    """

    logs: Mapping[str, Mapping[str, str]]
    target: str
    labelled: str

    @classmethod
    def of(cls, config: Config, workspace: Workspace) -> "EntityColumns":
        """Those of the present config and, for what it no longer names, of the runs' own."""
        logs = {name: config.entity_columns(name) for name in config.logs}
        for path in sorted(workspace.root.glob("runs/*/config.json"), reverse=True):
            for name, columns in _columns_of(read_json(path)).items():
                logs[name] = {**columns, **logs.get(name, {})}
        return cls(logs, config.training.target, config.labels.entity)

    def indices(self, place: PurePath) -> dict[str, str]:
        """Entity type by column of storage indices.

        Args:
            place: Path of the table, relative to the workspace.
        """
        parts = place.parts
        if parts[:2] == ("store", "events"):
            return dict(self.logs.get(parts[2], {}))
        if parts[:2] == ("store", "edges"):
            source, _, target = parts[2].split("__")
            return {"source": source, "target": target}
        return dict.fromkeys(INDEX_COLUMNS, self._type(parts))

    def keys(self, place: PurePath) -> dict[str, str]:
        """Entity type by column of keys; the table need not have them all."""
        if place.parts[:2] in (("store", "events"), ("store", "edges")):
            return {}
        return dict.fromkeys(KEY_COLUMNS, self._type(place.parts))

    def _type(self, parts: tuple[str, ...]) -> str:
        if parts[:2] == ("store", "features"):
            return parts[2]
        if "entities" in parts[:-1]:
            return PurePath(parts[-1]).stem
        if parts[-1] == f"{AXES.name}.parquet":
            return parts[-2].rpartition("__")[2]
        if parts[-1] in ("labels.parquet", "labels"):
            return self.labelled
        return self.target


def _columns_of(settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """As `Config.entity_columns`, from a frozen config of any age."""
    logs: dict[str, dict[str, str]] = {}
    edges: Iterable[Mapping[str, Any]] = settings["graph"]["edges"]
    for edge in edges:
        columns = logs.setdefault(edge["log"], {})
        columns[edge["source"]], columns[edge["target"]] = edge["name"][0], edge["name"][2]
    for trace in settings["rings"]["traces"]:
        if trace.get("near") == "text":
            continue
        log, column = trace["log"], trace["object"]
        logs.setdefault(log, {}).setdefault(column, f"{log}.{column}")
    return logs
