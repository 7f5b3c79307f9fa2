"""Where the time of a call goes: by layer, as the runtime itself counts it, under this machine's roofs.

    found = profile(artifact, task, Config(batch=1))
    found.layers[0].name, found.layers[0].share, found.layers[0].bound

PyTorch's layers are timed by hooks, OpenVINO's and ONNX Runtime's by their own counters; exports call operators by the
network's layers, so that all three speak of the same. FLOPs and bytes of a layer are those of its shapes. A layer is
bound by compute where its FLOPs take longer at this machine's measured rate than its bytes at its measured bandwidth
(Williams et al. 2009), and by neither where it reaches less than `IDLE` of both. It does not know how an artifact was
made.
"""

from __future__ import annotations

import json
import re
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from netwright import export
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.measurement import readable
from netwright.core.recipe import Range
from netwright.core.run import progress
from netwright.core.workload import BYTES
from netwright.hardware import detect
from netwright.measure.bench import Config as Bench
from netwright.measure.bench import draw, threads_of

if TYPE_CHECKING:
    from netwright.data.tasks import Task
    from netwright.hardware.device import Device

IDLE = 0.1
"""Share of both roofs below which a layer is bound by something else: starting it, or its code."""
BETWEEN = "between layers"
"""What a call takes beyond its layers."""
HEAVY = 0.1
"""Share of the time from which a layer is worth making smaller."""
CALLS = 30
_FOLDED = {"BatchNormalization", "Relu", "Clip"}
"""What ONNX Runtime folds into the layer before it."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which calls are profiled."""

    batch: Annotated[int, Range(1, 1_000_000)] = 1
    threads: Annotated[int, Range(0, 4096)] = 1
    """0: as many as this process may use."""
    calls: Annotated[int, Range(3, 100_000)] = CALLS
    seed: Annotated[int, Range(0, 2**31)] = 0


@dataclass(frozen=True)
class Layer:
    """One layer: the median of its seconds in a call, and how near it comes to this machine's roofs.

    `flops` and `bytes` are 0 where nobody can tell; `reached` is the share of the roof that binds it.
    """

    name: str
    kind: str
    seconds: float
    share: float
    flops: float
    bytes: float
    output_bytes: float
    precision: str
    bound: Literal["compute", "bandwidth", "neither", ""]
    reached: float


@dataclass(frozen=True)
class Change:
    """Something that would help: how many seconds of a call it would save at most, and why."""

    what: str
    seconds: float
    why: str


@dataclass(frozen=True)
class Profile:
    """A profiled call: its layers, the slowest first, and what would help most."""

    artifact: str
    name: str
    seconds: float
    layers: tuple[Layer, ...]
    changes: tuple[Change, ...]
    conditions: Mapping[str, Any]


def profile(artifact: Artifact, task: Task, config: Config | None = None, trace: Path | None = None) -> Profile:
    """Profile one artifact; `trace` is where a trace for chrome://tracing goes, of PyTorch alone.

    Raises UserError for a format that has no counters.
    """
    config = config or Config()
    threads = threads_of(Bench(threads=config.threads))
    inputs = [dict(one) for one in draw(task, config.batch, config.seed)]
    counters = {"torch": _torch, "onnx": _onnx, "openvino": _openvino}
    if artifact.format not in counters:
        raise UserError(
            "artifact", artifact.name, f"profiles are of the formats {', '.join(counters)}", "netwright export --help"
        )
    with progress(f"profiling {artifact.format}", config.calls) as advance:
        whole, seen, kinds = counters[artifact.format](artifact, inputs, threads, config.calls, advance, trace)
    here, sizes = detect.machine(), shapes(artifact, task, config.batch)
    rows = [
        _layer(name, kinds[name], statistics.median(times), whole, sizes.get(name), artifact, here, threads)
        for name, times in seen.items()
    ]
    rest = whole - sum(row.seconds for row in rows)
    if rest > 0:
        rows.append(Layer(BETWEEN, "", rest, rest / whole, 0, 0, 0, "", "", 0))
    layers = tuple(sorted(rows, key=lambda row: -row.seconds))
    about = {"batch": config.batch, "threads": threads, "calls": config.calls, "format": artifact.format}
    return Profile(
        artifact.digest, artifact.name, whole, layers, changes(layers, whole, artifact, here, config.batch), about
    )


def changes(
    layers: tuple[Layer, ...], whole: float, artifact: Artifact, here: Device, batch: int
) -> tuple[Change, ...]:
    """The three changes that would save most of a call, at most as much as is said."""
    found = []
    named = [row for row in layers if row.name != BETWEEN]
    rest = sum(row.seconds for row in layers if row.name == BETWEEN)
    idle = rest + sum(row.seconds for row in named if row.bound == "neither")
    if artifact.format == "torch":
        why = "a runtime fuses operators; here time goes between layers, and into starting them"
        found.append(Change("netwright export --format openvino", idle, why))
    fast, now = here.rates.get("int8"), here.rates.get("fp32")
    if fast and now and artifact.precision != "int8":
        why = f"INT8 multiplies {fast / now:.1f} times as fast as FP32 here, and moves a quarter"
        saved = sum(_saved_by_int8(row, here.rates.get(row.precision, now) / fast) for row in named if row.flops)
        found.append(Change("netwright compress --method int8", saved, why))
    heavy = [row for row in named if row.flops and row.share > HEAVY]
    names = ", ".join(row.name for row in heavy[:3]) + (" and others" if len(heavy) > 3 else "")
    halved = 0.5 * sum(row.seconds for row in heavy)
    found.append(Change('netwright compress --method "prune keep=0.5"', halved, f"half of the work of {names}"))
    if batch == 1 and idle > 0.2 * whole:
        why = "starting costs the same for eight items as for one; what is said is an item's share of eight"
        found.append(Change("more items in a call, where they need not be answered at once", idle * 7 / 8, why))
    capped = [replace(one, seconds=min(one.seconds, whole)) for one in found if one.seconds > 0]  # counters cost time
    return tuple(sorted(capped, key=lambda one: -one.seconds)[:3])


def _saved_by_int8(row: Layer, ratio: float) -> float:
    """Seconds that INT8 saves of a layer at most: by its arithmetic, or by what it moves."""
    if row.bound == "compute":
        return row.seconds * (1 - min(1.0, ratio))
    return row.seconds * (1 - 1 / BYTES[row.precision]) if row.bound == "bandwidth" else 0.0


def shapes(artifact: Artifact, task: Task, batch: int) -> dict[str, tuple[float, float, float]]:
    """Layer -> FLOPs, bytes of weights and both sides, bytes of what it answers, from a pass without memory."""
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    from netwright.models import load, quantized

    off_grid = {key: value for key, value in artifact.model.items() if key != quantized.KEY}  # of the same shapes
    with torch.device("meta"):
        model = load.build(replace(artifact, model=off_grid)).eval()
    found: dict[str, tuple[float, float, float]] = {}
    counter = FlopCounterMode(display=False)
    handles = []
    for name, module in model.named_modules():
        if any(True for _ in module.children()):
            continue

        def before(module: nn.Module, inputs: Any) -> None:
            module._counted = counter.get_total_flops()  # type: ignore[assignment]

        def after(module: nn.Module, inputs: Any, answer: Any, name: str = name) -> None:
            sides = [x for x in (*inputs, answer) if isinstance(x, torch.Tensor)]
            weights = sum(p.numel() for p in module.parameters()) * BYTES[_stored(artifact)]
            flops = float(counter.get_total_flops() - module._counted)  # type: ignore[operator]
            moved = float(sum(x.numel() * x.element_size() for x in sides)) + weights
            found[name] = (flops, moved, float(answer.numel() * answer.element_size()))

        handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    example = {name: x.to("meta") for name, x in task.example(batch).items()}
    try:
        with torch.no_grad(), counter:
            model(**example)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _stored(artifact: Artifact) -> str:
    kind = artifact.precision.removesuffix("-weights").removesuffix("-dynamic")
    return kind if kind in BYTES else "fp32"


def _layer(
    name: str, kind: str, seconds: float, whole: float, size: tuple[float, float, float] | None,
    artifact: Artifact, here: Device, threads: int,
) -> Layer:  # fmt: skip
    flops, moved, answered = size or (0.0, 0.0, 0.0)
    precision = "int8" if artifact.precision == "int8" else "bf16" if artifact.precision in ("bf16", "fp16") else "fp32"
    share = min(1.0, threads / detect.usable_threads())  # rates were measured with all threads
    bound: Literal["compute", "bandwidth", "neither", ""] = ""
    reached = 0.0
    if size is not None and seconds > 0:
        at_compute = flops / (here.rate(precision).flops * share) / seconds
        at_bandwidth = moved / here.bandwidth / seconds
        reached = max(at_compute, at_bandwidth)
        bound = "neither" if reached < IDLE else "compute" if at_compute >= at_bandwidth else "bandwidth"
    return Layer(
        name, kind, seconds, seconds / whole, flops, moved, answered, precision if flops else "", bound, reached
    )


Seen = tuple[float, dict[str, list[float]], dict[str, str]]
"""Median seconds of a call, seconds by layer of each call, kinds of layers."""


def _torch(artifact: Artifact, inputs: list[Any], threads: int, calls: int, advance: Any, trace: Path | None) -> Seen:
    import torch
    from torch import nn

    from netwright.models import load

    model = load.open_model(artifact)
    seen: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    begun: dict[str, float] = {}
    handles = []
    annotate = torch.profiler.itt.is_available()  # ranges for Intel VTune, where torch was built with them
    for name, module in model.named_modules():
        if any(True for _ in module.children()):
            continue
        kinds[name] = type(module).__name__

        def before(module: nn.Module, given: Any, name: str = name) -> None:
            if annotate:
                torch.profiler.itt.range_push(name)
            begun[name] = time.perf_counter()

        def after(module: nn.Module, given: Any, answer: Any, name: str = name) -> None:
            seen.setdefault(name, []).append(time.perf_counter() - begun[name])
            if annotate:
                torch.profiler.itt.range_pop()

        handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    tensors = [{name: torch.from_numpy(np.array(x)) for name, x in one.items()} for one in inputs]
    before_threads = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            for at in range(calls + 3):
                if at == 3:
                    seen.clear()
                model(**tensors[at % len(tensors)])
                if at >= 3:
                    advance()
            for handle in handles:
                handle.remove()
            if trace is not None:
                with torch.profiler.profile(record_shapes=True, profile_memory=True) as recorded:
                    for one in tensors[:3]:
                        model(**one)
                recorded.export_chrome_trace(str(trace))
    finally:
        torch.set_num_threads(before_threads)
    return _whole(export.open(artifact, threads), inputs, calls), _by_call(seen, calls), kinds


def _by_call(seen: dict[str, list[float]], calls: int) -> dict[str, list[float]]:
    """Of a layer that is called several times in a call, the sum."""
    found = {}
    for name, times in seen.items():
        each = max(1, len(times) // calls)
        found[name] = [sum(times[at : at + each]) for at in range(0, each * calls, each)]
    return found


def _openvino(
    artifact: Artifact, inputs: list[Any], threads: int, calls: int, advance: Any, trace: Path | None
) -> Seen:

    from netwright.export import openvino as format

    model = format.load(artifact)
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    hint = format.HINTS[artifact.precision]
    compiled = format.core().compile_model(
        model, "CPU", {**settings, "INFERENCE_PRECISION_HINT": hint, "PERF_COUNT": True}
    )
    request = compiled.create_infer_request()
    fused = _fused(compiled.get_runtime_model(), artifact)
    seen: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for at in range(calls + 3):
        request.infer(inputs[at % len(inputs)], share_inputs=True)
        if at < 3:
            continue
        for one in request.profiling_info:
            took = one.real_time.total_seconds()
            if took > 0:
                name = fused.get(one.node_name, one.node_name)
                seen.setdefault(name, []).append(took)
                kinds[name] = one.node_type
        advance()
    return _whole(export.open(artifact, threads), inputs, calls), _padded(seen, calls), kinds


def _fused(runtime_model: Any, artifact: Artifact) -> dict[str, str]:
    """Node that runs -> the layer of the network that is in it."""
    known = _layers(artifact)
    found = {}
    for node in runtime_model.get_ordered_ops():
        info = node.get_rt_info()
        inside = info["originalLayersNames"].astype(str).split(",") if "originalLayersNames" in info else []
        name = next((one for one in inside if one in known), None)
        if name is not None:
            found[node.get_friendly_name()] = name
    return found


def _folded(model: Any, known: set[str]) -> dict[str, str]:
    """Name of a tensor -> the layer that ends in it once what follows a layer is folded into it."""
    found: dict[str, str] = {}
    for node in model.graph.node:
        layer = node.name if node.name in known else found.get(node.input[0]) if node.op_type in _FOLDED else None
        if layer is not None:
            found |= dict.fromkeys(node.output, layer)
    return found


def _layers(artifact: Artifact) -> set[str]:
    """Names of the network's layers."""
    import torch

    from netwright.models import load

    with torch.device("meta"):
        return {name for name, _ in load.build(artifact).named_modules()}


def _onnx(artifact: Artifact, inputs: list[Any], threads: int, calls: int, advance: Any, trace: Path | None) -> Seen:
    import onnxruntime

    from netwright.export import onnx as format

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level, options.enable_profiling = 4, True
    seen: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        model = format.load(artifact)
        fused = _folded(model, _layers(artifact))
        content = model.SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        for at in range(calls + 3):
            session.run(None, inputs[at % len(inputs)])
            if at >= 3:
                advance()
        events = json.loads(Path(session.end_profiling()).read_text())
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = re.sub(r"(_nchwc|_token_\d+)*$", "", event["name"].removesuffix("_kernel_time"))
            name = fused.get(name, name)
            seen.setdefault(name, []).append(event["dur"] / 1e6)
            kinds[name] = event["args"].get("op_name", "")
    last = {name: times[3 * max(1, len(times) // (calls + 3)) :] for name, times in seen.items()}
    return _whole(export.open(artifact, threads), inputs, calls), _by_call(last, calls), kinds


def _whole(runner: Any, inputs: list[Any], calls: int) -> float:
    """Median seconds of a call without any counter."""
    times = []
    for at in range(calls + 3):
        begin = time.perf_counter()
        runner(inputs[at % len(inputs)])
        times.append(time.perf_counter() - begin)
    return statistics.median(times[3:])


def _padded(seen: dict[str, list[float]], calls: int) -> dict[str, list[float]]:
    """A node whose counter read zero in a call took less than its resolution."""
    return {name: [*times, *[0.0] * (calls - len(times))] for name, times in seen.items()}


def told(one: Profile) -> str:
    """A line of how near the call is to this machine's roofs."""
    flops = sum(row.flops for row in one.layers)
    return f"{readable(one.seconds, 's')} a call, {readable(flops / one.seconds, 'FLOP/s')}"
