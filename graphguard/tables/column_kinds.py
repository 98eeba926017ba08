"""What columns of foreign files may be, by their Arrow types."""

import pyarrow as pa


def plain(kind: pa.DataType) -> pa.DataType:
    """The type of the values, dictionary or not."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_string(kind: pa.DataType) -> bool:
    """Whether strings."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_key(kind: pa.DataType) -> bool:
    """Whether keys: strings or integers."""
    return is_string(kind) or bool(pa.types.is_integer(kind))


def is_time(kind: pa.DataType) -> bool:
    """Whether times: timestamps, dates or integers."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date32(kind) or pa.types.is_int64(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether numbers, booleans among them."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )


def is_category(kind: pa.DataType) -> bool:
    """Whether categories: keys or booleans."""
    return is_key(kind) or bool(pa.types.is_boolean(kind))
