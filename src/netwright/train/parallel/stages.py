"""Stages of a network: its list of layers cut into consecutive parts, each a module of its own.

    first, second = stages(model, {"image": images}, 2)
    logits_BK = second(*first(image=images), image=images)

The network is traced by torch.fx down to its blocks (entries of a ModuleList or Sequential, and whatever is called
outside of those), so that blocks keep their modules, names and modes. It may be cut before any block with parameters
where only tensors are handed on; what depends on the inputs alone (a mask) is computed anew in each stage. Of these
places those are taken that give each stage about the same share of work and of parameters. Does not know processes.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Interpreter, Node, Tracer
from torch.fx.node import map_arg
from torch.utils.flop_counter import FlopCounterMode

from netwright.core.error import UserError


class _Blocks(Tracer):
    """Goes into modules that hold lists of others; a block is called whole."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        lists = (nn.ModuleList, nn.Sequential)
        return super().is_leaf_module(module, name) or not any(isinstance(inside, lists) for inside in module.modules())


def stages(model: nn.Module, example: Mapping[str, Tensor], count: int) -> list[GraphModule]:
    """The network's stages. Each takes what the stage before gave, and the inputs by name; the last gives the answer.

    They share the network's modules. Raises UserError for a network that cannot be traced, that computes otherwise in
    training than in evaluation outside of its blocks, that has too few blocks, or whose stages would share parameters.
    """
    with _mode(model, True):
        graph = _traced(model, example)
    with _mode(model, False):
        other = _traced(model, example)
    if _code(model, graph) != _code(model, other):
        raise _refused("it computes otherwise in training than in evaluation, outside of its blocks")
    free = _from_inputs(model, graph)
    places = _places(model, graph, example, free)
    if len(places) < count - 1:
        raise _refused(f"it has {len(places) + 1} blocks one after the other, and there are {count} processes")
    ends = _balanced(model, graph, example, places, count)
    made = [_stage(graph, example, free, *of) for of in zip((None, *ends), (*ends, None), strict=True)]
    parts = [GraphModule(model, part) for part in made]
    used = Counter(id(parameter) for part in parts for parameter in part.parameters())
    if max(used.values(), default=1) > 1:
        raise _refused("two stages would share a parameter")
    with _mode(model, False), torch.no_grad():
        answer = model(**example)
        if not isinstance(answer, Tensor):
            raise _refused(f"it answers with a {type(answer).__name__}, not with one tensor")
        values: Any = ()
        for part in parts:
            values = part(*values, **example)
        if not torch.allclose(values, answer, rtol=1e-3, atol=1e-5):
            raise _refused("its stages compute another answer")
    return parts


def _refused(why: str) -> UserError:
    return UserError(
        "train.parallel", "pipeline", f"this network cannot be cut into stages: {why}", "train.parallel=fsdp2"
    )


@contextlib.contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    before = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, was in before.items():
            module.training = was


def _traced(model: nn.Module, example: Mapping[str, Tensor]) -> Graph:
    arguments = inspect.signature(model.forward).parameters.values()
    missing = {one.name: one.default for one in arguments if one.name not in example and one.default is not one.empty}
    try:
        return _Blocks().trace(model, concrete_args=missing)
    except Exception as trouble:  # torch.fx raises nearly every kind
        first = (str(trouble).strip().splitlines() or [""])[0]
        raise _refused(f"torch.fx cannot trace it ({type(trouble).__name__}: {first})") from None


def _code(model: nn.Module, graph: Graph) -> str:
    """What a graph computes; constants are numbered anew with each trace."""
    return re.sub(r"_tensor_constant\d+", "constant", GraphModule(model, graph).code)


def _from_inputs(model: nn.Module, graph: Graph) -> set[Node]:
    """Nodes that depend on inputs and constants (buffers) alone: every stage can compute them."""
    constants = dict(model.named_buffers())
    found: set[Node] = set()
    for node in graph.nodes:
        sources = node.all_input_nodes
        computed = node.op in ("call_function", "call_method") and sources and found.issuperset(sources)
        if node.op == "placeholder" or computed or (node.op == "get_attr" and node.target in constants):
            found.add(node)
    return found


def _handed_on(graph: Graph, free: set[Node], place: Node | None) -> list[Node]:
    """What nodes from `place` on need of those before it, but for what every stage can compute."""
    before: dict[Node, None] = {}
    needed: dict[Node, None] = {}
    passed = place is None
    for node in graph.nodes:
        passed = passed or node is place
        if passed:
            needed |= {source: None for source in node.all_input_nodes if source in before}
        elif node not in free:
            before[node] = None
    return list(needed)


def _places(model: nn.Module, graph: Graph, example: Mapping[str, Tensor], free: set[Node]) -> list[Node]:
    """Where the graph may be cut: before blocks with parameters, where only tensors are handed on."""
    tensors: set[Node] = set()

    class Watched(Interpreter):
        def run_node(self, n: Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, Tensor):
                tensors.add(n)
            return value

    with _mode(model, False), torch.no_grad():
        arguments = inspect.signature(model.forward).parameters.values()
        Watched(GraphModule(model, graph)).run(*(example.get(one.name, one.default) for one in arguments))
    found = []
    for node in graph.find_nodes(op="call_module"):
        handed = _handed_on(graph, free, node)
        has_parameters = any(True for _ in model.get_submodule(str(node.target)).parameters())
        if has_parameters and handed and tensors.issuperset(handed):
            found.append(node)
    return found


def _balanced(
    model: nn.Module, graph: Graph, example: Mapping[str, Tensor], places: list[Node], count: int
) -> list[Node]:
    """The places that come nearest to equal shares of FLOPs and of parameters, one as important as the other."""
    counter = FlopCounterMode(display=False)
    with _mode(model, False), torch.no_grad(), counter:
        model(**example)
    flops = {name: sum(of.values()) for name, of in counter.get_flop_counts().items()}
    sizes = {name: float(x.numel()) for name, x in model.named_parameters()}
    whole = max(flops.get("Global", 0), 1), max(sum(sizes.values()), 1.0)
    behind, share = {}, 0.0
    for node in graph.nodes:
        behind[node] = share
        name = str(node.target)
        own = sum(sizes.pop(one) for one in list(sizes) if one == name or one.startswith(f"{name}."))
        work = flops.get(f"{type(model).__name__}.{name}", 0) if node.op == "call_module" else 0
        share += (work / whole[0] + own / whole[1]) / 2 if node.op in ("call_module", "get_attr") else 0.0
    ends: list[Node] = []
    for at in range(1, count):
        left = places[places.index(ends[-1]) + 1 if ends else 0 : len(places) - (count - 1 - at)]
        ends.append(min(left, key=lambda node: abs(behind[node] - share * at / count)))
    return ends


def _stage(
    graph: Graph, example: Mapping[str, Tensor], free: set[Node], first: Node | None, last: Node | None
) -> Graph:
    """The nodes from `first` until `last`, None for either end of the graph."""
    taken = _handed_on(graph, free, first) if first is not None else []
    given = graph.output_node().all_input_nodes if last is None else _handed_on(graph, free, last)
    needed = set(given)
    for node in reversed(graph.nodes):
        if node in needed and node not in taken:
            needed.update(node.all_input_nodes)
    made = Graph()
    copies = {node: made.placeholder(node.name) for node in taken}
    given_by_name = [node for node in graph.find_nodes(op="placeholder") if node.target in example]
    copies |= {node: made.placeholder(str(node.target)) for node in given_by_name}
    for node in graph.nodes:
        if node in needed and node not in copies:
            copies[node] = made.node_copy(node, copies.__getitem__)
    answer = map_arg(graph.output_node().args[0], copies.__getitem__) if last is None else tuple(map(copies.get, given))
    made.output(answer)
    return made
