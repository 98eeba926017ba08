"""Damage to files, as disks, networks and careless copies do it: for trials of readers."""

import random

TRUNCATED, FOOTER, ANYWHERE = "truncated", "footer", "anywhere"
MIX = ((TRUNCATED, 0.15), (FOOTER, 0.30), (ANYWHERE, 0.55))
"""Kinds of damage and how often each is done."""


def damaged(whole: bytes, seed: int) -> tuple[str, bytes]:
    """Spoil the bytes of a Parquet file: cut them short, or overwrite one to eight of them.

    Args:
        whole: A whole file.
        seed: The same seed does the same damage.

    Returns:
        The kind of damage (`truncated`, `footer` or `anywhere`) and bytes that differ from `whole`.

    >>> damaged(b"PAR1" + bytes(40) + (20).to_bytes(4, "little") + b"PAR1", 1)[0]
    'truncated'
    """
    source = random.Random(seed)
    draw, kind = source.random(), ANYWHERE
    for name, share in MIX:
        kind = name
        if draw < share:
            break
        draw -= share
    if kind == TRUNCATED:
        return kind, whole[: source.randrange(len(whole))]
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    start = max(0, len(whole) - footer) if kind == FOOTER else 0
    spoilt = bytearray(whole)
    for _ in range(source.randint(1, 8)):
        place = source.randrange(start, len(whole))
        # One to 255 added: never the byte that was there.
        spoilt[place] = (whole[place] + source.randint(1, 255)) % 256
    return kind, bytes(spoilt)
