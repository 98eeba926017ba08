"""The runs of a workspace: listed, and two of them held against each other."""

from datetime import date
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from graphguard.config.sections import Config
from graphguard.errors import ArtefactInvalid, UnknownRun
from graphguard.jobs.shown import print_json, show
from graphguard.tables.files import read_json
from graphguard.tables.workspace import RUN_FILE, Workspace, read_facts


def list_runs(config: Config, *, as_json: bool) -> None:
    """Print the runs of the config's workspace, newest day last.

    Raises:
        ArtefactInvalid: A run does not say how it ended; the others are printed before.
    """
    workspace = Workspace(config.workspace_folder)
    folder = workspace.root / "runs"
    facts, damaged = [], []
    for path in sorted(folder.glob(f"*/{RUN_FILE}")):
        try:
            facts.append(read_facts(path))
        except ArtefactInvalid as error:
            damaged.append(error)
    facts.sort(key=lambda one: (one["as_of"], one["sequence"]))
    stale = _stale(facts)
    rows = [_run_row(one, stale=one["run_id"] in stale) for one in facts]
    if as_json:
        print_json(rows)
    else:
        _show_runs(rows)
    # The others are told all the same.
    if damaged:
        raise damaged[0]


def _show_runs(rows: list[dict[str, Any]]) -> None:
    # The name comes first and whole: the next command is asked with it.
    names = [Column(name, no_wrap=True) for name in ("run", "as of", "champion")]
    # The heading may break, so that the state has room beside it.
    right = [Column(name, justify="right") for name in ("seconds", "peak MB")]
    table = Table(*names, *right, "state")
    for row in rows:
        run, as_of, state, champion, _, _, reason = (str(value) for value in row.values())
        numbers = f"{row['seconds']:.0f}", str(row["peak_memory_mb"])
        told = state if reason == "done" else f"{state}: {reason}"
        table.add_row(run, as_of, champion, *numbers, escape(told))
    show(table)


def diff_runs(config: Config, before: str, after: str, *, as_json: bool) -> None:
    """Print what differs between two runs."""
    workspace = Workspace(config.workspace_folder)
    facts = []
    for run_id in (before, after):
        path = workspace.run(run_id).folder / RUN_FILE
        if not path.is_file():
            known = sorted(one.parent.name for one in workspace.root.glob(f"runs/*/{RUN_FILE}"))
            raise UnknownRun(workspace.root, run_id, known)
        settings = read_json(path.parent / "config.json")
        facts.append(_flat({"settings": settings, **_comparable(read_facts(path))}))
    names = sorted(facts[0].keys() | facts[1].keys())
    rows = [
        {"what": name, "before": facts[0].get(name), "after": facts[1].get(name)}
        for name in names
        if facts[0].get(name) != facts[1].get(name)
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("what", before, after)
    for row in rows:
        table.add_row(*(escape(_shown(row[name])) for name in row))
    show(table if rows else "nothing differs")


def _run_row(facts: dict[str, Any], *, stale: bool) -> dict[str, Any]:
    state = f"{facts['state']}, stale" if stale else facts["state"]
    if facts["stages"].get("train", {}).get("erasures"):
        state += ", model saw users since erased"
    return {
        "run_id": facts["run_id"],
        "as_of": facts["as_of"],
        "state": state,
        "champion": facts["metrics"].get("champion", ""),
        "seconds": facts["seconds"],
        "peak_memory_mb": facts["peak_memory_mb"],
        "reason": facts["reason"],
    }


def _stale(facts: list[dict[str, Any]]) -> set[str]:
    """Runs that carried on an earlier day's run which was since run anew."""
    newest: dict[date, str] = {}
    for one in facts:
        if one["state"] == "committed":
            newest[date.fromisoformat(one["as_of"])] = one["run_id"]
    kept = set(newest.values())
    return {one["run_id"] for one in facts if one["previous"] and one["previous"] not in kept}


def _comparable(facts: dict[str, Any]) -> dict[str, Any]:
    stages = {
        name: {
            key: stage[key] for key in ("rows", "acted", "champion", "num_rings") if key in stage
        }
        for name, stage in facts["stages"].items()
    }
    quality = facts["metrics"]
    return {"stages": stages, "quality": quality, "versions": facts["versions"]}


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        parts = [
            _flat(one, f"{prefix}.{key}" if prefix else str(key)) for key, one in value.items()
        ]
        return {name: one for part in parts for name, one in part.items()}
    return {prefix: value}


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
