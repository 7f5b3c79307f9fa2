"""The roadmap: profile, quantize, prune, distil, the cheapest first, until limits are met or time is over.

    chosen = roadmap(trials)

What is decided at each turn, and on which figures, stands in `trials.decisions`. Accuracy is that of the validation
split; a loss is within the limit only where its whole interval is. Knows no method's inside.
"""

from __future__ import annotations

from netwright.compress import chain
from netwright.core.artifact import Artifact
from netwright.core.measurement import Measurement, readable
from netwright.measure import bench
from netwright.study import verdict
from netwright.study.trials import NAMES, Chosen, Trials, label

MIXED = 2
"""Layers that stay in floating point where all of them in INT8 lose too much."""
GPTQ = f"equalize {chain.BETWEEN} int8 engine=netwright"
EACH = 10
"""Training examples of a class below which weights stay as they are on grids: ResNet-50 forgot, of 384 crops."""
RANGES = f"equalize {chain.BETWEEN} qat to=int8 learn=ranges statistics=kept epochs=4 batch=16"
"""Of ResNet-50 it kept the most that was tried, and is as fast as plain INT8."""
DEEPER = 0.5
"""Of the share that pruning kept, what a distilled student keeps."""


class Roadmap:
    """One walk over the road: what was tried, and what is best of it."""

    def __init__(self, trials: Trials) -> None:
        self.trials, self.config = trials, trials.config
        self.tried: dict[str, tuple[Artifact, Measurement | None]] = {}
        self.prefix, self.finish = "", ""
        """The best network of torch so far, and what makes a file of it smaller."""
        self.format = ""
        self.slower = 1.0

    def walk(self) -> list[Chosen]:
        """All turns; returns what is measured for the report."""
        self.profile()
        for turn in (self.quantize, self.prune, self.distill, self.narrow):
            if self.met():
                break
            turn()
        best = self.best()
        others = [f for f in self.config.formats if f != self.format and (f != "program" or not self.finish)]
        pairs = [(text, self.format) for text in self.tried]
        pairs += [(best, f) for f in others] + [("", f) for f in others if best]
        made = self.trials.made_all(pairs)
        return [
            Chosen(label(text, f), one, self.trials.threads, text) for (text, f), one in zip(pairs, made, strict=True)
        ]

    def best(self) -> str:
        """The chain of the best network and its finish."""
        return f" {chain.BETWEEN} ".join(filter(None, (self.prefix, self.finish)))

    def profile(self) -> None:
        """Which runtime answers soonest."""
        formats = [name for name in self.config.formats if name != "program"] or list(self.config.formats)
        times = self.trials.quick(self.trials.made_all([("", name) for name in formats]))
        at = min(range(len(formats)), key=lambda k: times[k].value)
        self.format = formats[at]
        said = ", ".join(f"{NAMES[name]} {time}" for name, time in zip(formats, times, strict=True))
        self.trials.decide(f"Go on with {NAMES[self.format]}", f"FP32 latency: {said}")
        self.tried[""] = (self.trials.made("", self.format), None)

    def quantize(self) -> None:
        """INT8, then with units made even, then with sensitive layers left out, then trained on it."""
        if self.format == "program":
            self.trials.decide("No quantization", "ExportedProgram computes in floating point")
            return
        ways = {
            "int8": "INT8 needs no training",
            f"equalize {chain.BETWEEN} int8": "units made even leave rounding less to lose",
            GPTQ: "weights make up for each other's rounding (GPTQ)",
            f"int8 sensitive={MIXED}": f"the {MIXED} layers that hurt most stay in floating point",
        }
        if self.format != "openvino":  # ONNX Runtime computes such grids in floating point behind GELU or pooling
            del ways[GPTQ]
        self.finish = next((way for way, why in ways.items() if self.try_one(way, why)), "")
        if self.finish:
            return
        task = self.trials.task
        few = task.size("train") < EACH * len(task.classes)
        way, who = (RANGES, "its ranges and biases learn") if few else ("qat to=int8", "the network learns")
        if self.try_one(way, f"rounding lost too much; {who} to live with it"):
            self.prefix = way

    def prune(self) -> None:
        """Fewer units, trained on."""
        if self.on_grids():
            return
        text = self.with_finish("prune")
        if self.try_one(text, "fewer units are faster in every runtime"):
            self.prefix = "prune"

    def distill(self) -> None:
        """A still smaller network, which the first one teaches; or where pruning lost too much, as large as that."""
        if self.on_grids():
            return
        keep = self.trials.steps("prune")[0].keep
        share = keep * DEEPER if self.prefix else keep
        why = "pruning held; a teacher may make still less enough" if self.prefix else "pruning alone lost too much"
        student = f"distill keep={share:g}"
        if self.try_one(self.with_finish(student), why):
            self.prefix = student

    def narrow(self) -> None:
        """Weights of four bits, where size counts."""
        if self.on_grids() or self.format == "program":
            return
        if not self.config.max_size and "size" not in self.config.objectives:
            self.trials.decide("No INT4", "size is no objective and has no limit")
            return
        text = f" {chain.BETWEEN} ".join(filter(None, (self.prefix, "qat to=int4")))
        if self.try_one(text, "weights of four bits halve the file once more"):
            self.prefix, self.finish = text, ""

    def on_grids(self) -> bool:
        return "qat" in self.prefix

    def with_finish(self, text: str) -> str:
        return f" {chain.BETWEEN} ".join(filter(None, (text, self.finish)))

    def try_one(self, text: str, why: str) -> bool:
        """Make it, if there is time, and say whether it is shown to stay within the limit."""
        expected, left = self.expected(text), self.trials.left
        if expected and expected > left:
            self.trials.decide(
                f"Skip {text}",
                f"it takes about {readable(expected, 's')}, and {readable(max(0.0, left), 's')} of the budget are left",
            )
            return False
        begin = self.trials.seconds
        made = self.trials.made(text, self.format)
        change = self.trials.change(made)
        if expected:
            self.slower = max(0.1, (self.trials.seconds - begin) / expected * self.slower)
        self.tried[text] = (made, change)
        held = verdict.within(change, self.config.max_drop)
        points = f"{100 * change.value:+.2f} points [{100 * change.low:+.2f}, {100 * change.high:+.2f}]"
        limit = f"{100 * self.config.max_drop:g}"
        said = {True: "within", False: "beyond", None: "not shown to be within"}[held]
        self.trials.decide(
            f"{'Keep' if held else 'Do not keep'} {text}",
            f"{why}; validation accuracy changes by {points}, {said} the limit of {limit}",
        )
        return bool(held)

    def expected(self, text: str) -> float:
        """Seconds that a chain's training will take, by what the last one took; none for what is made already."""
        steps = self.trials.steps(text)
        trainings = self.trials.trainings(text).items()
        new = [one.seconds for at, one in trainings if not self.known(chain.written(steps[: at + 1]))]
        return sum(new) * self.slower

    def known(self, text: str) -> bool:
        return any(other.startswith(text) for other in map(self._written, self.tried))

    def _written(self, text: str) -> str:
        return chain.written(self.trials.steps(text))

    def met(self) -> bool:
        """Whether every limit that was set holds for what is best so far."""
        config = self.config
        limits = {"latency": config.max_latency, "size": config.max_size, "peak_memory": config.max_memory}
        limits = {name: value for name, value in limits.items() if value}
        if not limits:
            return False
        made = self.trials.made(self.best(), self.format)
        found = {"size": float(bench.deployed(made))}
        if "latency" in limits:
            found["latency"] = self.trials.quick([made])[0].high
        if "peak_memory" in limits:
            found["peak_memory"] = self.trials.memory(made).high
        units = {"latency": "s", "size": "B", "peak_memory": "B"}
        said = ", ".join(f"{name.replace('_', ' ')} {readable(found[name], units[name])} of at most "
                         f"{readable(value, units[name])}" for name, value in limits.items())  # fmt: skip
        if all(found[name] <= value for name, value in limits.items()):
            self.trials.decide("Stop: every limit is met", said)
            return True
        self.trials.decide("Go on: a limit is not met", said)
        return False


def roadmap(trials: Trials) -> list[Chosen]:
    """Walk the road."""
    return Roadmap(trials).walk()
