"""Labels that spread over the whole graph, those of a row's own fold hidden from it.

Label propagation over user-object-user and user-user steps: Zhou et al. 2004, "Learning with local
and global consistency", with a random walk's weights. Every relation in which a user has edges
counts alike, and every object of a user. Once for each fold all other labels are spread and read at
the rows of that fold.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.label_sums import LabelledNodes, Lookers
from graphguard.graph.relations import Relation, user_step

Floats = NDArray[np.float64]
STEPS = 10
KEPT = 0.2
"""Share of a node's mass that stays its own label's in every step."""


def spread_labels(
    relations: Sequence[Relation],
    lookers: Lookers,
    labelled: LabelledNodes,
    window_us: int,
) -> tuple[Floats, Floats]:
    """Spread labels over all relations of one window.

    Args:
        relations: One or more; those among users are walked both ways.
        lookers: Rows of one anchor.
        labelled: Labels there are.
        window_us: Length of the window.

    Returns:
        Mass of positive labels and of all labels that reached each row, shape [n] each, the first
        never above the second; both 0 where none did.

    Cost: O(edges in the window * 2 folds * STEPS) time, memory 4 float64 a user and fold.
    """
    anchor = int(lookers.anchor_us[0]) if len(lookers.anchor_us) else 0
    steps = [user_step(relation, (anchor - window_us, anchor)) for relation in relations]
    ways = np.sum([step.reaches for step in steps], axis=0)
    share = np.divide(1.0 - KEPT, ways, where=ways > 0, out=np.zeros(len(ways)))
    seen = labelled.known_us <= anchor
    folds = int(max(labelled.fold.max(initial=0), lookers.fold.max(initial=0))) + 1
    start = np.zeros((len(ways), 2 * folds))
    for fold in range(folds):
        shown = seen & (labelled.fold != fold)
        start[labelled.node[shown & labelled.bad], fold] = 1.0
        start[labelled.node[shown], folds + fold] = 1.0
    mass = start
    for _ in range(STEPS):
        told = np.sum([step.mean(mass) for step in steps], axis=0)
        mass = share[:, None] * told + KEPT * start
    bad, known = (mass[lookers.node, lookers.fold + shift] for shift in (0, folds))
    return np.minimum(bad, known), known
