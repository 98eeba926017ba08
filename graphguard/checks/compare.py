"""Compare two runs by content: tables row by row and by key, arrays and models by bytes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from graphguard.config.sections import Config
from graphguard.tables.commit import VOLATILE
from graphguard.tables.files import read_json, read_parquet
from graphguard.tables.workspace import Run, Workspace

STAGES_WITH_TABLES = (
    "ingest",
    "build_graph",
    "link",
    "featurize",
    "train",
    "embed",
    "find_rings",
    "score",
    "decide",
)
IGNORED = ("manifest.json", "storage", "intake.parquet", "deliveries.parquet")
"""Files that say how a result was stored or counted, not what it is."""
VOLATILE_NAMES = (*VOLATILE, "stage_peak_memory_mb", "versions")


@dataclass
class Comparison:
    """What was compared and what differs."""

    tables: int = 0
    rows: int = 0
    files: int = 0
    differences: list[str] = field(default_factory=list)


def compare_runs(first: Run, second: Run, config: Config) -> Comparison:
    """Compare all that two runs hold, table by table.

    Storage indices are turned back into keys, since they depend on the order of arrival.
    """
    found = Comparison()
    decoders = (Decoder(first.workspace), Decoder(second.workspace))
    for stage in STAGES_WITH_TABLES:
        if first.has(stage) != second.has(stage):
            found.differences.append(f"stage {stage} is committed in one run only")
            continue
        if first.has(stage):
            _compare_partitions(first, second, stage, (found, decoders, config))
            _compare_folders(first.stage(stage), second.stage(stage), (found, decoders, config))
    return found


class Decoder:
    """Turns storage indices of one workspace back into keys."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._frames: dict[str, pl.DataFrame] = {}

    def decode(self, frame: pl.DataFrame, columns: dict[str, str]) -> pl.DataFrame:
        """Replace each column that holds storage indices of a type by keys."""
        for column, entity_type in columns.items():
            if entity_type not in self._frames:
                self._frames[entity_type] = self._workspace.ids(entity_type).frame
            names = self._frames[entity_type].rename({"index": column, "key": "__key"})
            frame = (
                frame.join(names, on=column, how="left", maintain_order="left")
                .drop(column)
                .rename({"__key": column})
            )
        return frame


Setting = tuple[Comparison, tuple[Decoder, Decoder], Config]


def _compare_partitions(first: Run, second: Run, stage: str, setting: Setting) -> None:
    found = setting[0]
    tables = [run.manifest(stage).get("partitions", {}) for run in (first, second)]
    for table in sorted(tables[0].keys() | tables[1].keys()):
        folders = [run.partitions(stage, table) for run in (first, second)]
        if folders[0].keys() != folders[1].keys():
            odd = sorted(folders[0].keys() ^ folders[1].keys())
            found.differences.append(f"{table}: partitions in one run only: {', '.join(odd)}")
            continue
        for name in folders[0]:
            for path in sorted(folders[0][name].glob("*.parquet")):
                if path.name not in IGNORED:
                    _compare_tables(path, folders[1][name] / path.name, f"{table}/{name}", setting)


def _compare_folders(first: Path, second: Path, setting: Setting) -> None:
    found = setting[0]
    names = [
        {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        for folder in (first, second)
    ]
    for odd in sorted(names[0] ^ names[1]):
        found.differences.append(f"{first.name}/{odd}: in one run only")
    for name in sorted(names[0] & names[1]):
        place = f"{first.name}/{name}"
        if any(part.startswith(IGNORED) or part in IGNORED for part in Path(name).parts):
            continue
        if name.endswith(".parquet"):
            _compare_tables(first / name, second / name, place, setting)
        elif name.endswith(".json"):
            if _steady(read_json(first / name)) != _steady(read_json(second / name)):
                found.differences.append(f"{place}: values differ")
            found.files += 1
        else:
            if (first / name).read_bytes() != (second / name).read_bytes():
                found.differences.append(f"{place}: bytes differ")
            found.files += 1


def _compare_tables(first: Path, second: Path, place: str, setting: Setting) -> None:
    found, decoders, config = setting
    if not second.is_file():
        found.differences.append(f"{place}/{first.name}: in one run only")
        return
    frames = []
    for path, decoder in ((first, decoders[0]), (second, decoders[1])):
        frame = read_parquet(path)
        columns = index_columns(place, frame, config)
        frames.append(decoder.decode(frame, columns))
    compare_frames(frames[0], frames[1], place, found)


def compare_frames(
    first: pl.DataFrame, second: pl.DataFrame, place: str, found: Comparison
) -> None:
    """Compare two tables whatever the order of their rows and columns; note it in `found`."""
    frames = [one.sort(sorted(one.columns)).select(sorted(one.columns)) for one in (first, second)]
    found.tables += 1
    found.rows += frames[0].height
    text = _difference(frames[0], frames[1])
    if text:
        found.differences.append(f"{place}: {text}")


def index_columns(place: str, frame: pl.DataFrame, config: Config) -> dict[str, str]:
    """Columns of a stored table that hold storage indices, with their entity types."""
    parts = place.split("/")
    target = config.training.target
    if parts[0] == "events":
        columns = config.entity_columns(parts[1])
    elif parts[0] == "edges":
        source, _, end = parts[1].split("__")
        columns = {"source": source, "target": end}
    elif "entities" in parts:
        columns = {"entity": Path(parts[-1]).stem}
    else:
        columns = dict.fromkeys(("entity", "user_a", "user_b"), target)
    return {name: kind for name, kind in columns.items() if name in frame.columns}


def _difference(first: pl.DataFrame, second: pl.DataFrame) -> str:
    if first.columns != second.columns:
        odd = sorted(set(first.columns) ^ set(second.columns))
        return f"columns in one run only: {', '.join(odd)}"
    if first.height != second.height:
        return f"{first.height} rows against {second.height}"
    for name in first.columns:
        left, right = first.get_column(name), second.get_column(name)
        if not left.equals(right, null_equal=True):
            at = int((left.ne_missing(right)).arg_max() or 0)
            return f"column '{name}' differs, first in row {at}: {left[at]!r} against {right[at]!r}"
    return ""


def _steady(value: Any) -> Any:
    """A JSON value without the entries that time and memory change."""
    if isinstance(value, dict):
        return {key: _steady(one) for key, one in value.items() if key not in VOLATILE_NAMES}
    if isinstance(value, list):
        return [_steady(one) for one in value]
    return value
