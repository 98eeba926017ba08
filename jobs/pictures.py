"""Hashes of pictures as objects: what a trace with `near: image` acts on."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import TraceConfig
from graphguard.errors import BadSetting, HashesUnreadable
from graphguard.jobs.context import Job
from graphguard.jobs.texts import deeds
from graphguard.near.pictures import hash_bits, picture_groups

Ints = NDArray[np.int64]


def picture_objects(job: Job, trace: TraceConfig, values: pl.Series, time_us: Ints) -> Ints:
    """The object of each picture: its group of near hashes within an episode, numbered from 0.

    Args:
        job: Tells windows, and the keys of stored values.
        trace: The trace.
        values: Storage index of each act's hash.
        time_us: Time of each act.

    Raises:
        HashesUnreadable: No value is a hash.
        BadSetting: `bits` is too much for hashes so short.
    """
    kind = job.config.entity_columns(trace.log)[trace.object]
    stored = pl.DataFrame({"stored": values.unique().sort()})
    # An erased hash stands alone.
    keys = job.workspace.ids(kind).decode(stored, "stored", "key").get_column("key").fill_null("")
    _check(trace, keys)
    groups = picture_groups(keys, trace.bits)
    place = np.searchsorted(stored.get_column("stored").to_numpy(), values.to_numpy())
    return deeds(job, groups[place], time_us)


def _check(trace: TraceConfig, keys: pl.Series) -> None:
    where = f"rings.traces: {trace.log}.{trace.object}"
    try:
        num_bits = hash_bits(keys.str.to_lowercase())[1].shape[1]
    except ValueError as error:
        raise HashesUnreadable(where, str(keys[0])) from error
    if 4 * trace.bits >= num_bits:
        name = "bits"
        reason = f"must be less than a quarter of the hashes' {num_bits} bits, got {trace.bits}"
        raise BadSetting(where, name, reason)
