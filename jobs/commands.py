"""What the command line does beyond running stages; each command returns or prints its result."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from graphguard.config.sections import Config
from graphguard.errors import BadSetting, ConfigError
from graphguard.jobs.context import Reporter
from graphguard.jobs.export import exported_tables
from graphguard.jobs.nightly import Night, require_as_of, run_night
from graphguard.jobs.shown import print_json, show
from graphguard.sinks import open_sink
from graphguard.sinks.base import RollbackRefused
from graphguard.tables.files import read_json
from graphguard.tables.people import entity_contract, label_contract
from graphguard.tables.row_contract import check_columns, check_times
from graphguard.tables.sources import find_units
from graphguard.tables.units import log_contract
from graphguard.tables.workspace import Run, Workspace


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
            check_times(path, check_columns(path, contract), contract)
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
        print_json(expansion.to_json())
    else:
        show(render_expansion(expansion))


def show_explanation(explanation: Any, *, as_json: bool) -> None:
    """Print an explanation as text or as JSON."""
    from graphguard.investigate.render import render_explanation

    if as_json:
        print_json(explanation.to_json())
    else:
        show(render_explanation(explanation))


def show_counterfactual(found: Any, *, as_json: bool) -> None:
    """Print what a user's risk would be, as a table or as JSON."""
    if as_json:
        print_json(found.to_json())
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
