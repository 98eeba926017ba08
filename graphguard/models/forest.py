"""Extremely randomised trees, as a booster that XGBoost reads, scores and explains.

Geurts et al. 2006, "Extremely randomized trees": columns and thresholds are drawn by chance, so the
trees err in other places than boosted ones, which split where it gains most. scikit-learn grows
them; its trees are written in XGBoost's model format, so that one kind of file is kept.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree._tree import Tree

Floats = NDArray[np.float32]
_NO_PARENT = 2**31 - 1
_PRIOR_ROWS = 1.0
"""A leaf's share of positives leans towards the base rate by this many rows."""
CLIP = 1e-6
"""Probabilities are cut to [CLIP, 1 - CLIP] before their log-odds are taken."""
MARGIN = "probability"
"""What a booster's margin is, as models say of their forests."""


@dataclass(frozen=True)
class ForestRules:
    """How the trees grow.

    Attributes:
        trees: Number of trees.
        leaf_rows: Fewest rows in a leaf.
        positive_weight: Weight of a positive row.
        seed: Seed of the draws.
        threads: CPU threads; 0 takes all cores. The trees do not depend on it.
    """

    trees: int
    leaf_rows: int
    positive_weight: float
    seed: int
    threads: int


def grow_forest(x: Floats, label: NDArray[np.int8], rules: ForestRules) -> xgboost.Booster:
    """Grow a forest of extremely randomised trees.

    Args:
        x: Features, shape [n, columns], float32; NaN is a missing value.
        label: 0 or 1, both there, shape [n].
        rules: How to grow.

    Returns:
        A booster of one round whose margin is the trees' mean probability: see `log_odds`.

    Cost: O(trees * n * log n * sqrt(columns)).
    """
    weight = np.where(label == 1, rules.positive_weight, 1.0)
    grown = ExtraTreesClassifier(
        rules.trees,
        min_samples_leaf=rules.leaf_rows,
        max_features="sqrt",
        random_state=rules.seed,
        n_jobs=rules.threads or -1,
    ).fit(x, label, sample_weight=weight)
    base_rate = float(weight[label == 1].sum() / weight.sum())
    trees = [
        _written(tree.tree_, number, base_rate, len(grown.estimators_))
        for number, tree in enumerate(grown.estimators_)
    ]
    return _as_booster(trees, x.shape[1])


def log_odds(probability: NDArray[Any]) -> NDArray[np.float64]:
    """What a forest says, of the margin of its booster.

    The log-odds of the mean probability, not the mean of the leaves' log-odds: that lets the few
    trees that are surest speak loudest (docs/decisions/0039).
    """
    said: NDArray[np.float64] = logit(
        np.asarray(probability, dtype=np.float64).clip(CLIP, 1 - CLIP)
    )
    return said


def log_odds_parts(parts: NDArray[Any]) -> NDArray[np.float64]:
    """Contributions to the mean probability as contributions to its log-odds.

    Args:
        parts: Shape [n, columns + 1], the base value last.

    Returns:
        The same shape: each row's contributions in their proportions, so that they add up to
        `log_odds` of what `parts` add up to.
    """
    made = np.asarray(parts, dtype=np.float64).copy()
    base = made[:, -1].copy()
    moved = made[:, :-1].sum(axis=1)
    low, high = log_odds(base), log_odds(base + moved)
    still = np.abs(moved) < CLIP
    slope = np.divide(high - low, moved, where=~still, out=1 / (base * (1 - base)))
    made[:, :-1] *= slope[:, None]
    made[:, -1] = low
    return made


def _written(tree: Tree, number: int, base_rate: float, trees: int) -> dict[str, Any]:
    """One tree of scikit-learn in XGBoost's words; each says its share of the mean."""
    order, left, right = _side_by_side(tree)
    inner = left >= 0
    parents = np.full(tree.node_count, _NO_PARENT, dtype=np.int64)
    parents[left[inner]] = parents[right[inner]] = np.flatnonzero(inner)
    rows = tree.weighted_n_node_samples[order]
    share = (tree.value[order, 0, 1] * rows + _PRIOR_ROWS * base_rate) / (rows + _PRIOR_ROWS)
    said = share / trees
    impure = tree.impurity[order] * rows
    gains = np.where(inner, impure - impure[left] - impure[right], 0.0)
    return {
        "id": number,
        "left_children": left.tolist(),
        "right_children": right.tolist(),
        "parents": parents.tolist(),
        "split_indices": np.where(inner, tree.feature[order], 0).tolist(),
        "split_conditions": np.where(inner, _below(tree.threshold[order]), said).tolist(),
        "split_type": [0] * tree.node_count,
        "default_left": np.where(inner, tree.missing_go_to_left[order], 0).tolist(),
        "base_weights": said.tolist(),
        "sum_hessian": rows.tolist(),
        "loss_changes": np.maximum(gains, 0.0).tolist(),
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(tree.n_features),
            "num_nodes": str(tree.node_count),
            "size_leaf_vector": "1",
        },
    }


def _side_by_side(tree: Tree) -> tuple[NDArray[np.int64], ...]:
    """The nodes level by level: XGBoost takes a right child to be the one after its left.

    Returns:
        The old number of each new one, and the new numbers of its children, -1 for a leaf.
    """
    order, level = [np.zeros(1, dtype=np.int64)], np.zeros(1, dtype=np.int64)
    while len(level := level[tree.children_left[level] >= 0]):
        level = np.stack([tree.children_left[level], tree.children_right[level]], axis=1).ravel()
        order.append(level)
    every = np.concatenate(order)
    inner = tree.children_left[every] >= 0
    # The children of the n-th inner node are the n-th pair after the root.
    left = np.where(inner, 2 * np.cumsum(inner) - 1, -1)
    return every, left, np.where(inner, left + 1, -1)


def _below(threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """The float32 that x < it says of a float32 x what x <= threshold says."""
    near = threshold.astype(np.float32)
    above = np.nextafter(near, np.float32(np.inf))
    # Where rounding went up, `near` itself is already the first number above the threshold.
    return np.where(near.astype(np.float64) > threshold, near, above).astype(np.float64)


def _as_booster(trees: list[dict[str, Any]], columns: int) -> xgboost.Booster:
    """A booster with these trees; all but them is as XGBoost itself writes an empty one."""
    x = np.zeros((2, columns), dtype=np.float32)
    empty = xgboost.train(
        {"objective": "binary:logistic", "base_score": 0.5, "verbosity": 0},
        xgboost.DMatrix(x, np.array([0, 1])),
        num_boost_round=0,
    )
    held = json.loads(empty.save_raw("json"))
    model = held["learner"]["gradient_booster"]["model"]
    model["trees"] = trees
    model["tree_info"] = [0] * len(trees)
    model["iteration_indptr"] = [0, len(trees)]
    model["gbtree_model_param"] = {
        "num_parallel_tree": str(len(trees)),
        "num_trees": str(len(trees)),
    }
    made = xgboost.Booster()
    made.load_model(bytearray(json.dumps(held).encode()))
    return made
