"""Every error GraphGuard raises on purpose, with the facts a caller can act on and its exit code.

Exit codes are those a scheduler reads: 65 the data breaks its contract, 70 a bug, 75 transient,
78 bad configuration, 80 a quality gate is red, 99 nothing to do.
"""

import difflib
from collections.abc import Iterable, Sequence
from datetime import date
from enum import IntEnum
from pathlib import Path


class Exit(IntEnum):
    """What a job's exit code says to the scheduler that started it."""

    DONE = 0
    DATA = 65
    BUG = 70
    TRANSIENT = 75
    CONFIG = 78
    GATE = 80
    NOTHING = 99
    INTERRUPTED = 130
    TERMINATED = 143


def near_match(name: str, found: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the name nearest to `name`, or an empty string."""
    near = difflib.get_close_matches(name, list(found), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


class GraphGuardError(Exception):
    """The base of all errors below; `exit_code` is what the command line ends with."""

    exit_code = Exit.BUG


class DataError(GraphGuardError):
    """Input data breaks its contract."""

    exit_code = Exit.DATA


class ConfigError(GraphGuardError):
    """A setting is unknown, missing or impossible."""

    exit_code = Exit.CONFIG


class TransientError(GraphGuardError):
    """Something outside is busy or out of reach; the same command may succeed later."""

    exit_code = Exit.TRANSIENT


class GateError(GraphGuardError):
    """A quality gate is red: nothing may be exported."""

    exit_code = Exit.GATE


class NothingToDo(GraphGuardError):
    """There is no input for this run, and the config allows that."""

    exit_code = Exit.NOTHING


class ColumnMissing(DataError):
    """A table lacks a column its schema asks for."""

    def __init__(self, table: str, column: str, found: Sequence[str]) -> None:
        self.table, self.column, self.found = table, column, list(found)
        super().__init__(
            f"table '{table}' has no column '{column}' (found: {', '.join(sorted(found))})."
            f"{near_match(column, found)}"
        )


class NoActor(DataError):
    """No column of any log looks like the user who acts."""

    def __init__(self, found: Sequence[str]) -> None:
        self.found = list(found)
        super().__init__(
            f"no log has a column that looks like the user who acts (found: {', '.join(found)}); "
            f"call it user_id, or write the config by hand (docs/configuration.md)"
        )


class ColumnTypeWrong(DataError):
    """A column holds another type than its use asks for."""

    def __init__(self, table: str, column: str, found: str, wanted: str) -> None:
        self.table, self.column, self.found, self.wanted = table, column, found, wanted
        super().__init__(
            f"table '{table}' column '{column}' has type {found}, but {wanted} is needed; "
            f"convert it where the file is written"
        )


class FileUnreadable(DataError):
    """A file is not the Parquet it claims to be."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"{path}: not a readable Parquet file ({reason}); deliver it again or remove it"
        )


class FileBeyondLimit(DataError):
    """A file is larger, wider or deeper than the config allows."""

    def __init__(self, path: Path, found: str, limit: str) -> None:
        self.path, self.found, self.limit = path, found, limit
        super().__init__(
            f"{path}: {found} (limits.{limit}); nothing of it was read. Deliver it in smaller "
            f"files, or raise the limit if it is as it should be"
        )


class DeliveryWrong(DataError):
    """What was delivered is not what the platform's own manifest says."""

    def __init__(self, path: Path, reason: str, manifest: Path) -> None:
        self.path, self.reason, self.manifest = path, reason, manifest
        super().__init__(
            f"{path}: {reason}, by the manifest {manifest}; deliver both again from where they "
            f"were written"
        )


class BadFiles(DataError):
    """Files of a night's input may not be used; the first says why."""

    def __init__(self, faults: Sequence[DataError]) -> None:
        self.faults = list(faults)
        more = f" (and {len(faults) - 1} more files are bad)" if len(faults) > 1 else ""
        super().__init__(f"{faults[0]}{more}")


class ReaderMissing(TransientError):
    """The process that looks at foreign files does not start."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(
            f"the process that looks at foreign files does not start (exit {code}): it needs "
            f"python, pyarrow and some memory; try again, or set limits.prove_files: false"
        )


class InputMissing(DataError):
    """A log, table or partition that the config names has no file."""

    def __init__(self, name: str, pattern: str, remedy: str) -> None:
        self.name, self.pattern = name, pattern
        super().__init__(f"'{name}': no file matches {pattern}; {remedy}")


class TooManyRejects(DataError):
    """More rows of a log were rejected than the config allows."""

    def __init__(self, log: str, rejected: int, read: int, reasons: dict[str, int]) -> None:
        self.log, self.rejected, self.read, self.reasons = log, rejected, read, reasons
        most = ", ".join(f"{name} {count}" for name, count in sorted(reasons.items()))
        super().__init__(
            f"log '{log}': {rejected} of {read} rows were rejected ({most}); see the `rejects` "
            f"table, mend the log or raise limits.max_reject_ratio"
        )


class UnknownSetting(ConfigError):
    """A config file holds a key that no section knows."""

    def __init__(self, path: str, key: str, known: Sequence[str]) -> None:
        self.path, self.key, self.known = path, key, list(known)
        super().__init__(
            f"{path}: unknown setting '{key}' (known here: {', '.join(sorted(known))})."
            f"{near_match(key.rsplit('.', 1)[-1], known)}"
        )


class BadSetting(ConfigError):
    """A setting has a value that it may not have."""

    def __init__(self, path: str, key: str, reason: str) -> None:
        self.path, self.key, self.reason = path, key, reason
        super().__init__(f"{path}: {key}: {reason}")


class TooLittleHistory(ConfigError):
    """The logs do not reach far enough back for the anchors that training asks for."""

    def __init__(self, needed_days: int, found_days: int, advice: str) -> None:
        self.needed_days, self.found_days = needed_days, found_days
        super().__init__(
            f"training needs {needed_days} days of log before as_of, found {found_days}; {advice}"
        )


class TooFewLabels(DataError):
    """A slice holds too few labelled rows of a class to fit or judge a model."""

    def __init__(self, where: str, positives: int, negatives: int, needed: int) -> None:
        self.where, self.positives, self.negatives = where, positives, negatives
        self.needed = needed
        # One row of each class is the least that anything can be learned from.
        fewer = ", or ask for fewer with training.min_positives" if needed > 1 else ""
        super().__init__(
            f"{where}: {positives} positive and {negatives} negative rows, at least {needed} of "
            f"each are needed; widen training.horizon, add anchors or labels{fewer}"
        )


class UnknownEntity(GraphGuardError):
    """A query names an entity that the run does not hold."""

    exit_code = Exit.DATA

    def __init__(
        self, entity_type: str, key: str, near: Sequence[str] = (), advice: str = ""
    ) -> None:
        self.entity_type, self.key, self.near = entity_type, key, list(near)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        more = f" {advice}" if advice else ""
        super().__init__(f"no {entity_type} '{key}' in this run.{hint}{more}")


class UnknownRun(DataError):
    """A command names a run that the workspace does not hold."""

    def __init__(self, workspace: Path, run_id: str, known: Sequence[str]) -> None:
        self.workspace, self.run_id, self.known = workspace, run_id, list(known)
        super().__init__(
            f"{workspace}: no run '{run_id}' (it holds {len(known)})."
            f"{near_match(run_id, known)} See `graphguard runs list`"
        )


class NotAsked(ConfigError):
    """A question is about an entity of another type than the users that are scored."""

    def __init__(self, name: str, entity_type: str, target: str) -> None:
        self.name, self.entity_type, self.target = name, entity_type, target
        super().__init__(
            f"'{name}' is of type '{entity_type}', and questions are asked about a {target}: name "
            f"one as '{target}:ID'"
        )


class IdsMissing(DataError):
    """What is stored names entities by indices that the id dictionary does not reach."""

    def __init__(self, folder: Path, end: int, stored: Path, reach: int) -> None:
        self.folder, self.end, self.stored, self.reach = folder, end, stored, reach
        super().__init__(
            f"{folder}: holds {end} indices, and {stored} names {reach}; segments are missing, and "
            f"others would get their indices. Put them back from a backup, or use a new workspace "
            f"with this one's `erasure` folder"
        )


class NoRun(DataError):
    """A folder is neither a run nor a workspace with a committed run."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"{path}: no run and no workspace with a committed run; "
            f"run `graphguard nightly` first, or name the folder with --run"
        )


class PointerWrong(DataError):
    """What names a workspace's newest run is damaged, or names a run that is gone."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"{path}: {reason}; name a run's folder with --run, or run `graphguard nightly`, which "
            f"writes this file anew when the night is done"
        )


class GraphInvalid(DataError):
    """A stored graph breaks its own rules."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"{where}: {reason}; rebuild with `graphguard build-graph`")


class WorkspaceBusy(TransientError):
    """Another process holds the lock of this workspace or day."""

    def __init__(self, path: Path, holder: str) -> None:
        self.path, self.holder = path, holder
        super().__init__(f"{path} is locked by {holder}; wait for it or try again later")


class MemoryBudgetTooSmall(ConfigError):
    """One column, or one node's walks, do not fit the memory that the config allows."""

    def __init__(self, what: str, needed: int, budget: int) -> None:
        self.what, self.needed, self.budget = what, needed, budget
        super().__init__(
            f"{what} needs {-(-needed // 2**20)} MB, but graph.memory_budget is "
            f"{budget // 2**20} MB; raise it, or lower graph.hubs"
        )


class DegreesLookAhead(DataError):
    """True degrees of capped nodes are asked for at an anchor that the graph reaches past."""

    def __init__(self, relation: str, later: int, capped: int) -> None:
        self.relation, self.later, self.capped = relation, later, capped
        super().__init__(
            f"{relation}: {later} edges come at or after the anchor, and the true degrees of "
            f"{capped} capped nodes count such edges too; build the graph as of the anchor, or "
            f"set true_degrees=False"
        )


class RankFailed(GraphGuardError):
    """One of the processes that train together ended; the others were ended with it."""

    def __init__(self, rank: int | None, ranks: int, code: int, told: str) -> None:
        self.rank, self.ranks, self.code, self.told = rank, ranks, code, told
        # A signal comes from outside: memory, an operator. Ranks end with our own exit codes.
        known = code in list(Exit)
        self.exit_code = Exit.TRANSIENT if code < 0 else Exit(code) if known else Exit.BUG
        who = f"the agent of {ranks} ranks" if rank is None else f"rank {rank} of {ranks}"
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        words = f": {told}" if told else ""
        super().__init__(
            f"{who} ended with {how}, and the training with it; the same command goes on from the "
            f"last checkpoint{words}"
        )


class EngineUnreachable(TransientError):
    """The cluster that runs the relational steps does not answer."""

    def __init__(self, master: str, reason: str) -> None:
        self.master, self.reason = master, reason
        super().__init__(
            f"spark.master '{master}' cannot be used ({reason}); start the cluster, mend the "
            f"address, or set `engine: polars`"
        )


class LeaseLost(TransientError):
    """This process showed no sign of life for too long, and another took the workspace over."""

    def __init__(self, path: Path, token: int, holder: str) -> None:
        self.path, self.token, self.holder = path, token, holder
        super().__init__(
            f"{path}: token {token} is no longer the newest, {holder} took over; nothing was "
            f"committed since. The same command goes on when that one has ended; if this process "
            f"was only slow, raise limits.lease"
        )


class WorkspaceNewer(ConfigError):
    """A newer program has written in the workspace, in ways that this one does not know."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        self.path, self.found, self.known = path, found, known
        super().__init__(
            f"{path}: the workspace is of format {found}, and this program knows formats up to "
            f"{known}; use the program that wrote it or a newer one, or another workspace"
        )


class ErasureOpen(TransientError):
    """An erasure was interrupted; until it is done nothing else may touch the workspace."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"{path}: this erasure was interrupted; give the same `graphguard erase` command "
            f"again, it goes on where it stopped"
        )


class BackfillStopped(GraphGuardError):
    """A night of a back-fill failed; the nights before it are done."""

    def __init__(self, day: date, reason: str, code: Exit) -> None:
        self.day, self.reason, self.exit_code = day, reason, code
        super().__init__(
            f"back-fill stopped at {day}: {reason}; give the same command again when that is "
            f"mended, it goes on where it stopped"
        )


class TracesFound(DataError):
    """Files still hold a trace of entities that were to be erased."""

    def __init__(self, traces: Sequence[str], files: int, shown: int = 20) -> None:
        self.traces, self.files = list(traces), files
        more = f"; and {len(traces) - shown} more" if len(traces) > shown else ""
        super().__init__(
            f"{len(traces)} of {files} files hold a trace: {'; '.join(traces[:shown])}{more}. "
            f"Run `graphguard erase` with the same users; remove by hand what it does not own"
        )


class NotCommitted(GraphGuardError):
    """A stage's output is asked for before the stage has committed it."""

    exit_code = Exit.DATA

    def __init__(self, what: str, stage: str) -> None:
        self.what, self.stage = what, stage
        super().__init__(f"{what} is not there yet; run `graphguard nightly --to {stage}` first")


class HashesUnreadable(DataError):
    """A column that is named as picture hashes holds none."""

    def __init__(self, place: str, found: str) -> None:
        self.place, self.found = place, found
        super().__init__(
            f"{place}: no value is a hash of an even number of hexadecimal digits (such as "
            f"'{found}'); name the column of hashes, or drop 'near: image' there"
        )


class OwnLabelSeen(DataError):
    """A column that a model would read is made from the row's own label."""

    def __init__(self, column: str, rows: int, looked: int) -> None:
        self.column, self.rows, self.looked = column, rows, looked
        super().__init__(
            f"column '{column}' changes with the row's own label in {rows} of {looked} rows: a "
            f"model would read the answer in training and find none later; hide the labels of a "
            f"row's own fold from it"
        )


class ArtefactInvalid(DataError):
    """A model or table file is not what its manifest says."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}; {_how_to_rebuild(path)}")


def _how_to_rebuild(path: Path) -> str:
    """What to do about a file of ours that is damaged: who made its folder makes it anew."""
    for folder in path.parents:
        if (folder / "manifest.json").is_file():
            return f"remove {folder} and run the night again, which makes it anew from its inputs"
    return "refuse it and rebuild it from its inputs"


class ActionRateExceeded(GateError):
    """A run would act on more users than the policy allows; nothing was committed."""

    def __init__(self, acted: int, active: int, limit: float) -> None:
        self.acted, self.active, self.limit = acted, active, limit
        super().__init__(
            f"policy would act on {acted} of {active} active users ({acted / max(active, 1):.2%}), "
            f"above policy.max_action_rate {limit:.2%}; nothing was committed. "
            f"Look for drift in the inputs before raising the limit"
        )


class MissingExtra(ConfigError):
    """A package that an option needs is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        self.feature, self.extra = feature, extra
        super().__init__(f"{feature} needs an extra package: pip install 'graphguard[{extra}]'")


class PygLibMissing(ConfigError):
    """The compiled sampler is asked for and not installed."""

    def __init__(self) -> None:
        super().__init__(
            "sampler 'pyg-lib' needs pyg-lib, which the package index does not have: install the "
            "wheel of your torch from its makers, or set `sampler: uniform`, which draws the same"
        )


class BuildMissing(ConfigError):
    """A package that comes in two builds, of which one must be installed, is not there."""

    def __init__(self, feature: str, package: str) -> None:
        self.feature, self.package = feature, package
        super().__init__(
            f"{feature} needs {package}, which comes in two builds that overwrite each other: "
            f"pip install 'graphguard[cpu]' or 'graphguard[gpu]'"
        )
