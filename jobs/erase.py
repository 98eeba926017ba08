"""Erase users: what the command line asks for, and how a run's report is drawn anew."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from graphguard.config.sections import Config
from graphguard.erase.erase import Request, erase
from graphguard.erase.scan import check_erasure
from graphguard.erase.swap import Write, json_writer
from graphguard.errors import BadSetting
from graphguard.jobs.context import Job, Reporter
from graphguard.jobs.report import gather
from graphguard.report.metrics import metrics_json
from graphguard.report.page import render
from graphguard.tables.files import read_parquet
from graphguard.tables.workspace import Run, Workspace

PLACE = "command line"


def read_request(
    config: Config, entity_type: str | None, files: Sequence[Path], keys: Sequence[str]
) -> Request:
    """Whom the command line names.

    Args:
        config: Knows the entity types.
        entity_type: Type of the keys; the training target where None.
        files: Text files with a key a line, or Parquet files with a column `key` or just one.
        keys: Keys given one by one.

    Raises:
        BadSetting: Nobody is named, a file cannot be read, the type is unknown, or an id is given
            with its type before it.
    """
    kind = entity_type or config.training.target
    known = {name for log in config.logs for name in config.entity_columns(log).values()}
    if kind not in known:
        reason = f"must be one of {', '.join(sorted(known))}, got '{kind}'"
        raise BadSetting(PLACE, "--type", reason)
    found = {key for key in keys if key}
    for path in files:
        found |= _keys_in(path)
    if not found:
        reason = "names nobody: give --user ID, or --users with a file of one id a line"
        raise BadSetting(PLACE, "--users", reason)
    _refuse_typed(config, kind, found)
    return Request(kind, frozenset(found))


def _refuse_typed(config: Config, kind: str, keys: set[str]) -> None:
    """Refuse `user:ID` where the workspace knows ID: nobody of that name would be found."""
    mark = f"{kind}:"
    typed = sorted(key for key in keys if key.startswith(mark))
    if not typed:
        return
    ids = Workspace(config.workspace_folder).ids(kind)
    plain = pl.Series([key.removeprefix(mark) for key in typed])
    wrong = (ids.find(pl.Series(typed)).is_null() & ids.find(plain).is_not_null()).sum()
    if wrong:
        reason = (
            f"{wrong} of {len(keys)} ids begin with '{mark}', and the workspace knows them "
            f"without it; give ids as the logs write them. Nothing was done"
        )
        raise BadSetting(PLACE, "--user", reason)


def run_erase(config: Config, request: Request, reporter: Reporter) -> str:
    """Erase; returns what was done, in words and without a key."""
    reporter.stage("erase", 1, 1)
    record = erase(config, request, ReportRedrawer(config), reporter.step)
    for sink in record["sinks_left"]:
        reporter.note(f"{sink} is no folder: erase these users there by hand")
    return _told(record)


def run_check(config: Config, request: Request) -> str:
    """Search for traces; returns what was searched."""
    return str(check_erasure(config, request.entity_type, request.keys))


class ReportRedrawer:
    """Draws a run's report from what the run holds now; given to `erase`."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __call__(self, run: Run) -> Mapping[str, Write]:
        """How to write each file of the run's report stage."""
        facts = run.facts()
        previous = run.workspace.run(facts["previous"]) if facts["previous"] else None
        job = Job(self._config, date.fromisoformat(facts["as_of"]), run, previous)
        contents = gather(job)
        page = render(contents)
        return {
            "report.html": lambda path: _write_text(path, page),
            "metrics.json": json_writer(metrics_json(contents)),
        }


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _told(record: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in record["erased"].items()) or "nobody"
    rows = sum(one["rows"] for one in record["stores"])
    text = (
        f"erasure {record['erasure']}: of {record['asked']} asked for, the workspace knew "
        f"{sum(record['found'].values())}; erased {kinds} from {len(record['stores'])} stores "
        f"({rows} rows)"
    )
    if record["models"]:
        text += f"; {len(record['models'])} runs keep a model that had learned from them"
    return text


def _keys_in(path: Path) -> set[str]:
    try:
        if path.suffix != ".parquet":
            return {line.strip() for line in path.read_text(encoding="utf-8").splitlines()} - {""}
        frame = read_parquet(path)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise BadSetting(PLACE, "--users", f"{path} cannot be read ({error})") from error
    column = "key" if "key" in frame.columns or frame.width != 1 else frame.columns[0]
    if column not in frame.columns:
        reason = f"{path} has columns {', '.join(frame.columns)}: name that of the keys `key`"
        raise BadSetting(PLACE, "--users", reason)
    return set(frame.get_column(column).cast(pl.String).drop_nulls()) - {""}
