"""Post-training quantization: the same network in fewer bits, by whichever engine makes it.

    small = apply(artifact, task, Config(to="int8", format="openvino"), Path("runs/x/artifact"))

It is the exported graph that is quantized, for OpenVINO or ONNX Runtime; `to="int4"`, with integer inputs, and the
engine "netwright" put the network of torch on grids instead (`models.quantized`), on which weights make up for each
other's rounding (`compress.gptq`); any format is then written of it. Layers named in `keep` stay in floating point:
`compress.sensitivity` says which ones hurt. This file does not know the network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from netwright import export
from netwright.compress import calibration, retrain
from netwright.compress.calibration import Examples, Trial
from netwright.compress.engines import CALIBRATED, ENGINES, TRACED
from netwright.compress.engines.nncf import names
from netwright.core import table, workload
from netwright.core.artifact import Artifact, describe
from netwright.core.error import UserError
from netwright.core.recipe import Range, plain
from netwright.core.run import Run, progress
from netwright.export import decoding
from netwright.export.verify import certified

if TYPE_CHECKING:
    from netwright.data.tasks import Task

To = Literal["int8", "int8-dynamic", "int8-weights", "int4-weights", "int4", "bf16", "fp16"]
OWN = "netwright"
BITS: Mapping[str, tuple[int, int]] = {"int8": (8, 8), "int4": (4, 8), "int8-weights": (8, 0), "int4-weights": (4, 0)}
"""What the engine netwright makes -> bits of weights, bits of inputs."""
OF_LANGUAGE = ("int8-weights", "int4-weights", "int8-dynamic", "bf16", "fp16")
"""What is made of language models: static INT8 of their inputs loses what a few large channels hold."""
ROWS = 32
"""Training rows by which INT4 of a language model is settled."""
SMALL = 32
"""Weights of a channel below which it has 8 bits: there is little to win, and first layers hurt most."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is made, by which engine, of which examples, and how the result is checked."""

    name: Literal["quantize"] = "quantize"
    to: To = "int8"
    """int8: weights and activations; int8-dynamic: activations by what each call sees; -weights: these alone."""
    engine: Literal["auto", "nncf", "onnxruntime", "half", "neural-compressor", "netwright"] = "auto"
    format: Literal["openvino", "onnx"] = "openvino"
    """What a torch artifact is exported to first; an exported one keeps its format."""
    samples: Annotated[int, Range(0, 100_000)] = 0
    """Training examples that activations are observed on; 0: as many as it takes for steady answers."""
    group: Annotated[int, Range(8, 4096)] = 64
    """Weights of INT4 that share a step."""
    share: Annotated[float, Range(0, 1)] = 0.0
    """Of language models in OpenVINO: how many of the weights have 4 bits, the others 8; 0: three in ten."""
    keep: tuple[str, ...] = ()
    """Layers that stay in floating point, or have 8 bits of INT4, by their names in the network."""
    sensitive: Annotated[int, Range(0, 10_000)] = 0
    """How many of the layers that hurt most stay in floating point too, or have 8 bits of INT4."""
    slow: bool = False
    """NNCF's slower bias correction, which looks at layers one after another."""
    seed: Annotated[int, Range(0, 2**31)] = 0
    examples: Annotated[int, Range(1, 1_000_000)] = 1000
    """Validation examples of the certificate."""


def apply(
    artifact: Artifact, task: Task, config: Config, folder: Path, run: Run | None = None, *, threads: int = 1
) -> Artifact:
    """A quantized artifact at `folder`, of the artifact's format, with a certificate against its fp32 parent.

    A torch artifact is exported to `config.format` at `folder`-fp32 first; the engine netwright leaves it one of torch,
    on grids. Raises UserError for an artifact that is no fp32 graph, a missing extra, and where no engine makes it.
    """
    check_source(artifact, config)
    config = resolved(artifact, task, chosen(artifact, config))
    if on_torch(config):
        return _on_grids(artifact, task, config, folder)
    if artifact.format == "torch":
        beside = folder.with_name(f"{folder.name}-fp32")
        parent = export.write(artifact, config.format, task, beside, n=config.examples, threads=threads)
        return _file(parent, artifact, task, config, folder, threads)
    return _file(artifact, artifact, task, config, folder, threads)


def _file(artifact: Artifact, network: Artifact, task: Task, config: Config, folder: Path, threads: int) -> Artifact:
    """A quantized file beside one in fp32; `network` is what that was exported of, where it is known."""
    name = engine(config, artifact.format)
    graph, trials = _made(artifact, network, task, config, name, threads)
    module = _format(artifact.format)

    def fill(draft: Path) -> None:
        module.save(graph, artifact, draft)
        if workload.FILE in artifact.files:
            workload.write(work(workload.read(artifact.folder), config.to), draft)

    return certified(
        folder,
        fill,
        artifact,
        task,
        n=config.examples,
        threads=threads,
        format=artifact.format,
        precision=config.to,
        made_by={
            "verb": "compress", **plain(config), "format": artifact.format, "engine": name, "calibration": plain(trials)
        },
    )  # fmt: skip


def check_source(artifact: Artifact, config: Config) -> None:
    """Raises UserError for an artifact that cannot be quantized so, or a missing extra."""
    config = chosen(artifact, config)
    if decoding.generates(artifact) and config.to not in OF_LANGUAGE:
        raise UserError(
            "compress.to", config.to, f"of language models {', '.join(OF_LANGUAGE)} are made", "--method int8-weights"
        )
    if on_torch(config):
        retrain.check_source(artifact, f"quantize to={config.to}")
        if config.to not in BITS:
            raise UserError(
                "compress.engine", OWN, f"it makes {', '.join(BITS)}, not {config.to}", "compress.engine=auto"
            )
        return
    if artifact.precision != "fp32" or artifact.format not in ("torch", "openvino", "onnx"):
        raise UserError(
            "artifact", artifact.name, "quantize takes an fp32 artifact of format torch, openvino or onnx",
            "netwright export ARTIFACT --format openvino",
        )  # fmt: skip
    if config.engine in TRACED and artifact.format != "torch":
        raise UserError(
            "compress.engine", config.engine, f"it quantizes networks of torch, and {artifact.name} is a file",
            "give the one it was made from: its digest stands under parents in artifact.json",
        )  # fmt: skip
    format = config.format if artifact.format == "torch" else artifact.format
    package = table.resolve(ENGINES, engine(config, format), "compress.engine").PACKAGE
    if package:
        table.need(package, f"quantization to {config.to}")
    calibration.check_memory(artifact)


def chosen(artifact: Artifact, config: Config) -> Config:
    """Of language models it is always the file with the cache that is quantized."""
    if not decoding.generates(artifact) or config.engine != "auto" or not on_torch(config) or config.to == "int4":
        return config
    return replace(config, engine="onnxruntime")


def resolved(artifact: Artifact, task: Task, config: Config) -> Config:
    """With the most sensitive layers named in `keep`, measured on the network."""
    if not config.sensitive or config.to not in BITS:
        return config
    from netwright.compress import sensitivity
    from netwright.models.load import open_model

    rows = sensitivity.measured(open_model(artifact), task, BITS[config.to], config.group, seed=config.seed)
    worst = [row.layer for row in rows if row.layer not in config.keep][: config.sensitive]
    return replace(config, keep=(*config.keep, *worst), sensitive=0)


def of_network(config: Any) -> bool:
    """Whether a step begins with the network itself, and not with a file that was exported of it."""
    return getattr(config, "engine", "") in TRACED


def bits(config: Any) -> tuple[int, int]:
    """Bits of weights and of inputs that a step asks for. Raises UserError for one that puts nothing on a grid."""
    to: str = getattr(config, "to", config.name)
    if to not in BITS:
        raise UserError("--method", to, f"one of {', '.join(BITS)}", "--method int8 --sensitivity")
    return BITS[to]


def on_torch(config: Config) -> bool:
    """Whether the network itself is put on grids, and no graph of it quantized."""
    own = config.to == "int4" or (config.to.endswith("-weights") and config.format == "onnx")
    return config.engine == OWN or (config.engine == "auto" and own)


def engine(config: Config, format: str) -> str:
    """Who makes it of this format. Raises UserError where nobody does."""
    makers = [
        name for name in ENGINES if config.to in table.resolve(ENGINES, name, "compress.engine").MAKES.get(format, ())
    ]
    if config.engine in makers:
        return config.engine
    if config.engine != "auto" or not makers:
        who = ", ".join([*makers, *([OWN] if config.to in BITS else [])]) or "nobody"
        raise UserError(
            "compress.engine", config.engine, f"{config.to} of format {format} is made by {who}", "compress.engine=auto"
        )
    return makers[0]


def work(before: workload.Workload, to: str) -> workload.Workload:
    """What is computed afterwards: other arithmetic, or the same with smaller weights to read."""
    kind = {"int8-dynamic": "int8", "int4": "int8"}.get(to, to)
    if kind in workload.BYTES:
        return before.at_dtype(kind)
    return before.with_weights(kind.removesuffix("-weights"))


def _made(
    artifact: Artifact, network: Artifact, task: Task, config: Config, name: str, threads: int
) -> tuple[Any, list[Trial]]:
    """The quantized graph, and what was tried until the calibration was steady."""
    module, format = table.resolve(ENGINES, name, "compress.engine"), _format(artifact.format)
    keep = tuple(_nodes(format.load(artifact), config.keep)) if config.keep else ()

    def quantized(examples: Examples | None) -> Any:
        if name not in TRACED:
            return module.quantized(format.load(artifact), config, examples, keep)
        from netwright.export.trace import trace, traced

        rounding = module.quantized(trace(network), config, examples, config.keep)
        return format.converted(traced(rounding, network), network)

    title = f"quantizing to {config.to}"
    if config.to == "int4-weights" and name == "nncf" and decoding.generates(artifact):
        count = config.samples or ROWS
        with progress(title, min(count, task.size("train"))) as advance:
            return quantized(Examples(task, config.seed, count, advance)), []
    if config.to not in CALIBRATED:
        with progress(title, 1) as advance:
            graph = quantized(None)
            advance()
        return graph, []
    if config.samples:
        with progress(title, min(config.samples, task.size("train"))) as advance:
            return quantized(Examples(task, config.seed, config.samples, advance)), []
    with progress(title, 2 * calibration.MOST) as advance, tempfile.TemporaryDirectory() as folder:

        def make(count: int) -> tuple[Any, calibration.Answer]:
            graph = quantized(Examples(task, config.seed, count, advance))
            return graph, _runner(graph, artifact, Path(folder), threads)

        return calibration.settle(make, export.open(artifact, threads), task)


def _runner(graph: Any, artifact: Artifact, folder: Path, threads: int) -> calibration.Answer:
    """A graph that is not kept, opened as any artifact is."""
    _format(artifact.format).save(graph, artifact, folder)
    files = {path.name: describe(path) for path in folder.iterdir()}
    about = {key: getattr(artifact, key) for key in ("task", "model", "inputs", "processor")}
    passing = Artifact(folder=folder, format=artifact.format, precision="int8", files=files, **about)
    return export.open(passing, threads)


def _nodes(graph: Any, layers: tuple[str, ...]) -> list[str]:
    """Names of the graph's nodes that layers of the network became: exports call them by these."""
    known = names(graph)
    for layer in layers:
        if layer not in known:
            raise UserError("quantize.keep", layer, f"layers: {', '.join(known)}", "quantize.keep=[]")
    return [name for name in known if name.partition(":")[0] in layers]


def _format(name: str) -> Any:
    return table.resolve(export.FORMATS, name, "artifact.format", "netwright.formats")


def _on_grids(artifact: Artifact, task: Task, config: Config, folder: Path) -> Artifact:
    from netwright.compress import gptq
    from netwright.models import quantized
    from netwright.models.load import open_model

    model = open_model(artifact)
    with progress("putting layers on grids", 2, unit="steps") as advance:
        quantized.quantize(model, grids(model, *BITS[config.to], config.group, config.keep, task.example(2)))
        advance(1, "weights")
        count = config.samples or 2 * calibration.FEWEST
        quantized.calibrate(model, Examples(task, config.seed, count).batches(32))
        advance(1, "inputs")
    gptq.settle(model, task.batch("train", Examples(task, config.seed, gptq.examples(task)).indices()).inputs)
    before = workload.read(artifact.folder)
    section = {**artifact.model, quantized.KEY: quantized.stated(model)}
    made_by = {**plain(config), "engine": OWN, "samples": count}
    return retrain.saved(model, artifact, task, folder, work(before, config.to), section, made_by)


def grids(
    model: Any, weights: int, inputs: int, group: int, keep: tuple[str, ...] = (), example: Mapping[str, Any] = {}
) -> dict[str, dict[str, int]]:
    """A grid for each layer of a network; layers to keep have none, or 8 bits where others have fewer.

    8 bits have embeddings and layers of few inputs, too. With an example, what several layers read, or a sum beside
    one, is rounded once, where it is made: runtimes then add integers, and nothing is kept twice.
    """
    from torch import nn

    from netwright.models import quantized

    found = {}
    for name, layer in quantized.layers(model).items():
        if name in keep and weights == 8:
            continue
        weight: Any = layer.weight
        bits = 8 if weight[0].numel() < SMALL or isinstance(layer, nn.Embedding) or name in keep else weights
        grouped = isinstance(layer, (nn.Linear, nn.Embedding)) and bits < 8 and weight.shape[1] % group == 0
        found[name] = {
            "weights": bits,
            "inputs": 0 if isinstance(layer, nn.Embedding) else inputs,
            "group": group if grouped else 0,
        }
    for name, readers in quantized.shared(model, example).items() if inputs and example else ():
        if all(layer in found for layer in readers):
            found |= {layer: {**found[layer], "inputs": 0} for layer in readers} | {name: {"outputs": inputs}}
    return found
