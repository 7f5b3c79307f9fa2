"""A network and its task from an artifact, and weights to a file: safetensors, nothing that unpickles.

    model = open_model(artifact.open("runs/20261120-train-3fa9c1d2"))
    logits_BK = model(**inputs)

The artifact's manifest names the network and its settings; the file brings the numbers. Both may come
from anywhere, so the network is first built without memory and compared with the file's header: what
is allocated is then no larger than the file. This file does not know any network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from netwright.core import recipe, table, workload
from netwright.core.artifact import Artifact, replace_file
from netwright.core.error import UserError
from netwright.core.workload import Workload
from netwright.data import TASKS, tasks
from netwright.data.tasks import Input, Task
from netwright.models import MODELS, quantized, resized

WEIGHTS = "weights.safetensors"
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_DTYPES |= {"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}


def open_model(artifact: Artifact) -> nn.Module:
    """The network of an artifact of format "torch", in evaluation mode, on the CPU.

    Raises UserError when the format is another, or the file's tensors are not the network's.
    """
    if artifact.format != "torch":
        raise UserError(
            "artifact", str(artifact.folder), f'a network is rebuilt from format "torch", not "{artifact.format}"',
            "give the artifact this one was made from (its parents stand in artifact.json)",
        )  # fmt: skip
    path = artifact.path(WEIGHTS)
    with torch.device("meta"):
        outline = build(artifact)
    _compare(path, {name: (tuple(x.shape), x.dtype) for name, x in outline.state_dict().items()})
    if resized.KEY in artifact.model:  # at its full size it might not fit
        outline.load_state_dict(load_file(path), strict=True, assign=True)
        fill_buffers(outline, artifact.model["name"])
        left = [name for name, x in outline.named_buffers() if x.is_meta]
        if left:
            raise _broken(artifact, f"{left[0]} is in no file, so the network cannot be built smaller")
        return outline.eval()
    with torch.random.fork_rng(devices=[]):  # building draws random numbers, which are the caller's
        model = build(artifact)
    model.load_state_dict(load_file(path), strict=True)
    return model.eval()


def fill_buffers(model: nn.Module, name: str) -> None:
    """Compute the buffers that no file holds, of a network that was built without memory; `name` is its table's."""
    module = table.resolve(MODELS, name, "model.name", "netwright.models")
    for buffer, make in getattr(module, "BUFFERS", {}).items():
        setattr(model, buffer, make(model.config))


def open_task(artifact: Artifact) -> Task:
    """The task an artifact was trained on. Raises UserError when its data are no longer the same."""
    stated = {key: value for key, value in artifact.task.items() if key not in ("classes", "digest")}
    section = {key: value for key, value in stated.items() if value is not None}  # TOML has no word for None
    if artifact.processor.get("kind") == "tokens":  # it brings its own
        section["tokenizer"] = str(artifact.folder)
    config = recipe.config_of(TASKS, section, "task")
    if "classes" in {field.name for field in dataclasses.fields(config)}:  # a count there, a list of names here
        section["classes"] = len(artifact.task["classes"])
    task = tasks.open_task(recipe.build(config, section, "task"))
    stated_inputs = {name: (x.shape, x.dtype) for name, x in inputs_of(artifact).items()}
    if stated_inputs != {name: (x.shape, x.dtype) for name, x in task.inputs.items()}:
        raise _broken(artifact, f"its inputs are not those of the task {task.name}")
    if artifact.task.get("digest", task.digest) != task.digest:
        raise UserError(
            "task", task.name, "its data or settings are no longer those that this artifact was trained on",
            "train again, or fetch the data it names",
        )  # fmt: skip
    return task


def save_model(model: nn.Module, folder: Path) -> Path:
    """Write a network's parameters and buffers as `weights.safetensors`; returns its path."""
    tensors = {name: x.detach().to("cpu").contiguous().clone() for name, x in model.state_dict().items()}
    path = folder / WEIGHTS
    replace_file(path, lambda draft: save_file(tensors, draft))
    return path


def save(model: nn.Module, task: Task, work: Workload, folder: Path) -> None:
    """Write what an artifact of format "torch" consists of: the weights, the work, the task's processor."""
    save_model(model, folder)
    workload.write(work, folder)
    task.write_processor(folder)


def inputs_of(artifact: Artifact) -> dict[str, Input]:
    """The inputs as the manifest states them. Raises UserError for what is no input."""
    return {name: _input(artifact, name, stated) for name, stated in artifact.inputs.items()}


def build(artifact: Artifact) -> nn.Module:
    """The network that an artifact's manifest describes, freshly initialized."""
    classes = artifact.task.get("classes")
    if not isinstance(classes, list) or not (classes or "positions" in artifact.inputs):
        raise _broken(artifact, "its task section lists no classes")
    module = table.resolve(MODELS, artifact.model["name"], "model.name", "netwright.models")
    settings = {key: value for key, value in artifact.model.items() if key not in (resized.KEY, quantized.KEY)}
    config = recipe.build(module.Config, settings, "model")
    model: nn.Module = module.build(config, inputs_of(artifact), len(classes))
    if resized.KEY in artifact.model:
        resized.resize(model, artifact.model[resized.KEY])
    if quantized.KEY in artifact.model:
        quantized.quantize(model, artifact.model[quantized.KEY])
    return model


def _compare(path: Path, wanted: Mapping[str, tuple[tuple[int, ...], torch.dtype]]) -> None:
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            found = {name: (tuple(x.get_shape()), x.get_dtype()) for name, x in slices.items()}
    except (SafetensorError, OSError) as fault:
        raise UserError("file", str(path), f"not safetensors: {fault}", "make or fetch it again") from None
    faults = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    faults += [f"{name} is not in the network" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        (shape, dtype), (has_shape, code) = wanted[name], found[name]
        has = _DTYPES.get(str(code), str(code))
        if has_shape != shape or f"torch.{has}" != str(dtype):
            faults.append(f"{name} is {has} {list(has_shape)}, the network's is {str(dtype)[6:]} {list(shape)}")
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise UserError(
            "file", str(path), "; ".join(faults[:3]) + more, "give the artifact that the weights were saved with"
        )


def _input(artifact: Artifact, name: str, stated: Any) -> Input:
    if not isinstance(stated, Mapping) or stated.keys() - {"shape", "dtype", "vocabulary", "longest"}:
        raise _broken(artifact, f"its input {name} has no shape and dtype")
    shape, dtype = stated.get("shape"), stated.get("dtype")
    vocabulary, longest = stated.get("vocabulary", 0), stated.get("longest", 0)
    sizes = shape if isinstance(shape, (list, tuple)) else [0]
    if not all(size is None or (type(size) is int and 0 < size < 2**31) for size in sizes):
        raise _broken(artifact, f"its input {name} has shape {shape}")
    if dtype not in ("float32", "int64", "bool"):
        raise _broken(artifact, f"its input {name} has dtype {dtype}")
    if not all(type(number) is int and 0 <= number < 2**31 for number in (vocabulary, longest)):
        raise _broken(artifact, f"its input {name} has vocabulary {vocabulary}, longest {longest}")
    return Input(tuple(sizes), dtype, vocabulary, longest)


def _broken(artifact: Artifact, why: str) -> UserError:
    return UserError("artifact", str(artifact.folder), why, "make it again, or copy it again from where it was made")
