"""Rows of users whose own mark lies: only the other users of their device tell who is bad."""

import numpy as np

from graphguard.models.base import Rows

USERS, DEVICES, WINDOW, ANCHORS = 600, 75, 10, (20, 40, 60)


def lying_rows(draw):
    """Each user's device, and a row of each user at each anchor, by a random generator.

    The label is whether the device is marked and the user hidden. A hidden user shows no mark of
    its own (column `own`), the others mostly that of their device.
    """
    home = draw.integers(0, DEVICES, USERS)
    marked = draw.random(DEVICES) < 0.3
    mark = np.where(draw.random(USERS) < 0.9, marked[home], ~marked[home]).astype(float)
    hidden = draw.random(USERS) < 0.5
    own = np.where(hidden, 0.5, mark)
    x = np.stack([own, draw.normal(size=USERS)], axis=1).astype(np.float32)
    label = (marked[home] & hidden).astype(np.int8)
    rows = Rows(
        node=np.tile(np.arange(USERS), 3),
        anchor_us=np.repeat(ANCHORS, USERS),
        x=np.tile(x, (3, 1)),
        names=("own", "noise"),
        label=np.tile(label, 3),
    )
    return home, rows
