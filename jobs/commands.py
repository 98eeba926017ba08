"""What the command line does beyond running stages; each command returns or prints its result."""

import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from graphguard.config.sections import Config
from graphguard.errors import ArtefactInvalid, BadSetting, ConfigError, UnknownRun
from graphguard.jobs.context import Reporter
from graphguard.jobs.export import exported_tables
from graphguard.jobs.nightly import Night, require_as_of, run_night
from graphguard.jobs.shown import show
from graphguard.sinks import open_sink
from graphguard.sinks.base import RollbackRefused
from graphguard.tables.files import read_json
from graphguard.tables.intake import check_columns
from graphguard.tables.people import entity_contract, label_contract
from graphguard.tables.sources import find_units
from graphguard.tables.units import log_contract
from graphguard.tables.workspace import RUN_FILE, Run, Workspace, read_facts


def make_world(out: Path, users: int, days: int, seed: int, reporter: Reporter) -> str:
    """Write a generated platform; returns a line about it."""
    from graphguard.worlds import WorldSpec, write_world

    told = out / "truth" / "world.json"
    held = read_json(told)["spec"] if told.is_file() else {}
    # Days of another world would stay beside those of this one.
    if held and [held[name] for name in ("users", "days", "seed")] != [users, days, seed]:
        reason = (
            f"{out} holds a world of {held['users']} users, {held['days']} days and seed "
            f"{held['seed']}; remove it or name another folder"
        )
        place = "world"
        raise BadSetting(place, "--out", reason)
    reporter.stage("world", 1, 1)
    summary = write_world(
        WorldSpec(users=users, days=days, seed=seed),
        out,
        lambda done, total: reporter.step(done, total, "days"),
    )
    return f"{out}: {summary}"


def dry_run_text(run: Run, config: Config) -> str:
    """What an export of the run would change, sink by sink."""
    as_of = require_as_of(config)
    tables = exported_tables(run)
    parts = []
    for settings in config.export:
        difference = open_sink(settings, config.root).difference(tables, as_of)
        parts.append(f"{settings.path}:\n{difference.text()}")
    return "\n".join(parts) or "no sink is configured"


def roll_back(config: Config, run_id: str) -> str:
    """Restore every sink to what it held before the run's export.

    Raises:
        RollbackRefused: No sink holds an export of the run, or one holds a later run's over it;
            the other sinks are restored all the same.
    """
    lines, refused = [], []
    for settings in config.export:
        try:
            open_sink(settings, config.root).rollback(run_id)
        except RollbackRefused as error:
            refused.append(error)
            lines.append(f"{settings.path}: left as it is, it holds no export of run {run_id}")
        else:
            lines.append(f"{settings.path}: holds again what it held before run {run_id}")
    replaced = [error for error in refused if error.replaced]
    # A sink without the run was added later, or restored by a rollback that was interrupted.
    if replaced or (refused and len(refused) == len(lines)):
        raise (replaced or refused)[0]
    return "\n".join(lines) or "no sink is configured"


def init_config(logs: list[str], labels: Path | None, out: Path, *, force: bool) -> str:
    """Write a proposed config; returns what to do next."""
    from graphguard.config.propose import propose_config

    place = "command line"
    found = {}
    for text in logs:
        name, mark, path = text.partition("=")
        if not mark or not name or not path:
            reason = f"must be NAME=PATH, got '{text}'"
            raise BadSetting(place, "LOGS", reason)
        if name in found:
            reason = f"names '{name}' twice; give every log its own name"
            raise BadSetting(place, "LOGS", reason)
        found[name] = Path(path)
    if out.exists() and not force:
        message = f"{out} exists; pass --force to overwrite it or --out for another file"
        raise ConfigError(message)
    proposed = propose_config(found, labels, out.resolve().parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(proposed, encoding="utf-8")
    return f"{out} written; read it over, then run `graphguard validate {out}`"


def validate_config(config: Config) -> str:
    """Check files and columns that the config names; returns a line a source."""
    from graphguard.features.catalogue import blocks

    blocks(config)
    lines = []
    contracts = [
        *(
            ("logs", name, log.path, log_contract(config, name))
            for name, log in config.logs.items()
        ),
        *(
            ("entities", name, table.path, entity_contract(config, name))
            for name, table in config.entities.items()
        ),
        ("labels", "labels", config.labels.path, label_contract(config)),
    ]
    for section, name, pattern, contract in contracts:
        units = find_units(name, pattern, config.root, section=section)
        files = [path for unit in units for path in unit.files]
        for path in files:
            check_columns(path, contract)
        span = f", {units[0].name} to {units[-1].name}" if units[0].day else ""
        number = f"{len(files)} file{'s' if len(files) > 1 else ''}"
        lines.append(f"{name}: {number}{span}, columns {', '.join(contract.columns)}")
    return "\n".join([*lines, "the config is sound"])


def show_plan(config: Config) -> None:
    """Print what to expect of a night.

    Raises:
        ConfigError: The night does not fit the memory limit.
    """
    from graphguard.checks.plan import plan

    found = plan(config)
    show(found.render())
    found.require_fit()


def settings_reference(write: Path | None) -> str:
    """The reference of settings, or the document brought up to date."""
    from graphguard.config.describe import settings_markdown, update_document

    if write is None:
        return settings_markdown()
    update_document(write)
    return f"{write} is up to date"


def check_leakage(config: Config) -> str:
    """Prove that nothing after the cutoff is seen."""
    from graphguard.checks import leakage

    as_of = require_as_of(config)
    run_id = f"{as_of}-check"
    return str(
        leakage.check_leakage(config, as_of, lambda one: run_night(Night(one, run_id=run_id)))
    )


def check_anchors(config: Config) -> str:
    """Prove that rows of a past anchor saw nothing later than it."""
    from graphguard.checks import anchors

    as_of = require_as_of(config)
    return str(
        anchors.check_anchors(config, as_of, lambda one: run_night(Night(one, last="featurize")))
    )


def check_future(config: Config, deals: int) -> str:
    """Prove that models do not foresee futures that were dealt by lot."""
    from graphguard.checks import future

    as_of = require_as_of(config)
    return str(
        future.check_future(config, as_of, deals, lambda one: run_night(Night(one, last="train")))
    )


def check_incremental(config: Config, nights: int) -> str:
    """Prove that nights one by one equal one rebuild."""
    from graphguard.checks import incremental

    as_of = require_as_of(config)
    found = incremental.check_incremental(config, as_of, nights, lambda one: run_night(Night(one)))
    return str(found)


def check_evidence(config: Config, run: Path | None) -> str:
    """Prove that every number of a night's rings follows from the acts shown for them."""
    from graphguard.checks import evidence
    from graphguard.tables.workspace import find_run

    return str(evidence.check_evidence(config, find_run(run or config.workspace_folder)))


def check_erasure(
    config: Config, kind: str | None, users: Sequence[Path], user: Sequence[str]
) -> str:
    """Say that no file holds a trace of the named users."""
    from graphguard.jobs.erase import read_request, run_check

    return run_check(config, read_request(config, kind, users, user))


def erase(
    config: Config,
    kind: str | None,
    named: tuple[Sequence[Path], Sequence[str]],
    reporter: Reporter,
) -> str:
    """Erase users, named in files and one by one; say what was rewritten."""
    from graphguard.jobs.erase import read_request, run_erase

    return run_erase(config, read_request(config, kind, *named), reporter)


def propagate(config: Config, run: Path | None, hops: int, out: Path) -> str:
    """Write multi-hop aggregates of a run, the workspace's current one where none is named."""
    from graphguard.jobs.propagate import propagate_run
    from graphguard.tables.workspace import find_run

    return propagate_run(find_run(run or config.workspace_folder), config, hops, out)


def counterfactual(
    config: Config, run: Path | None, user: str, without: Sequence[str], reporter: Reporter
) -> Any:
    """A user's risk without evidence, in a run or in the workspace's current one."""
    from graphguard.jobs.what_if import what_if
    from graphguard.tables.workspace import find_run

    reporter.stage("counterfactual", 1, 1)
    found = find_run(run or config.workspace_folder)
    return what_if(found, config, user, without, reporter)


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
        _print_json(rows)
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
        _print_json(rows)
        return
    table = Table("what", before, after)
    for row in rows:
        table.add_row(*(escape(_shown(row[name])) for name in row))
    show(table if rows else "nothing differs")


def report_path(config: Config) -> str:
    """Path of the current run's report.

    Raises:
        NotCommitted: There is none.
    """
    run = Workspace(config.workspace_folder).current_run()
    return str(run.file("report", "report.html"))


def show_expansion(expansion: Any, *, as_json: bool) -> None:
    """Print an expansion as a table or as JSON."""
    from graphguard.investigate.render import render_expansion

    if as_json:
        _print_json(expansion.to_json())
    else:
        show(render_expansion(expansion))


def show_explanation(explanation: Any, *, as_json: bool) -> None:
    """Print an explanation as text or as JSON."""
    from graphguard.investigate.render import render_explanation

    if as_json:
        _print_json(explanation.to_json())
    else:
        show(render_explanation(explanation))


def show_counterfactual(found: Any, *, as_json: bool) -> None:
    """Print what a user's risk would be, as a table or as JSON."""
    if as_json:
        _print_json(found.to_json())
        return
    title = f"user {found.user}: risk {found.risk_score:.4f} (model {found.model_id})"
    right = [Column(name, justify="right") for name in ("objects", "risk", "change")]
    table = Table(Column("without", overflow="fold"), *right, title=title, title_justify="left")
    for one in found.without:
        change = f"{one.after - found.risk_score:+.4f}"
        table.add_row(escape(one.words), str(one.objects), f"{one.after:.4f}", change)
    show(table)
    if not found.without:
        show("no evidence was named for this user; say what to leave out with --without")


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


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")
