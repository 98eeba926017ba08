"""Kinds of value that settings share: sections, durations, sizes and as-of days."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, PlainValidator

MICROS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
DAY_US = MICROS["d"]
BYTES = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


class Section(BaseModel):
    """A block of settings: frozen, unknown keys refused, meaning written under each field."""

    # The meanings are read from the source when somebody asks for them (`config/describe.py`):
    # every start of the program would parse all of it again.
    model_config = ConfigDict(frozen=True, extra="forbid")


class Duration:
    """A length of time such as `60s`, `10m`, `1h` or `30d`; equal to its microseconds.

    >>> parse_duration("10m").us
    600000000
    >>> str(parse_duration("36h"))
    '36h'
    """

    __slots__ = ("text", "us")

    def __init__(self, text: str, us: int) -> None:
        self.text, self.us = text, us

    @property
    def days(self) -> int:
        """Whole days, rounded up."""
        return -(-self.us // DAY_US)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Duration('{self.text}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and other.us == self.us

    def __hash__(self) -> int:
        return hash(self.us)


def parse_duration(value: object) -> Duration:
    """Read a duration; raises ValueError where `value` is no number with a unit."""
    if isinstance(value, Duration):
        return value
    text = value.strip() if isinstance(value, str) else ""
    match = re.fullmatch(r"(\d+)\s*(ms|s|m|h|d)", text)
    if match is None:
        message = f"must be a duration like 60s, 10m, 1h or 30d, got {value!r}"
        raise ValueError(message)
    return Duration(text, int(match[1]) * MICROS[match[2]])


DurationSetting = Annotated[
    Duration, PlainValidator(parse_duration), PlainSerializer(str, return_type=str)
]


class Size:
    """An amount of memory such as `512MB` or `2GB`, in powers of 1024; equal to its bytes.

    >>> parse_size("2GB").bytes
    2147483648
    >>> str(parse_size("512 MB"))
    '512 MB'
    """

    __slots__ = ("bytes", "text")

    def __init__(self, text: str, size: int) -> None:
        self.text, self.bytes = text, size

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Size('{self.text}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and other.bytes == self.bytes

    def __hash__(self) -> int:
        return hash(self.bytes)


def parse_size(value: object) -> Size:
    """Read a size; raises ValueError where `value` is no number above 0 with a unit."""
    if isinstance(value, Size):
        return value
    text = value.strip() if isinstance(value, str) else ""
    match = re.fullmatch(r"(\d+)\s*(KB|MB|GB|TB)", text)
    if match is None or not int(match[1]):
        message = f"must be a size like 512MB or 2GB, got {value!r}"
        raise ValueError(message)
    return Size(text, int(match[1]) * BYTES[match[2]])


SizeSetting = Annotated[Size, PlainValidator(parse_size), PlainSerializer(str, return_type=str)]


def parse_as_of(value: object) -> date:
    """Read an as-of day: a date, `2026-01-31`, `${today}` or `${today-1d}` (UTC).

    The wall clock is read here and nowhere else, and only where the config asks for `${today}`.
    """
    if isinstance(value, datetime):
        message = f"must be a day without a time, got {value.isoformat()}"
        raise ValueError(message)
    if isinstance(value, date):
        return value
    text = str(value).strip()
    match = re.fullmatch(r"\$\{today(?:-(\d+)d)?\}", text)
    if match:
        return datetime.now(tz=UTC).date() - timedelta(days=int(match[1] or 0))
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"must be a day like 2026-01-31, ${{today}} or ${{today-1d}}, got {value!r}"
        raise ValueError(message) from None


AsOf = Annotated[date, BeforeValidator(parse_as_of)]


def day_us(day: date) -> int:
    """Microseconds since 1970 UTC at the start of `day`.

    >>> day_us(date(1970, 1, 2)) == DAY_US
    True
    """
    return (day - date(1970, 1, 1)).days * DAY_US


def us_day(time_us: int) -> date:
    """The UTC day that holds the microsecond `time_us`."""
    return date(1970, 1, 1) + timedelta(days=time_us // DAY_US)
