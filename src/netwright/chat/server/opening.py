"""What a server opens: of a network its OpenVINO export, which reads all replies together, where that is installed.

    volumes = prepared(config, Path("runs"))      # imports what is only a name, exports what is to be exported

Every file is checked against its manifest when a model is opened, not before.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from netwright.chat import choice, opening, trial
from netwright.chat.batch import Batch
from netwright.chat.candidate import USUAL, Row, passes
from netwright.chat.server.settings import Config
from netwright.chat.server.shelf import Volume
from netwright.core import artifact as artifacts
from netwright.core import workload
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.data.tokenizer import Tokenizer
from netwright.export.decoding.paged import MEMORY
from netwright.hardware import detect
from netwright.study import stages

DEFAULT = "smollm2-135m-instruct"
WORKING = 1.25
"""Bytes in memory over bytes of the files: a runtime packs weights anew, and has buffers."""
PROGRAM = 100_000_000
"""Bytes that a runtime takes whatever the model is."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def prepared(config: Config, runs: Path) -> dict[str, Volume]:
    """The models of a server by their ids. Raises UserError for a name that nobody knows, and for two of one id."""
    volumes: dict[str, Volume] = {}
    for told in config.models or (DEFAULT,):
        id, place = named(told)
        if id in volumes:
            raise UserError("serve.models", told, f"two models are called {id}", f"{id}-2={place}")
        found = served(place, runs)
        folder, precision = found.folder, found.precision
        volumes[id] = Volume(
            partial(_opened, folder, precision, config), partial(_need, folder), _made(folder),
            functools.cache(partial(about, found, config)), folder,
        )  # fmt: skip
    return volumes


@dataclass(frozen=True)
class Served:
    """The folder of the artifact that answers, what it computes in, and what was measured of it, if anything."""

    folder: Path
    precision: str | None = None
    row: Row | None = None


def about(found: Served, config: Config) -> dict[str, Any]:
    """What a person wants to know of a model before choosing it; empty where its folder is broken."""
    try:
        artifact = artifacts.read(found.folder)
        tokenizer = Tokenizer.read(found.folder, artifact.processor)
        parameters = workload.read(found.folder).parameters
    except (UserError, OSError):
        return {}
    row = found.row
    speed = None if row is None else {"value": row.decode, "low": row.decode_low, "high": row.decode_high}
    return {
        "precision": found.precision or artifact.precision,
        "stored": artifact.precision, "engine": artifact.format, "threads": config.threads or detect.usable_threads(),
        "size": artifact.size, "parameters": parameters, "speed": speed, "loss": row.loss if row else None,
        "longest": int(artifact.model["positions"]), "artifact": artifact.digest,
        "template": hashlib.sha256(tokenizer.template.encode("utf-8", "replace")).hexdigest(),
    }  # fmt: skip


def named(told: str) -> tuple[str, str]:
    """The id and the place that ID=PLACE says; without an ID the place's own name."""
    id, equals, place = told.partition("=")
    if not equals:
        id, place = "", told
        parts = [part for part in Path(told).parts if part not in ("artifact", artifacts.MANIFEST, "/", ".", "..")]
        id = parts[-1] if parts else "model"
    if not _ID.fullmatch(id) or not place:
        raise UserError("serve.models", told, "ID=PLACE, an id of letters, digits and . _ : -", "smollm2=PLACE")
    return id, place


def served(place: str, runs: Path) -> Served:
    """What answers for a place: of a network its export to OpenVINO."""
    folder = Path(place)
    found = next((one for one in (folder, folder / "artifact") if (one / artifacts.MANIFEST).is_file()), None)
    if found is not None:
        try:
            told = artifacts.read(found)
        except UserError:
            return Served(found)  # a broken one is told to who asks for it; the others answer
        if told.format != "torch":
            return Served(found)
    try:
        return exported(opening.artifact_of(place, runs), runs)
    except UserError:
        if found is None:
            raise
        return Served(found)


def exported(artifact: Artifact, runs: Path) -> Served:
    """The OpenVINO export that was measured to be the fastest, or a plain one; the network where that cannot be."""
    if artifact.format != "torch" or importlib.util.find_spec("openvino") is None:
        return Served(artifact.folder)
    row = _measured(artifact, runs)
    if row is not None:
        return Served(Path(row.folder), row.computed, row)
    from netwright import export

    return Served(stages.exported(runs, artifact, "openvino", export.Config(examples=trial.FEW)).folder)


def _measured(artifact: Artifact, runs: Path) -> Row | None:
    """What `--explain` measured: the fastest that reads replies together, and keeps its perplexity."""
    found = choice.known(artifact, runs)
    rows = [row for row in found.rows if row.format == "openvino" and row.decode > 0] if found else []
    rows = [row for row in rows if passes(row, USUAL) and Path(row.folder).is_dir()]
    return max(rows, key=lambda row: row.decode, default=None)


def _opened(folder: Path, precision: str | None, config: Config) -> Batch:
    artifact = artifacts.open(folder)
    if artifact.processor.get("kind") != "tokens":
        raise UserError("model", folder.name, "it is no language model", "another model")
    threads = config.threads or detect.usable_threads()
    return opening.opened_together(artifact, threads, precision, long=config.long, streams=config.streams)


def _need(folder: Path) -> int:
    """Bytes that a model takes: its files, and keys and values of the longest text."""
    artifact = artifacts.read(folder)
    return int(WORKING * artifact.size) + PROGRAM + min(MEMORY, cache_bytes(artifact.model))


def cache_bytes(model: Any) -> int:
    """Bytes of keys and values of the longest text, in fp32."""
    heads = model.get("heads") or 1
    width = model.get("head_width") or model.get("width", 0) // heads
    return int(2 * model.get("depth", 0) * (model.get("kv_heads") or heads) * width * 4 * model.get("positions", 0))


def _made(folder: Path) -> int:
    return int((folder / artifacts.MANIFEST).stat().st_mtime)
