"""Exchanges between devices of one node: collectives (NCCL, kernels of engines) and tokens sent to their experts.

    columns, refused = read(folder)
    described = describe(columns, Specs.of(columns["device"], devices))

Time is that of messages, alpha + bytes / bandwidth (Hockney 1994), with the bytes that leave a device by ring or direct
exchange (Thakur et al. 2005): 2 (n - 1) / n of the message for an all-reduce of n devices, (n - 1) / n for all-gather,
reduce-scatter and all-to-all. Devices without a link of their own share that to the host. It does not know the
switches between devices, the algorithm a library picks, nor more than one node.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from netwright.predict import physics
from netwright.predict.learning.table import Columns, Described, Floats, Specs, Texts
from netwright.predict.suites import kernels

NAME = "collective"
QUANTITY = "latency"
REGIMES = ("start", "log time")
PARAMS = {"num_iterations": 80, "num_leaves": 8, "min_data_in_leaf": 100}
SPLITS = kernels.SPLITS
START, STEP = 3.4e-6, 2e-6
"""s to start, and for each message that waits for another (NCCL's rings)."""
DIRECT = 3.1e-6
"""s to start a kernel in which devices read each other's memory."""
EAGER = 40e-6
"""s that the host takes without a graph."""
FILL = 55e-6
"""s until links carry their full rate: small messages take up to twice as long, large ones so much more."""
REACHED = 0.68
"""Share of a link's rate that large messages reach."""
SHARED = 0.6
"""Over the host's links instead: this share for two devices, and for n of them, (2 / n)^0.4 of it. From one device."""
PER_UNIT = 8.0
"""Bytes a cycle that one unit of a chip sends, where only some units do (DeepEP)."""
NODE, SUPERCHIP = 8.0, 4.0
"""Devices of a node where a row does not say; of those that share a board with their processor, four."""
SIZE = {"half": 2.0, "float16": 2.0, "bfloat16": 2.0, "int8": 1.0, "fp8": 1.0, "float32": 4.0, "float": 4.0}
RING = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0, "alltoall": 1.0}
"""How often each byte but a device's own share leaves it."""
SCALARS = ("gpus", "bytes", "units", "direct", "eager", "steps")
"""Columns that `describe` needs: devices, bytes that leave one of them, units that send (0: all), whether kernels read
each other's memory, whether the host launches them one by one, and messages that wait for another."""


def read(folder: Path) -> tuple[Columns, dict[str, int]]:
    refused: Counter[str] = Counter()
    parts = [_rings(folder, refused), _reductions(folder, refused), _experts(folder, refused)]
    for file, sides in (("wideep_deepep_ll", "avg_t_us"), ("wideep_deepep_normal", "transmit_us")):
        parts += [_deepep(folder, file, side, f"{side}_{sides}", refused) for side in ("dispatch", "combine")]
    names = ("device", "value", "work", "mode", "family", "op", *SCALARS)
    return {name: np.concatenate([part[name] for part in parts]) for name in names}, dict(refused)


def describe(columns: Columns, specs: Specs) -> Described:
    count, sent, units, direct, eager, steps = (columns[name].astype(float) for name in SCALARS)
    chip = physics.Chip.of(specs)
    own = np.where(specs.link > 0, specs.link, specs.host_link)
    through_host = (specs.host_link > 0) & (own <= specs.host_link)
    rate = own * np.where(through_host, SHARED * (2 / np.maximum(count, 2)) ** 0.4, REACHED)
    few = units > 0
    rate = np.where(few, np.minimum(rate, np.maximum(units, 1) * PER_UNIT * chip.clock), rate)
    start = np.where(direct > 0, DIRECT, START) + steps * STEP + physics.launch(chip)
    wire = sent / rate
    wire = wire + FILL * wire / (wire + FILL)
    time = physics.joined(start + wire, EAGER * eager, sharpness=4)
    with np.errstate(divide="ignore", invalid="ignore"):
        told = {
            "log time": np.log2(time / start),
            "start": start / time,
            "devices": np.log2(count),
            "steps": steps,
            "through the host": through_host.astype(float),
            "direct": direct,
            "eager": eager,
            "some units": few.astype(float),
            "units / link": np.where(few, np.log2(units * PER_UNIT * chip.clock / (own * REACHED)), np.nan),
            "link / memory": np.log2(own / chip.memory),
            **{f"op {name}": kernels.contains(columns["op"], name) for name in ("reduce", "gather", "alltoall")},
            **{f"op {name}": kernels.contains(columns["op"], name) for name in ("dispatch", "combine", "prepare")},
            "by tokens": kernels.contains(columns["family"], "experts"),
            "mode sglang": kernels.contains(columns["mode"], "sglang"),
            "mode trtllm": kernels.contains(columns["mode"], "trtllm"),
            "one sided": kernels.contains(columns["mode"], "onesided"),
            "normal": kernels.contains(columns["mode"], "normal"),
        }
        base = np.log(time)
    features = np.stack(list(told.values()), axis=1)
    features[~np.isfinite(features)] = np.nan
    refused = ~np.isfinite(base)
    why = np.where(refused, "no link between devices is known", "").astype(object)
    return Described(
        base=base, features=features, names=tuple(told), monotone=(0,) * len(told), refused=refused, why=why
    )


def roofline(columns: Columns, specs: Specs) -> Floats:
    """Logarithm of the time of the bytes at the link's stated rate, s."""
    own = np.where(specs.link > 0, specs.link, specs.host_link)
    wire: Floats = np.log(np.maximum(columns["bytes"].astype(float), 1.0) / own)
    return wire


def _rings(folder: Path, refused: Counter[str]) -> Columns:
    """NCCL: message sizes are in elements, of what a device ends up with."""
    columns, why = kernels.table(folder, "nccl", numbers=("num_gpus", "message_size"), texts=("op_name", "nccl_dtype"))
    refused += why
    columns = _known(columns, "op_name", RING, refused)
    columns = _known(columns, "nccl_dtype", SIZE, refused)
    columns = kernels.drop(columns, columns["num_gpus"] < 2, refused, "one device exchanges nothing")
    n, op = columns["num_gpus"], columns["op_name"]
    times = _of(op, RING)
    columns["bytes"] = times * columns["message_size"] * _of(columns["nccl_dtype"], SIZE) * (n - 1) / n
    columns["steps"] = np.where(op == "alltoall", 2.0, times * (n - 1))
    columns["work"] = kernels.join(op, columns["nccl_dtype"], n, columns["message_size"])
    columns["mode"] = kernels.join(np.full(len(n), "nccl", dtype=object))
    return _complete(columns, op, n, family="ring")


def _reductions(folder: Path, refused: Counter[str]) -> Columns:
    """All-reduce of engines: once or in two halves, whichever sends less time."""
    texts = ("allreduce_dtype",)
    columns, why = kernels.table(folder, "custom_allreduce", numbers=("num_gpus", "message_size"), texts=texts)
    refused += why
    columns = _known(columns, "allreduce_dtype", SIZE, refused)
    columns = kernels.drop(columns, columns["num_gpus"] < 2, refused, "one device exchanges nothing")
    n, source = columns["num_gpus"], columns["kernel_source"]
    columns["bytes"] = 2 * columns["message_size"] * _of(columns["allreduce_dtype"], SIZE) * (n - 1) / n
    columns["eager"] = kernels.contains(source, "eager")
    columns["direct"] = np.ones(len(n))
    columns["work"] = kernels.join(
        np.full(len(n), "all_reduce"), columns["allreduce_dtype"], n, columns["message_size"]
    )
    columns["mode"] = kernels.join(columns["engine"], np.where(columns["eager"] > 0, "eager", "graph"))
    return _complete(columns, np.full(len(n), "all_reduce", dtype=object), n, family="custom all_reduce")


def _experts(folder: Path, refused: Counter[str]) -> Columns:
    """Tokens to their experts and back, within a rack of linked devices (TensorRT-LLM)."""
    numbers = ("num_tokens", "hidden_size", "topk", "num_experts", "moe_ep_size")
    columns, why = kernels.table(folder, "trtllm_alltoall", numbers=numbers, texts=("op_name", "moe_dtype"))
    refused += why
    columns = kernels.known_format(columns, "moe_dtype", refused)
    tokens, width, topk, _, n = (columns[name] for name in numbers)
    op = columns["op_name"]
    narrow = (kernels.contains(op, "dispatch") + kernels.contains(op, "low_precision")) > 0
    each = np.where(narrow, kernels.of_format(columns["moe_dtype"], "activation").astype(float), 2.0)
    leaving = n * -np.expm1(topk * np.log1p(-1 / np.maximum(n, 1.0001))) * (n - 1) / n
    columns["bytes"] = np.where(op == "alltoall_prepare", 16.0 * tokens * topk, tokens * width * leaving * each)
    columns["direct"] = np.ones(len(n))
    columns["steps"] = np.full(len(n), 6.0)
    columns["work"] = kernels.join(op, columns["moe_dtype"], *(columns[name] for name in numbers))
    columns["mode"] = kernels.join(columns["engine"], columns["kernel_source"])
    return _complete(columns, op, n, family="experts")


def _deepep(folder: Path, file: str, side: str, value: str, refused: Counter[str]) -> Columns:
    """Tokens to their experts and back by DeepEP within a node: bytes of 8 bit there, of 16 bit back."""
    numbers = ("hidden_size", "num_token", "num_topk", "num_experts", "node_num")
    columns, why = kernels.table(
        folder, file, numbers=numbers, zero=(f"{side}_sms",), texts=("op_name",), value=value, scale=1e-6
    )
    refused += why
    columns = kernels.drop(columns, columns["node_num"] > 1, refused, "more than one node")
    width, tokens, topk, _, nodes = (columns[name] for name in numbers)
    n = nodes * np.where(kernels.contains(columns["device"], "gb200", "gb300") > 0, SUPERCHIP, NODE)
    each = 1 + 4 / 128 if side == "dispatch" else 2.0
    leaving = n * -np.expm1(topk * np.log1p(-1 / n))
    columns["bytes"] = tokens * width * leaving * each
    columns["units"] = columns[f"{side}_sms"]
    columns["direct"] = np.ones(len(n))
    columns["steps"] = np.full(len(n), 12.0)
    op = np.full(len(n), side, dtype=object)
    columns["work"] = kernels.join(op, *(columns[name] for name in numbers), columns["units"])
    columns["mode"] = kernels.join(np.full(len(n), "deepep"), columns["op_name"])
    return _complete(columns, op, n, family="experts")


def _complete(columns: Columns, op: Texts, count: Floats, *, family: str) -> Columns:
    """With every column that `describe` needs."""
    columns |= {"op": op, "gpus": count, "family": np.full(len(count), family, dtype=object)}
    return {name: np.zeros(len(count)) for name in SCALARS} | columns


def _known(columns: Columns, column: str, names: dict[str, float], refused: Counter[str]) -> Columns:
    for name in sorted(set(map(str, columns[column])) - set(names)):
        columns = kernels.drop(columns, columns[column] == name, refused, f"{column} {name or '(none)'} is unknown")
    return columns


def _of(names: Texts, numbers: dict[str, float]) -> Floats:
    distinct, place = kernels.coded(names)
    return np.array([numbers[name] for name in distinct])[place] if len(names) else np.zeros(0)
