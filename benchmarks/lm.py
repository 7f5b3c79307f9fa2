"""Language models on this machine: what netwright chooses beside its peers, same weights, interleaved.

    python benchmarks/lm.py decode ARTIFACT    # decode and prefill in tokens/s, ratios to the choice, bandwidth
    python benchmarks/lm.py chat10 ARTIFACT    # time to first token on turn 10 of a chat, with and without prefix reuse
    python benchmarks/lm.py repeat ARTIFACT    # prompt lookup on a text that repeats, and on one that does not
    python benchmarks/lm.py streams ARTIFACT   # eight replies together over one alone, without and with their prompts

ARTIFACT is an imported or trained language model of format torch; what is exported of it are runs in --runs. Every
round opens each candidate anew, in random order, and gives it prompts that no one had before. Ratios are medians over
rounds with bootstrap intervals. A peer that cannot run says why.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright import export
from netwright.chat import choice, trial
from netwright.chat.batch import Together
from netwright.chat.candidate import Config
from netwright.chat.engine import Engine, Generator
from netwright.chat.opening import opened
from netwright.chat.sampling import Sampling
from netwright.compress import quantize
from netwright.core import artifact as artifacts
from netwright.core import recipe, stats
from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.data import prompt
from netwright.data.text import Message
from netwright.data.tokenizer import Tokenizer
from netwright.export import decoding
from netwright.export.decoding import openvino as stateful
from netwright.export.decoding.paged import PagedSession
from netwright.hardware import probe
from netwright.measure.bench import deployed
from netwright.study import stages

Speed = tuple[float, float]
"""Decode and prefill, tokens a second."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=sorted(VERBS))
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--runs", type=lambda text: Path(text).resolve(), default=Path("runs").resolve())
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--reply", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=1.0, help="of decoding in a round, at least (decode)")
    parser.add_argument("--peers", nargs="+", help="only these")
    args = parser.parse_args()
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"load {load}; {os.cpu_count()} CPUs; {time.strftime('%Y-%m-%d')}")
    VERBS[args.verb](args, artifacts.open(args.artifact))


# peers: name -> open(artifact, threads, runs) -> (run(ids, count) -> Speed, bytes of weights)
Run = Callable[[list[int], int], Speed]


def answering(engine: Generator) -> Run:
    """An engine of netwright's, its guesses off: what is drawn cannot be looked up."""

    def run(ids: list[int], count: int) -> Speed:
        *_, last = engine.stream(ids, Sampling(max_tokens=count, ignore_end=True, temperature=1.0))
        assert last.statistics is not None
        return last.statistics.per_second, len(ids) / last.statistics.first_token

    return run


def chosen(artifact: Artifact, threads: int, runs: Path) -> tuple[Run, int]:
    """What netwright picks where it may use so many threads, and no other number."""
    only = Config(threads=(threads,))  # beside more threads, so few may be too slow to be judged
    row = choice.choose(artifact, runs, only).row
    made = artifacts.open(row.folder)
    return answering(opened(made, threads, row.computed)), deployed(made)


def written(format: str, precision: str = "", computed: str | None = None) -> Callable[..., tuple[Run, int]]:
    def peer(artifact: Artifact, threads: int, runs: Path) -> tuple[Run, int]:
        settings: Any = {"examples": trial.FEW, "precision": precision}
        made = artifact if format == "torch" else stages.exported(runs, artifact, format, export.Config(**settings))
        return answering(opened(made, threads, computed)), deployed(made)

    return peer


def hugging_face(artifact: Artifact, threads: int, runs: Path) -> tuple[Run, int]:
    """transformers in eager PyTorch, with the artifact's weights."""
    import torch
    import transformers

    from netwright.models.load import open_model

    told, model = artifact.model, open_model(artifact)
    if told["name"] != "llama" or told["bias"] or told["head_norm"] or told["head_width"]:
        raise UserError("peer", "hf", "only plain Llamas are carried over here", "--peers")
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=told["vocabulary"], hidden_size=told["width"], num_hidden_layers=told["depth"],
        num_attention_heads=told["heads"], num_key_value_heads=told["kv_heads"] or told["heads"],
        intermediate_size=told["hidden"], max_position_embeddings=told["positions"], rms_norm_eps=told["eps"],
        rope_theta=told["theta"], rope_parameters={"rope_type": "default", "rope_theta": told["theta"]},
        tie_word_embeddings=told["tied"],
    )).eval()  # fmt: skip
    theirs.load_state_dict(model.state_dict(), strict=False)
    with torch.inference_mode():  # the same network, or no peer
        ids = torch.arange(16)[None]
        torch.testing.assert_close(theirs(ids).logits, model(ids), rtol=1e-3, atol=1e-2)

    def run(ids: list[int], count: int) -> Speed:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            begin = time.perf_counter()
            answer = theirs(torch.tensor([ids]), use_cache=True, logits_to_keep=1)
            first = time.perf_counter()
            for _ in range(count - 1):
                at = answer.logits[:, -1:].argmax(-1)
                answer = theirs(at, past_key_values=answer.past_key_values, use_cache=True)
            return (count - 1) / (time.perf_counter() - first), len(ids) / (first - begin)

    return run, deployed(artifact)


def in_openvino(artifact: Artifact, runs: Path, stored: str) -> Artifact:
    """An artifact written for OpenVINO, with weights as they are or of 8 bits."""
    if not stored:
        return stages.exported(runs, artifact, "openvino", export.Config(examples=trial.FEW))
    settings = {"to": stored, "format": "openvino", "examples": trial.FEW}
    step = recipe.build(quantize.Config, settings, "quantize")
    return stages.carried_out(runs, artifact, [step], compare=False)


def own_openvino(computed: str) -> Callable[..., tuple[Run, int]]:
    """Our own loop over weights of 8 bits."""

    def peer(artifact: Artifact, threads: int, runs: Path) -> tuple[Run, int]:
        made = in_openvino(artifact, runs, "int8-weights")
        return answering(opened(made, threads, computed)), deployed(made)

    return peer


def genai(stored: str, backend: str, computed: str = "fp32") -> Callable[..., tuple[Run, int]]:
    """OpenVINO GenAI over a file that netwright writes; ids go in, so that it needs no tokenizer of its own."""

    def peer(artifact: Artifact, threads: int, runs: Path) -> tuple[Run, int]:
        import openvino
        import openvino_genai

        made = in_openvino(artifact, runs, stored)
        settings = {"INFERENCE_NUM_THREADS": threads, "ATTENTION_BACKEND": backend, **stateful.SETTINGS[computed]}
        with tempfile.TemporaryDirectory() as folder:  # under the names that it looks for
            for ending in ("xml", "bin"):
                (Path(folder) / f"openvino_model.{ending}").symlink_to(made.path(f"model.{ending}"))
            try:
                pipe = openvino_genai.LLMPipeline(folder, "CPU", **settings)
            except RuntimeError as fault:
                raise UserError("peer", "genai", str(fault).strip().splitlines()[-1][:150], "--peers") from None

        class Clock(openvino_genai.StreamerBase):  # type: ignore[misc]
            """When each token came; a function would be handed texts, for which there is no tokenizer."""

            def __init__(self) -> None:
                super().__init__()
                self.times: list[float] = []

            def write(self, token: int) -> Any:
                self.times.append(time.perf_counter())
                return openvino_genai.StreamingStatus.RUNNING

            def end(self) -> None:
                pass

        def run(ids: list[int], count: int) -> Speed:
            ids_1T = openvino.Tensor(np.array([ids], np.int64))
            mask_1T = openvino.Tensor(np.ones((1, len(ids)), np.int64))
            told = openvino_genai.GenerationConfig(
                max_new_tokens=count, ignore_eos=True, do_sample=False, eos_token_id=0, stop_token_ids={0}
            )
            clock = Clock()
            begin = time.perf_counter()
            pipe.generate(openvino_genai.TokenizedInputs(ids_1T, mask_1T), told, clock)
            times = clock.times
            return (len(times) - 1) / (times[-1] - times[0]), len(ids) / (times[0] - begin)

        return run, deployed(made)

    return peer


PEERS: Mapping[str, Callable[..., tuple[Run, int]]] = {
    "chosen": chosen,
    "hf": hugging_face,
    "torch": written("torch"),
    "onnx": written("onnx"),
    "openvino": written("openvino", computed="fp32"),
    "openvino INT8": own_openvino("fp32"),
    "genai plain": genai("", "SDPA"),
    "genai plain INT8": genai("int8-weights", "SDPA"),
    "genai paged INT8": genai("int8-weights", "PA"),
    "genai paged INT8 in int8": genai("int8-weights", "PA", "int8"),
    "llama.cpp Q8_0": written("gguf", "Q8_0"),
    "llama.cpp Q4_1": written("gguf", "Q4_1"),
    "llama.cpp Q4_0": written("gguf", "Q4_0"),
}
"""Name -> how it is opened. The first one is what the others are compared with."""


def decode(args: argparse.Namespace, artifact: Artifact) -> None:
    """Tokens a second of all peers, and ratios of the first to each of the others."""
    generator = np.random.default_rng()
    vocabulary = int(artifact.inputs["ids"]["vocabulary"])
    names = [name for name in PEERS if not args.peers or name in args.peers]
    bandwidth = max(one.value for one in probe.cached() or probe.probe() if one.quantity == "bandwidth")
    for threads in args.threads:
        seen: dict[str, list[Speed]] = {name: [] for name in names}
        sizes: dict[str, int] = {}
        for _ in range(args.rounds):
            for name in generator.permutation([name for name in names if name in seen]).tolist():
                try:
                    run, sizes[name] = PEERS[name](artifact, threads, args.runs)
                    replies: list[Speed] = []
                    while not replies or sum(args.reply / pace for pace, _ in replies[1:]) < args.seconds:
                        replies.append(run(generator.integers(0, vocabulary, args.prompt).tolist(), args.reply))
                    paces, prefills = np.array(replies[1:]).T  # the first one warms up
                    seen[name].append(
                        (len(paces) / float((1 / paces).sum()), len(prefills) / float((1 / prefills).sum()))
                    )
                    del run
                except (UserError, ImportError) as refusal:
                    print(f"{name}: {refusal}")
                    del seen[name]
                gc.collect()
        print(f"\n{threads} threads, {args.rounds} rounds, prompt {args.prompt}, {args.reply} tokens")
        print("| engine | decode tok/s | prefill tok/s | share of bandwidth | decode over " + names[0] + " |")
        print("|---|---|---|---|---|")
        first = np.array(seen[names[0]])[:, 0] if names[0] in seen else None
        for name, values in seen.items():
            speed, prefill = (stats.bootstrap(column, np.median) for column in np.array(values).T)
            share = sizes[name] * speed.value / bandwidth
            beside = stats.ratio(np.array(values)[:, 0], first) if first is not None else None
            told = f"{beside.value:.2f} [{beside.low:.2f}, {beside.high:.2f}]" if beside else ""
            print(
                f"| {name} | {speed.value:.1f} [{speed.low:.1f}, {speed.high:.1f}] | "
                f"{prefill.value:.0f} [{prefill.low:.0f}, {prefill.high:.0f}] | {share:.0%} | {told} |"
            )


def turns(artifact: Artifact, count: int = 10) -> Iterator[list[Message]]:
    """A chat as it grows, with questions and answers of some hundred tokens a turn."""
    messages: list[Message] = []
    for at in range(count):
        words = f"Question {at}: please tell me about the number {at * 7919}, its neighbours and what it is good for."
        messages.append(Message("user", words))
        yield list(messages)
        messages.append(
            Message("assistant", f"Answer {at}. " + " ".join(f"It has property {at * k}." for k in range(14)))
        )


def chat10(args: argparse.Namespace, artifact: Artifact) -> None:
    """Seconds to the first token on turn 10, the nine turns before having been read or not."""
    tokenizer = Tokenizer.read(artifact.folder, artifact.processor)
    *_, messages = turns(artifact)
    whole, before = (prompt.encoded(tokenizer, some) for some in (messages, messages[:-1]))  # its own reply was read
    for threads in args.threads:
        for name, format in (
            ("torch", "torch"),
            ("llama.cpp Q8_0", "gguf"),
            ("openvino", "openvino"),
            ("onnx", "onnx"),
        ):
            precision: Any = "Q8_0" if format == "gguf" else ""
            if args.peers and name not in args.peers:
                continue
            try:
                settings = export.Config(examples=trial.FEW, precision=precision)
                made = artifact if format == "torch" else stages.exported(args.runs, artifact, format, settings)
                engine = opened(made, threads)
                with_reuse, without, reused = [], [], 0
                for _ in range(args.rounds):
                    for ids, times in ((whole, with_reuse), (whole, without)):
                        list(engine.stream(list(range(100, 140)), Sampling(max_tokens=1)))  # something else
                        if times is with_reuse:
                            list(engine.stream(before, Sampling(max_tokens=1)))
                        *_, last = engine.stream(ids, Sampling(max_tokens=1, ignore_end=True))
                        times.append(last.statistics.first_token)
                        reused = last.statistics.reused if times is with_reuse else reused
            except UserError as refusal:
                print(f"{name}: {refusal}")
                continue
            told = stats.ratio(with_reuse, without)
            print(
                f"{name}, {threads} threads: {len(whole)} tokens, {reused} read before; "
                f"{np.median(with_reuse):.3f} s against {np.median(without):.3f} s, "
                f"{told.value:.3f} [{told.low:.3f}, {told.high:.3f}]"
            )


def repeat(args: argparse.Namespace, artifact: Artifact) -> None:
    """Decode with prompt lookup over without, greedy, on a prompt that is to be repeated and on a free one."""
    tokenizer = Tokenizer.read(artifact.folder, artifact.processor)
    text = "The harbour of the town lies in the north; its keeper, Ada Moll, counts 314 ships a year, and waits. "
    asks = {
        "repeats": f"Repeat this text word for word, three times: {3 * text}",
        "free": "Tell me a story about a fox.",
    }
    for threads in args.threads:
        for kind, ask in asks.items():
            ids = prompt.encoded(tokenizer, [Message("user", ask)])
            plain, guessed = (
                Engine(decoding.open(artifact, threads), tokenizer, lookup=lookup) for lookup in (False, True)
            )
            told = Sampling(max_tokens=args.reply, ignore_end=True)
            ratios, same, found = [], True, None
            for _ in range(args.rounds):
                speeds, replies = [], []
                for engine in (plain, guessed):
                    pieces = list(engine.stream(ids, told))
                    found = pieces[-1].statistics
                    speeds.append(found.per_second)
                    replies.append([token.id for piece in pieces for token in piece.tokens])
                ratios.append(speeds)
                same = same and replies[0] == replies[1]
            without, with_ = np.array(ratios).T
            told_ratio = stats.ratio(with_, without)
            print(
                f"{kind}, {threads} threads: {np.median(with_):.1f} tok/s over {np.median(without):.1f}: "
                f"{told_ratio.value:.2f} [{told_ratio.low:.2f}, {told_ratio.high:.2f}]; "
                f"{found.accepted} of {found.proposed} guesses right in the last round; same tokens: {same}"
            )


STREAMS = 8


def streams(args: argparse.Namespace, artifact: Artifact) -> None:
    """Tokens a second of eight replies that are read together over those of one, each with a prompt of its own."""
    generator, tokenizer = np.random.default_rng(), Tokenizer.read(artifact.folder, artifact.processor)
    vocabulary = int(artifact.inputs["ids"]["vocabulary"])
    step = recipe.build(
        quantize.Config, {"to": "int8-weights", "format": "openvino", "examples": trial.FEW}, "quantize"
    )
    made = stages.carried_out(args.runs, artifact, [step], compare=False)
    told = Sampling(max_tokens=args.reply, ignore_end=True, temperature=1.0)
    for threads in args.threads:
        for computed in stateful.choices(made):
            session = PagedSession(made, threads, computed)
            alone, together = [], []
            for turn in range(args.rounds + 1):
                for count, seen in ((1, alone), (STREAMS, together)):
                    speeds = several(session, tokenizer, generator.integers(0, vocabulary, (count, args.prompt)), told)
                    if turn:  # the first round warms up
                        seen.append(speeds)
            for at, what in enumerate(("decode", "with prompts")):
                one, all_ = np.array(alone)[:, at], np.array(together)[:, at]
                ratio = stats.ratio(all_, one)
                print(
                    f"{computed}, {threads} threads, {what}: {np.median(all_):.1f} tokens/s over {np.median(one):.1f}: "
                    f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
                )


def several(session: PagedSession, tokenizer: Tokenizer, prompts_NT: NDArray[np.int64], told: Sampling) -> Speed:
    """Tokens a second while all replies are under way, and from the first request to the last token."""
    with Together(session, tokenizer, lookup=False) as batch:
        begin = time.perf_counter()
        replies = [batch.submit(ids, told) for ids in prompts_NT.tolist()]
        times: list[list[float]] = [[] for _ in replies]

        def read(at: int) -> None:
            for piece in replies[at]:
                times[at] += [time.perf_counter()] * len(piece.tokens)

        readers = [threading.Thread(target=read, args=(at,)) for at in range(len(replies))]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    first, last = max(seen[0] for seen in times), min(seen[-1] for seen in times)
    within = sum(first < at <= last for seen in times for at in seen)
    return within / (last - first), sum(map(len, times)) / (max(seen[-1] for seen in times) - begin)


VERBS: Mapping[str, Callable[[argparse.Namespace, Artifact], None]] = {
    "decode": decode, "chat10": chat10, "repeat": repeat, "streams": streams
}  # fmt: skip

if __name__ == "__main__":
    main()
