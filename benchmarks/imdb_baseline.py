"""Bag-of-words logistic regression on IMDB: the row that every other text model stands next to.

    python benchmarks/imdb_baseline.py [--pairs] [--json]

Features are TF-IDF of words (with --pairs also of pairs of words), counted on the training split; C is chosen on the
validation split of the task, then the model is fitted again on training and validation together. The
test split is looked at once. Needs scikit-learn, which the dev extra brings.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from netwright.core.measurement import Measurement
from netwright.core.recipe import plain
from netwright.core.run import progress
from netwright.data import reviews
from netwright.data.tasks import Evaluation, Split

CS = (1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True)
class Result:
    """What the baseline reaches, and with which C it does."""

    accuracy: Measurement
    c: float
    validation: dict[str, float]
    features: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", action="store_true", help="pairs of words too (about 90 %%, and slower)")
    args = parser.parse_args()
    result = run(pairs=args.pairs)
    if args.json:
        print(json.dumps(plain(result), indent=1))
        return
    print("| model | test accuracy | C | features |\n|---|---|---|---|")
    print(f"| {_name(args.pairs)} | {result.accuracy} | {result.c:g} | {result.features:,} |")


def run(pairs: bool = False, config: reviews.Config | None = None) -> Result:
    """Fit and evaluate; the same splits as the task's."""
    task = reviews.open(config or reviews.Config())
    joined: dict[Split, list[str]] = {split: _texts(task, split) for split in ("train", "validation", "test")}
    labels = {split: _labels(task, split) for split in joined}
    scores: dict[float, float] = {}
    with progress("Fitting the bag of words", len(CS) + 1) as advance:
        vectors, x = _vectors(joined["train"], pairs)
        x_validation = vectors.transform(joined["validation"])
        for c in CS:
            scores[c] = float(_fit(c, x, labels["train"]).score(x_validation, labels["validation"]))
            advance()
        best = max(scores, key=lambda c: scores[c])
        vectors, x = _vectors(joined["train"] + joined["validation"], pairs)
        model = _fit(best, x, np.concatenate([labels["train"], labels["validation"]]))
        advance()
    share = np.clip(model.predict_proba(vectors.transform(joined["test"])), 1e-12, 1)
    truth = labels["test"]
    loss = -np.log(share[np.arange(len(truth)), truth]).astype(np.float32)
    found = Evaluation(share.argmax(1) == truth, loss)
    about = {"artifact": _name(pairs), "workload": task.digest, "conditions": {"C": best, "pairs": pairs}}
    return Result(found.accuracy(**about), best, {f"{c:g}": score for c, score in scores.items()}, x.shape[1])


def _name(pairs: bool) -> str:
    return "TF-IDF logistic regression" + (", words and pairs" if pairs else ", words")


def _fit(c: float, x: Any, y: Any) -> Any:
    return LogisticRegression(C=c, max_iter=1000).fit(x, y)


def _vectors(texts: list[str], pairs: bool) -> tuple[Any, Any]:
    vectors = TfidfVectorizer(analyzer=_pairs if pairs else str.split, min_df=2, sublinear_tf=True)
    return vectors, vectors.fit_transform(texts)


def _pairs(joined: str) -> list[str]:
    words = joined.split()
    return words + [f"{a} {b}" for a, b in itertools.pairwise(words)]


def _texts(task: reviews.TextTask, split: Split) -> list[str]:
    return [" ".join(task.words(split, index)) for index in range(task.size(split))]


def _labels(task: reviews.TextTask, split: Split) -> Any:
    return task.labels_N[task.rows[split]].numpy()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
