"""The file of a segment: one record batch of ID_SEGMENTS, mapped, with its sums in its notes."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from graphguard.errors import ArtefactInvalid, GraphGuardError
from graphguard.schema import ID_SEGMENTS
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import sync_folder
from graphguard.tables.key_marks import NO_MARK, Marks, Starts, hash_name, marks_of, starts_of

Batches = list[tuple[str, str]]
"""Where each save ended, and the digest of its keys: what storage indices mean. Segments come
together, saves stay."""

NOTES = b"graphguard.ids"
BLOCK = 1 << 13
"""Words that one sum stands for."""


def stored(path: Path, *, check: bool = False) -> tuple[pa.RecordBatch, dict[str, Any]]:
    """What a file holds, mapped, and its notes.

    Args:
        path: The file.
        check: Whether its sums are made anew and compared: that reads all of it.

    Raises:
        ArtefactInvalid: It is no segment, or its sums are others.
        FileNotFoundError: There is none.
    """
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
            batch = reader.get_batch(0)
        notes: dict[str, Any] = json.loads(batch.schema.metadata[NOTES])
        ID_SEGMENTS.validate(pa.table(batch.columns, names=batch.schema.names))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, GraphGuardError, pa.ArrowException) as error:
        raise ArtefactInvalid(path, " ".join(str(error).split())) from error
    if check and _sums(batch) != notes["sums"]:
        raise ArtefactInvalid(path, "has other bytes than were written")
    return batch, notes


def columns_of(batch: pa.RecordBatch) -> tuple[pl.Series, Marks, Starts]:
    """Its keys, their marks, and where these start, as they lie in the mapped file."""
    # By their buffers: asked for a NumPy array, Arrow imports pandas where that is found.
    marks, starts = (batch.column(name).buffers()[1] for name in ("mark", "start"))
    number = batch.num_rows
    return (
        pl.Series("key", batch.column("key")),
        np.frombuffer(marks, np.uint64)[:number],
        np.frombuffer(starts, np.int32)[:number],
    )


def marks_are_of_keys(path: Path) -> bool:
    """Whether a file's marks are those of its keys, and of nobody who had one."""
    batch, notes = stored(path)
    keys, marks, starts = columns_of(batch)
    if not np.array_equal(starts, starts_of(marks)):
        return False
    if notes["hash"] == hash_name():
        return bool(np.array_equal(marks, marks_of(keys)))
    return int(np.count_nonzero(marks != NO_MARK)) == len(keys) - keys.null_count()


def write_segment(folder: Path, start: int, keys: pl.Series, batches: Batches) -> Path:
    """Write keys and their marks under the final name, durably; there from one moment on."""
    final = folder / f"{start:012d}-{start + len(keys):012d}.arrow"
    aside = folder / f".tmp-{final.name}"
    marks = marks_of(keys)
    columns = {
        # Short keys lie in their place itself, and are met in one look.
        "key": _alone(keys).cast(pa.string_view()),
        "mark": _plain(pa.uint64(), marks),
        "start": _plain(pa.int32(), starts_of(marks)),
    }
    batch = pa.record_batch(columns)
    ID_SEGMENTS.validate(pa.table(columns))
    notes = {"batches": batches, "hash": hash_name(), "sums": _sums(batch)}
    batch = batch.replace_schema_metadata({NOTES: json.dumps(notes)})
    with pa.OSFile(str(aside), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)
        failpoint("write:ids")
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    failpoint("rename:ids")
    os.replace(aside, final)
    sync_folder(folder)
    return final


def keys_digest(keys: pl.Series) -> str:
    """SHA-256 of keys in their order."""
    held = _alone(keys)
    _, ends, text = held.buffers()
    digest = hashlib.sha256(np.frombuffer(ends, np.int64)[: len(held) + 1].data)
    digest.update(text or b"")
    digest.update(np.flatnonzero(keys.is_null().to_numpy()).data)
    return digest.hexdigest()


def _sums(batch: pa.RecordBatch) -> str:
    """Digest of sums of words: what tells a torn or altered file in the time of reading it."""
    digest = hashlib.sha256()
    for buffer in (one for column in batch.columns for one in column.buffers()):
        octets = np.frombuffer(buffer or b"", dtype=np.uint8)
        whole = len(octets) // 8 * 8
        words = octets[:whole].view(np.uint64)
        blocks = len(words) // BLOCK * BLOCK
        digest.update(words[:blocks].reshape(-1, BLOCK).sum(axis=1).data)
        digest.update(words[blocks:].data)
        digest.update(octets[whole:].data)
    return digest.hexdigest()


def _alone(keys: pl.Series) -> pa.LargeStringArray:
    """One array that holds the text of these keys and nothing else."""
    gone = keys.is_null()
    # What was a key before it became null may still lie there.
    whole = keys.fill_null("") if gone.any() else keys
    array: pa.LargeStringArray = whole.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if gone.any():
        array = pc.if_else(gone.to_arrow(), pa.scalar(None, pa.large_string()), array)
    return array


def _plain(kind: pa.DataType, values: NDArray[Any]) -> pa.Array:
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
