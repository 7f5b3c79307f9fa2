"""The learned part: gradient-boosted trees, fitted by LightGBM, kept and evaluated as NumPy arrays.

    trees = fit(features, targets, weights=weights, monotone=(0, 1, -1))
    trees.predict(features)          # (rows,)

Kept as arrays, a model of a few hundred trees is some 100 kB, opens in milliseconds and needs no library
but NumPy, so that one prediction in a cold process takes a fraction of a second. This file does not know
what the features mean. Gradient boosting: Friedman (2001); its histogram form: Ke et al. (2017), LightGBM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.table import extra
from netwright.predict.learning.table import Floats

PARAMS: Mapping[str, Any] = {
    "objective": "huber",
    "alpha": 0.15,
    "num_iterations": 300,
    "learning_rate": 0.06,
    "num_leaves": 24,
    "max_depth": 6,
    "min_data_in_leaf": 40,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "feature_fraction": 0.7,
    "lambda_l2": 1.0,
}
"""Huber's loss, linear beyond 15 %, because the median of the relative error counts (L1 takes no monotone
constraints); at most six questions deep, for speed."""

ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class Trees:
    """A sum of trees. Node `i` asks whether feature[i] <= threshold[i]; a leaf has feature -1 and points to itself."""

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: Floats
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float32]
    fill: Floats
    """What stands for a missing value of each feature; NaN where the trees have seen it missing."""
    depth: int

    def predict(self, features: Floats) -> Floats:
        """(rows, features) -> (rows,)."""
        known = np.where(np.isnan(features), self.fill, features)
        parts = [self._chunk(known[at : at + ROWS_AT_ONCE]) for at in range(0, len(known), ROWS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _chunk(self, features: Floats) -> Floats:
        n, f = features.shape
        flat, offset = features.ravel(), (np.arange(n) * f)[:, None]
        node = np.broadcast_to(self.roots, (n, len(self.roots)))
        for _ in range(self.depth):
            asked = flat[offset + np.maximum(self.feature[node], 0)]
            goes_left = (asked <= self.threshold[node]) | (np.isnan(asked) & self.missing_left[node])
            node = np.where(goes_left, self.left[node], self.right[node])
        total: Floats = self.value[node].sum(axis=1, dtype=float)
        return total

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """For `numpy.savez`."""
        return {f"{prefix}.{name}": np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Trees:
        found: dict[str, Any] = {name: arrays[f"{prefix}.{name}"] for name in cls.__dataclass_fields__}
        return cls(**{**found, "depth": int(found["depth"])})


def constant(value: float, features: int) -> Trees:
    """A single leaf: what is learned where there is too little to learn from."""
    one = np.zeros(1, dtype=np.int32)
    return Trees(
        one, one - 1, np.zeros(1), one, one, np.zeros(1, bool), np.array([value], np.float32),
        np.full(features, np.nan), 0,
    )  # fmt: skip


def fit(
    features: Floats,
    targets: Floats,
    *,
    weights: Floats | None = None,
    monotone: Sequence[int] = (),
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Trees:
    """Boosted trees for (rows, features) -> (rows,) targets. Needs LightGBM (extra `fit`)."""
    lightgbm = extra("lightgbm", "fitting the predictor")
    settings = {**PARAMS, **(params or {}), "verbosity": -1, "num_threads": 1, "seed": seed, "deterministic": True}
    settings["force_row_wise"] = True
    if len(targets) < 2 * settings["min_data_in_leaf"]:
        return constant(float(np.median(targets)) if len(targets) else 0.0, features.shape[1])
    if any(monotone):
        settings |= {"monotone_constraints": list(monotone), "monotone_constraints_method": "intermediate"}
    centre = float(np.median(targets))
    data = lightgbm.Dataset(features, targets - centre, weight=weights, free_raw_data=True)
    found = lightgbm.train(settings, data)
    seen_missing = np.isnan(features).any(axis=0)
    with np.errstate(all="ignore"):
        middle = np.array([np.nanmedian(c) if not np.isnan(c).all() else 0.0 for c in features.T])
    return _from_text(found.model_to_string(), np.where(seen_missing, np.nan, middle), centre)


def _from_text(text: str, fill: Floats, centre: float) -> Trees:
    """LightGBM's own text form: for each tree, lists by name; a child below zero is the leaf of its complement."""
    parts: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "missing", "value")
    }
    roots, at, deepest = [], 0, 0
    for block in text.split("\nTree=")[1:]:
        lines = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        leaves = np.array(lines["leaf_value"].split(), dtype=float)
        inner = int(lines["num_leaves"]) - 1
        size = inner + len(leaves)
        own = at + np.arange(size)
        parts["feature"].append(np.r_[_list(lines, "split_feature", inner), np.full(len(leaves), -1)])
        parts["threshold"].append(np.r_[_list(lines, "threshold", inner), np.zeros(len(leaves))])
        children = []
        for side in ("left", "right"):
            child = _list(lines, f"{side}_child", inner).astype(int)
            children.append(np.where(child >= 0, child, inner + ~child))
            parts[side].append(np.r_[at + children[-1], own[inner:]])
        parts["missing"].append(
            np.r_[(_list(lines, "decision_type", inner).astype(int) & 2) > 0, np.zeros(len(leaves))]
        )
        parts["value"].append(np.r_[np.zeros(inner), leaves])
        roots.append(at)
        at += size
        deepest = max(deepest, _depth(children[0], children[1], inner))
    joined = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    joined["value"][np.flatnonzero(joined["feature"] < 0)] += centre / len(roots)
    return Trees(
        roots=np.array(roots, dtype=np.int32),
        feature=joined["feature"].astype(np.int32),
        threshold=joined["threshold"].astype(float),
        left=joined["left"].astype(np.int32),
        right=joined["right"].astype(np.int32),
        missing_left=joined["missing"].astype(bool),
        value=joined["value"].astype(np.float32),
        fill=fill,
        depth=deepest,
    )


def _list(lines: Mapping[str, str], name: str, count: int) -> Floats:
    return np.array(lines.get(name, "").split()[:count], dtype=float)


def _depth(left: NDArray[Any], right: NDArray[Any], inner: int) -> int:
    level = np.zeros(inner + len(left) + 1, dtype=int)
    for node in range(inner):  # children come after their parents
        for child in (left[node], right[node]):
            level[child] = level[node] + 1
    return int(level.max()) if inner else 0
