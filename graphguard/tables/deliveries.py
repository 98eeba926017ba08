"""Take a delivery: which files of the logs, entity tables and labels may be read tonight.

Before any row is read, each file is held against the platform's manifest, where there is one, and
is opened by a process of its own (graphguard.tables.guard). The same bytes delivered twice within
a unit are taken once. Why: docs/decisions/0012-foreign-files.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from graphguard.config.sections import Config, EntityConfig, LabelConfig, LogConfig
from graphguard.errors import BadFiles, DataError
from graphguard.schema import DELIVERIES
from graphguard.tables.files import fingerprint, read_json, replace_json
from graphguard.tables.guard import FileLimits, Guard
from graphguard.tables.manifests import delivery_faults, manifest_of
from graphguard.tables.people import entity_contract, label_contract
from graphguard.tables.row_contract import RowContract, check_columns
from graphguard.tables.sources import DigestCache, SourceUnit, find_units
from graphguard.tables.units import log_contract

TAKEN, REPEATED, QUARANTINED = "taken", "repeated", "quarantined"
MANIFEST, PAGES, NOTHING = "manifest", "pages", "nothing"


@dataclass(frozen=True)
class Deliveries:
    """What may be read, and what became of every file."""

    units: dict[str, list[SourceUnit]]
    """Units of the logs with the files that were taken; a unit without any is left out."""
    table: pl.DataFrame
    """DELIVERIES."""
    gates: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Source:
    name: str
    place: str
    """Where the config names it: `logs.likes`."""
    settings: LogConfig | EntityConfig | LabelConfig
    contract: RowContract
    units: Sequence[SourceUnit]

    @cached_property
    def asked(self) -> dict[str, Any]:
        """The contract, as it goes into what is asked of each file."""
        return asdict(self.contract)


@dataclass(frozen=True)
class _File:
    """What became of one file."""

    source: _Source
    unit: SourceUnit
    path: Path
    state: str
    checked: str
    sha256: str | None = None
    fault: DataError | None = None

    def row(self, root: Path) -> dict[str, str | None]:
        """The row of DELIVERIES."""
        inside = self.path.is_relative_to(root)
        return {
            "source": self.source.name,
            "unit": self.unit.name,
            "file": (self.path.relative_to(root) if inside else self.path).as_posix(),
            "state": self.state,
            "sha256": self.sha256,
            "checked": self.checked,
            "reason": None if self.fault is None else str(self.fault),
        }


def take_deliveries(
    config: Config, units: Mapping[str, Sequence[SourceUnit]], cache: Path
) -> Deliveries:
    """Look at every file of the logs' `units`, of the entity tables and of the labels.

    Args:
        config: The run's config; `limits.bad_files` says what a bad file of a log does. Entity
            tables and labels are never taken in part.
        units: Units of each log that the run needs.
        cache: Folder where digests and what was proved are remembered between nights.

    Raises:
        BadFiles: More than one file is bad, or nothing is left of a log.
        DataError: One file is bad: FileUnreadable, FileBeyondLimit, DeliveryWrong, ColumnMissing
            or ColumnTypeWrong.
    """
    looked = _looked_at(config, units, cache)
    bad = [one for one in looked if one.fault is not None]
    whole = [one for one in bad if not isinstance(one.source.settings, LogConfig)]
    if bad and (whole or config.limits.bad_files == "stop"):
        raise _error(bad)
    left = _left(units, looked)
    lost = [one for one in bad if not left[one.source.name]]
    if lost:
        raise _error(lost)
    rows = [one.row(config.root) for one in looked]
    table = pl.DataFrame(rows, schema=DELIVERIES.empty().schema).sort("source", "unit", "file")
    return Deliveries(left, table, list(_gates(bad, looked)), list(_warnings(looked)))


def _looked_at(
    config: Config, units: Mapping[str, Sequence[SourceUnit]], cache: Path
) -> list[_File]:
    digests = DigestCache(cache / "digests.json")
    look = _Look(config, digests, _ProofCache(cache / "proved.json"))
    sources = list(_sources(config, units))
    digests.digests([path for one in sources for unit in one.units for path in unit.files])
    with look.guard:
        found = [one for source in sources for one in look.source(source)]
    digests.save()
    look.proofs.save()
    return found


def _sources(config: Config, units: Mapping[str, Sequence[SourceUnit]]) -> Iterator[_Source]:
    for name, each in units.items():
        log = config.logs[name]
        yield _Source(name, f"logs.{name}", log, log_contract(config, name), each)
    for name, table in config.entities.items():
        files = find_units(name, table.path, config.root, section="entities")[:1]
        yield _Source(name, f"entities.{name}", table, entity_contract(config, name), files)
    files = find_units("labels", config.labels.path, config.root, section="labels")[:1]
    yield _Source("labels", "labels", config.labels, label_contract(config), files)


class _ProofCache:
    """Files proved before, by what was asked: their bytes, columns and limits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = read_json(path) if path.is_file() else {}
        self._changed = False

    def get(self, question: str) -> str | None:
        """What vouches for the file's bytes, or None if it was never proved."""
        return self._known.get(question)

    def put(self, question: str, checked: str) -> None:
        """Remember a file that may be read."""
        self._known[question] = checked
        self._changed = True

    def save(self) -> None:
        """Keep what was learned for the next night."""
        if self._changed:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_json(self._path, self._known)


class _Look:
    """Looks at files, with what it remembers from earlier nights."""

    def __init__(self, config: Config, digests: DigestCache, proofs: _ProofCache) -> None:
        self._config, self._digests, self.proofs = config, digests, proofs
        limits = FileLimits.of(config.limits)
        self._limits = asdict(limits)
        self.guard = Guard(limits)

    def source(self, source: _Source) -> Iterator[_File]:
        for unit in source.units:
            yield from self._unit(source, unit)

    def _unit(self, source: _Source, unit: SourceUnit) -> Iterator[_File]:
        listed = source.settings.manifest
        faults: dict[Path, DataError] = {}
        files = list(unit.files)
        if listed is not None:
            manifest = manifest_of(unit, listed, self._config.root)
            files = [path for path in files if path != manifest]
            faults = dict(delivery_faults(manifest, files, self._digests.digest))
        seen: set[str] = set()
        for path in files:
            digest = self._digests.digest(path)
            one = _File(source, unit, path, QUARANTINED, NOTHING, digest, faults.get(path))
            if one.fault is not None:
                yield one
            elif digest in seen:
                checked = MANIFEST if listed else NOTHING
                yield replace(one, state=REPEATED, checked=checked)
            else:
                seen.add(digest)
                yield self._opened(one, trusted=listed is not None)
        for path in faults.keys() - set(files):
            yield _File(source, unit, path, QUARANTINED, NOTHING, fault=faults[path])

    def _opened(self, one: _File, *, trusted: bool) -> _File:
        contract = one.source.contract
        decode = self._config.limits.prove_files and not trusted
        question = fingerprint([one.sha256, one.source.asked, self._limits, decode])
        checked = self.proofs.get(question)
        if checked is None:
            try:
                proof = self.guard.prove(
                    one.path,
                    contract.columns,
                    coded=contract.as_dictionaries,
                    decode=decode,
                    vouched=trusted,
                )
                check_columns(one.path, contract)
            except DataError as error:
                return replace(one, fault=error)
            checked = PAGES if proof.page_checksums and decode else NOTHING
            self.proofs.put(question, MANIFEST if trusted else checked)
        return replace(one, state=TAKEN, checked=MANIFEST if trusted else checked)


def _left(
    units: Mapping[str, Sequence[SourceUnit]], looked: Sequence[_File]
) -> dict[str, list[SourceUnit]]:
    """The units of every log with the files that were taken."""
    taken: dict[tuple[str, str], list[Path]] = {}
    for one in looked:
        if one.state == TAKEN and isinstance(one.source.settings, LogConfig):
            taken.setdefault((one.source.name, one.unit.name), []).append(one.path)
    return {
        name: [
            replace(unit, files=tuple(taken[name, unit.name]))
            for unit in each
            if (name, unit.name) in taken
        ]
        for name, each in units.items()
    }


def _error(bad: Sequence[_File]) -> DataError:
    faults = [one.fault for one in bad if one.fault is not None]
    return faults[0] if len(faults) == 1 else BadFiles(faults)


def _gates(bad: Sequence[_File], looked: Sequence[_File]) -> Iterator[str]:
    for place in dict.fromkeys(one.source.place for one in bad):
        mine = [one for one in bad if one.source.place == place]
        total = sum(one.source.place == place for one in looked)
        yield f"{place}: {len(mine)} of {total} files are quarantined, first {mine[0].fault}"


def _warnings(looked: Sequence[_File]) -> Iterator[str]:
    for place in dict.fromkeys(one.source.place for one in looked):
        mine = [one for one in looked if one.source.place == place]
        bare = sum(one.state == TAKEN and one.checked == NOTHING for one in mine)
        if bare:
            yield (
                f"{place}: {bare} of {len(mine)} files have neither a manifest nor page checksums, "
                f"so that damage to one may be read as data; set {place}.manifest, or have the "
                f"writer add page checksums"
            )
        twice = sum(one.state == REPEATED for one in mine)
        if twice:
            yield f"{place}: {twice} files have the bytes of another of their day; taken once"
