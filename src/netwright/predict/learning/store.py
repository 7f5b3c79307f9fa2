"""Fitted predictors on disk: one file, versioned, opened in milliseconds; the one that ships, and one's own.

    save(fitted, path); load(path)

A file holds NumPy arrays and a JSON text, nothing that runs when it is opened. The predictor in use is
the user's promoted one where there is one, else the one that ships in predict/fitted/. This file does not fit.
"""

from __future__ import annotations

import functools
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from netwright.core import artifact, recipe
from netwright.core.error import UserError, did_you_mean
from netwright.core.table import resolve
from netwright.predict.learning.calibration import Prior
from netwright.predict.learning.effects import Effects
from netwright.predict.learning.hybrid import Fitted
from netwright.predict.learning.residual import Trees
from netwright.predict.learning.table import Suite, as_suite
from netwright.predict.suites import SUITES

SHIPPED = Path(__file__).parents[1] / "fitted"
FORMAT = 1
MOST_BYTES = 50_000_000


def save(fitted: Mapping[str, Fitted], path: Path, about: Mapping[str, Any] | None = None) -> str:
    """Write fitted suites into one file, atomically; returns its version, a digest of its content."""
    arrays: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    for name, one in fitted.items():
        texts[name] = {}
        for field in fields(Fitted):
            value = getattr(one, field.name)
            key = f"{name}.{field.name}"
            if isinstance(value, Trees):
                arrays |= value.arrays(key)
            elif isinstance(value, np.ndarray):
                arrays[key] = value
            else:
                texts[name][field.name] = recipe.plain(value)
    version = recipe.digest({"suites": texts, "arrays": {k: _sum(v) for k, v in sorted(arrays.items())}})[:12]
    told = {"format": FORMAT, "version": version, "suites": texts, **(about or {})}
    arrays["about"] = np.frombuffer(json.dumps(told).encode(), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    artifact.replace_file(path, lambda draft: _write(draft, arrays))
    return version


def load(path: Path) -> tuple[dict[str, Fitted], dict[str, Any]]:
    """The fitted suites of a file, and what it says of itself. Raises UserError for a file that is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES / 1e6:.0f} MB")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            arrays = dict(kept)
        told = json.loads(bytes(arrays.pop("about")))
        if told["format"] != FORMAT:
            raise ValueError(f"format {told['format']}, not {FORMAT}")
        return {name: _fitted(name, texts, arrays) for name, texts in told["suites"].items()}, told
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as fault:
        raise UserError(
            "predictor", str(path), f"no fitted predictor: {fault}", "netwright predict fit FOLDER"
        ) from None


def _fitted(name: str, texts: Mapping[str, Any], arrays: Mapping[str, Any]) -> Fitted:
    values: dict[str, Any] = {}
    for field in fields(Fitted):
        key = f"{name}.{field.name}"
        if field.name in ("trees", "spread"):
            values[field.name] = Trees.from_arrays(arrays, key)
        elif field.name == "effects":
            values["effects"] = Effects(texts["effects"]["tables"])
        elif field.name == "prior":
            values["prior"] = Prior(**{**texts["prior"], "slopes": tuple(texts["prior"]["slopes"])})
        elif key in arrays:
            values[field.name] = arrays[key]
        else:
            value = texts[field.name]
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return Fitted(**values)


def folder() -> Path:
    """Where one's own predictors lie: NETWRIGHT_CACHE, or the platform's folder for data."""
    own = os.environ.get("NETWRIGHT_CACHE")
    return Path(own) / "predictors" if own else Path(platformdirs.user_data_dir("netwright")) / "predictors"


def in_place() -> Path:
    """The file in use: the promoted one, else the one that ships."""
    promoted = folder() / "promoted.npz"
    return promoted if promoted.is_file() else SHIPPED / "predictor.npz"


def suite(name: str) -> Suite:
    """The suite of that name. Raises UserError with the nearest name."""
    if name not in SUITES:
        raise UserError("suite", name, did_you_mean(name, SUITES), "netwright predict --help")
    return as_suite(resolve(SUITES, name, "suite"))


@functools.cache
def current() -> tuple[dict[str, Fitted], dict[str, Any]]:
    """The predictor in use, opened once a process."""
    return load(in_place())


def _write(draft: Path, arrays: Mapping[str, Any]) -> None:
    with draft.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _sum(values: Any) -> str:
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
