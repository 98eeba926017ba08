"""Limits: when a run stops rather than goes on, and what a foreign file may be."""

from datetime import date
from typing import Literal

from pydantic import Field, field_validator

from graphguard.config.values import AsOf, Duration, DurationSetting, Section


class LimitConfig(Section):
    """When a run stops rather than goes on with bad input."""

    max_reject_ratio: float = Field(0.05, ge=0, le=1)
    """Largest share of a log's rows that may be rejected."""
    min_day_ratio: float = Field(0.4, ge=0, le=1)
    """Smallest size of a day against the median of the 14 days before it."""
    lookback: DurationSetting = Duration("3d", 3 * 86_400_000_000)
    """How much older than its file's `{date}` a row may be; older ones go to the late table."""
    max_number_jump: float = Field(100.0, gt=1)
    """Largest factor, up or down, by which the newest day's median of a number column may differ
    from the usual one; beyond it the gate is red."""
    earliest: AsOf = date(2000, 1, 1)
    """Times of events and labels before this day are impossible."""
    memory_gb: float = Field(16.0, gt=0)
    """Memory a run may plan for; `graphguard plan` refuses what will not fit."""
    bad_files: Literal["stop", "quarantine"] = "stop"
    """What a bad file of a log does: `stop` ends the run with 65 before anything is read;
    `quarantine` leaves the file out and goes on to a red gate, so nothing is exported."""
    prove_files: bool = True
    """Whether a new file without a manifest is first decoded in a process of its own."""
    max_rows_per_file: int = Field(250_000_000, ge=1)
    """Most rows of one file."""
    max_file_gb: float = Field(8.0, gt=0)
    """Largest size of one file's used columns once decoded: rows times width, and text."""
    max_columns: int = Field(2000, ge=1)
    """Most columns of one file, used or not; those inside nested ones count."""
    max_row_groups: int = Field(10_000, ge=1)
    """Most row groups of one file."""
    max_nesting: int = Field(32, ge=1)
    """Deepest nesting of a column."""
    max_footer_mb: int = Field(16, ge=1)
    """Largest Parquet footer; it is bounded before it is parsed."""
    max_value_kb: int = Field(1024, ge=1)
    """Longest single value."""
    reader_memory_mb: int = Field(768, ge=64)
    """Memory of the process that looks at files first, beyond what it starts with."""
    lease: DurationSetting = Duration("120s", 120_000_000)
    """How long a run that shows no sign of life keeps its workspace from others."""

    @field_validator("lease")
    @classmethod
    def _a_second(cls, value: Duration) -> Duration:
        if value.us < 1_000_000:
            message = f"must be 1s or more, got {value}"
            raise ValueError(message)
        return value
