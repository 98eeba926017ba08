"""Run a night: every stage in order, each committed before the next; a killed night goes on."""

import contextlib
import importlib.metadata
import platform
import resource
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from graphguard.config.sections import Config, EntityConfig, LabelConfig, LogConfig
from graphguard.errors import (
    BadSetting,
    Exit,
    GateError,
    GraphGuardError,
    LeaseLost,
    NotCommitted,
)
from graphguard.jobs.context import Facts, Job, Reporter, Silent
from graphguard.jobs.pipeline import PIPELINE, STAGE_NAMES, Stage, loading
from graphguard.tables.commit import (
    committing,
    give_back_memory,
    is_committed,
    peak_memory_mb,
    read_manifest,
)
from graphguard.tables.engine import open_engine
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import fingerprint, read_json, replace_json
from graphguard.tables.lease import fenced
from graphguard.tables.manifests import manifest_of
from graphguard.tables.sources import DigestCache, find_units
from graphguard.tables.tombstones import refuse_half_erased
from graphguard.tables.workspace import RUN_FILE, Run, Workspace

PACKAGES = (
    "graphguard",
    "torch",
    "torch-geometric",
    "polars",
    "pyarrow",
    "numpy",
    "narwhals",
    "scikit-network",
    "xgboost-cpu",
    "xgboost",
    "faiss-cpu",
    "faiss-gpu-cu12",
)

COMMAND, AS_OF, FROM, TO = "command line", "--as-of", "--from", "--to"


@dataclass(frozen=True)
class Night:
    """What to run: the config, and which part of the night."""

    config: Config
    first: str = STAGE_NAMES[0]
    last: str = STAGE_NAMES[-1]
    run_id: str | None = None
    dry_run: bool = False
    reporter: Reporter = field(default_factory=Silent)


def run_night(night: Night) -> Run:
    """Run the stages of `night` that are not committed yet; returns the run.

    A run's id is its day and a fingerprint of config and inputs, so the same command after a kill
    goes on where it stopped, and after success finds it done.

    Raises:
        WorkspaceBusy: Another run holds the workspace.
        LeaseLost: Another run took the workspace over.
        ErasureOpen: An erasure was interrupted.
        GateError: A gate is red; scores are written, nothing is exported.
        GraphGuardError: Whatever a stage raises, with its exit code.
    """
    stages = _chosen(night)
    workspace = Workspace(night.config.workspace_folder)
    require_as_of(night.config)
    with (
        workspace.locked(ttl_s=night.config.limits.lease.us / 1e6),
        contextlib.closing(open_engine(night.config)) as engine,
    ):
        refuse_half_erased(workspace.root)
        with loading(stages[:1]):
            job = replace(open_job(night, workspace), engine=engine)
        _require_before(job, stages[0])
        run_stages(job, stages, dry_run=night.dry_run)
        if stages[-1].name == STAGE_NAMES[-1] and not night.dry_run:
            return commit_run(job)
        _finish(job, Exit.DONE, f"stopped after {stages[-1].name}, as asked")
    return job.run


def open_job(night: Night, workspace: Workspace) -> Job:
    """The run of a night, with its config frozen; who calls it holds the workspace's lock."""
    as_of = require_as_of(night.config)
    run = workspace.run(night.run_id or _run_id(workspace, night.config, as_of))
    _freeze(run, night.config, as_of)
    return Job(night.config, as_of, run, workspace.previous_run(as_of), night.reporter)


def run_stages(job: Job, stages: Sequence[Stage], *, dry_run: bool = False) -> None:
    """Run the stages that are not committed yet; an error is kept in run.json and raised."""
    try:
        for number, stage in enumerate(stages, 1):
            job.reporter.stage(stage.name, number, len(stages))
            if dry_run and stage.name == "export":
                job.reporter.note("dry run: nothing is exported")
                break
            ahead = [one for one in stages[number : number + 1] if not job.run.has(one.name)]
            with loading(ahead):
                _run_stage(job, stage)
    except BaseException as error:
        with contextlib.suppress(LeaseLost):
            _finish(job, exit_code_of(error), _reason(error))
        raise


def require_as_of(config: Config) -> date:
    """The run's cutoff day.

    Raises:
        BadSetting: Neither the config nor the command line names one.
    """
    if config.as_of is None:
        reason = "is required where the config has no as_of; for example --as-of 2026-01-31"
        raise BadSetting(COMMAND, AS_OF, reason)
    return config.as_of


def _require_before(job: Job, first: Stage) -> None:
    """Refuse to begin with a stage while one before it is not committed."""
    before = STAGE_NAMES[: STAGE_NAMES.index(first.name)]
    absent = [name for name in before if not job.run.has(name)]
    if absent:
        message = f"stage '{absent[0]}' of run {job.run.run_id}"
        raise NotCommitted(message, before[-1])


def _chosen(night: Night) -> tuple[Stage, ...]:
    for setting, name in ((FROM, night.first), (TO, night.last)):
        if name not in STAGE_NAMES:
            reason = f"must be one of {', '.join(STAGE_NAMES)}, got '{name}'"
            raise BadSetting(COMMAND, setting, reason)
    first, last = STAGE_NAMES.index(night.first), STAGE_NAMES.index(night.last)
    if first > last:
        reason = f"stage '{night.first}' comes after --to '{night.last}'"
        raise BadSetting(COMMAND, FROM, reason)
    return PIPELINE[first : last + 1]


def _run_id(workspace: Workspace, config: Config, as_of: date) -> str:
    """`2026-01-31-1a2b3c4d`: the day, and what config and input files say."""
    digests = DigestCache(workspace.root / "cache" / "digests.json")
    inputs: dict[str, Any] = {}
    sources: list[tuple[str, str, LogConfig | EntityConfig | LabelConfig]] = [
        *(("logs", name, log) for name, log in config.logs.items()),
        *(("entities", name, table) for name, table in config.entities.items()),
        ("labels", "labels", config.labels),
    ]
    for section, name, settings in sources:
        units = find_units(name, settings.path, config.root, section=section)
        # Files about days from the cutoff on are never opened, so they make no other run.
        used = [unit for unit in units if unit.day is None or unit.day < as_of]
        files = [path for unit in used for path in unit.files]
        if settings.manifest:
            # A manifest that is corrected may clear a file that was held back.
            named = [manifest_of(unit, settings.manifest, config.root) for unit in used]
            files += [path for path in named if path.is_file()]
        # A log may be called as an entity type is.
        key = f"{section}.{name}" if name in inputs else name
        inputs[key] = list(zip(map(str, files), digests.digests(files), strict=True))
    digests.save()
    said = config.model_dump(mode="json", exclude={"workspace", "root", "as_of"})
    return f"{as_of}-{fingerprint([said, inputs])[:8]}"


def _freeze(run: Run, config: Config, as_of: date) -> None:
    """Keep the config and the library versions of the run beside its outputs."""
    if (run.folder / "config.json").is_file():
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    settings = config.model_dump(mode="json", exclude={"root", "workspace"})
    # The config comes last: where it stands, both stand.
    replace_json(run.folder / "versions.json", versions())
    replace_json(run.folder / "config.json", {**settings, "as_of": as_of.isoformat()})


def versions() -> dict[str, str]:
    """Installed versions of the packages that shape results."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _run_stage(job: Job, stage: Stage) -> None:
    final = job.run.stage(stage.name)
    if is_committed(final):
        shutil.rmtree(job.run.kept(stage.name), ignore_errors=True)
        job.reporter.note(f"{stage.name}: done before", stage=stage.name, reused=True)
        return
    facts: Facts = {"stage": stage.name, "as_of": job.as_of.isoformat()}
    with _stage_memory() as memory, committing(final, facts) as out:
        facts.update(stage.run(job, out))
        facts["stage_peak_memory_mb"] = memory()
    shutil.rmtree(job.run.kept(stage.name), ignore_errors=True)
    seconds = read_manifest(final)["seconds"]
    job.reporter.note(
        f"{stage.name}: {facts.get('rows', 0):,} rows in {seconds:.1f} s",
        stage=stage.name,
        rows=facts.get("rows", 0),
        seconds=seconds,
    )


@contextlib.contextmanager
def _stage_memory() -> Iterator[Any]:
    """Peak memory of this stage alone, where the kernel lets the mark be reset."""
    give_back_memory()
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")

    def peak() -> int:
        with contextlib.suppress(OSError), open("/proc/self/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) // 1024
        return peak_memory_mb()

    yield peak


def commit_run(job: Job) -> Run:
    """Write run.json and make the run current; a red gate ends with its error after that."""
    gates = red_gates(job.run)
    code = Exit.GATE if gates else Exit.DONE
    reason = "; ".join(gates) or "done"
    _finish(job, code, reason, state="committed")
    failpoint("run:committed")
    job.workspace.point_to(job.run)
    if gates:
        message = f"quality gates are red, nothing was exported: {reason}"
        raise GateError(message)
    return job.run


def red_gates(run: Run) -> list[str]:
    """Gates that any committed stage of the run found red."""
    found = []
    for name in STAGE_NAMES:
        if run.has(name):
            found += run.manifest(name).get("gates", [])
    return found


def _finish(job: Job, code: Exit, reason: str, state: str = "open") -> None:
    """Write run.json: counts, hashes, metrics and the reason of exit."""
    path = job.run.folder / RUN_FILE
    with fenced(path):
        before = read_json(path) if path.is_file() else {}
        if before.get("state") != "committed":
            _write_facts(job, path, code, reason, state)


def _write_facts(job: Job, path: Path, code: Exit, reason: str, state: str) -> None:
    stages = {
        name: {key: value for key, value in job.run.manifest(name).items() if key != "files"}
        for name in STAGE_NAMES
        if job.run.has(name)
    }
    usage = resource.getrusage(resource.RUSAGE_SELF)
    replace_json(
        path,
        {
            "run_id": job.run.run_id,
            "as_of": job.as_of.isoformat(),
            "state": state,
            "sequence": len(job.workspace.committed_runs()) + 1,
            "exit_code": int(code),
            "reason": reason,
            "previous": job.previous.run_id if job.previous else None,
            "config": fingerprint(read_json(job.run.folder / "config.json")),
            "versions": read_json(job.run.folder / "versions.json"),
            "stages": stages,
            "metrics": _metrics(job.run),
            "seconds": round(sum(one["seconds"] for one in stages.values()), 3),
            "peak_memory_mb": usage.ru_maxrss // 1024,
            "host": platform.node(),
            "committed_at": datetime.now(tz=UTC).isoformat(),
        },
    )


def _metrics(run: Run) -> dict[str, Any]:
    try:
        metrics: dict[str, Any] = read_json(run.file("train", "metrics.json"))
    except NotCommitted:
        return {}
    return metrics


def exit_code_of(error: BaseException) -> Exit:
    """What the command line ends with after an error."""
    if isinstance(error, GraphGuardError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if isinstance(error, SystemExit) and error.code == Exit.TERMINATED:
        return Exit.TERMINATED
    if isinstance(error, OSError):
        return Exit.TRANSIENT
    return Exit.BUG


def _reason(error: BaseException) -> str:
    """Why a run stays open, as `graphguard runs` tells it."""
    if exit_code_of(error) in (Exit.INTERRUPTED, Exit.TERMINATED):
        return f"{exit_code_of(error).name.lower()}; the same command goes on"
    return f"{type(error).__name__}: {error}"


def stop_on_terminate() -> None:
    """Turn SIGTERM into an orderly end with exit 143; the same command goes on later."""

    def end(signum: int, frame: object) -> None:
        raise SystemExit(int(Exit.TERMINATED))

    signal.signal(signal.SIGTERM, end)
