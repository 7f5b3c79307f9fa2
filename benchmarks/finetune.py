"""Fine-tuning SmolLM2 beside PEFT with transformers' Trainer: tokens a second and peak memory of the same steps.

    python benchmarks/finetune.py                        # every way, interleaved, a process each
    python benchmarks/finetune.py --ways lora peft       # of some

Each process trains steps of 4 rows of 512 tokens of Shakespeare, loss on every token, gradient checkpointing on, with
rank 16 beside every linear layer of the blocks; the first step is not counted. Peaks are of whole processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MODEL, ROWS, LENGTH = "smollm2-135m-instruct", 4, 512
WAYS = ("lora", "peft", "qlora", "full", "lora-bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps((peft if args.one == "peft" else ours)(args.one, args.steps, args.threads)))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in args.ways}
    for number in range(args.rounds):
        for way in args.ways:
            load = os.getloadavg()[0]
            command = [sys.executable, __file__, "--one", way, "--steps", str(args.steps)]
            told = subprocess.run(
                [*command, "--threads", str(args.threads)], capture_output=True, text=True, check=False,
                env={**os.environ, "OMP_NUM_THREADS": str(args.threads)},
            )  # fmt: skip
            if told.returncode:
                sys.exit(f"{way}: {told.stderr[-2000:]}")
            found[way].append(json.loads(told.stdout.splitlines()[-1]))
            print(number, way, found[way][-1], f"load {load:.1f}", flush=True)
    first = args.ways[-1] if "peft" not in args.ways else "peft"
    for way, rounds in found.items():
        ratios = [a["rate"] / b["rate"] for a, b in zip(rounds, found[first], strict=True)]
        rate, peak = (statistics.median(one[key] for one in rounds) for key in ("rate", "peak"))
        beside = statistics.median(one["peak"] for one in found[first])
        print(
            f"{way:>10}  {rate:7.1f} tokens a CPU second, {statistics.median(ratios):.2f}x {first} "
            f"[{min(ratios):.2f}, {max(ratios):.2f}]  peak {peak / 1e9:.2f} GB, {peak / beside:.2f}x"
        )


def ours(way: str, steps: int, threads: int) -> dict[str, float]:
    from netwright.data import language
    from netwright.models import pretrained
    from netwright.train import lora, memory
    from netwright.train.loop import settings
    from netwright.train.parallel import Team
    from netwright.train.step import Config, Training, choose_device

    task = language.open(language.Config(tokenizer=MODEL, max_tokens=LENGTH))
    base = {"qlora": "nf4", "lora-bf16": "bf16"}.get(way, "fp32")
    config = Config(
        batch=ROWS, lr=1e-4, threads=threads, checkpointing=True,
        lora=lora.Config(rank=0 if way == "full" else 16, base=base),  # type: ignore[arg-type]
        precision="bf16" if way == "lora-bf16" else "fp32",
    )  # fmt: skip
    model = pretrained.build(pretrained.Config(source=MODEL), task.inputs, 0)
    if way != "full":
        lora.adapt(model, config.lora)
    device = choose_device("cpu")
    with settings(config), memory.recompute(model, True):
        training = Training(model, task, config, Team("none", 0, 1, device))
        memory.reset_peak(device)
        float(training.one_step())
        return timed(lambda: float(training.one_step()), steps)


def peft(way: str, steps: int, threads: int) -> dict[str, float]:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    from netwright.data import language
    from netwright.models import imports
    from netwright.train import memory

    torch.set_num_threads(threads)
    task = language.open(language.Config(tokenizer=MODEL, max_tokens=LENGTH))
    foreign = imports.read(MODEL)
    c = foreign.config
    model: Any = LlamaForCausalLM(LlamaConfig(
        vocab_size=c.vocabulary, hidden_size=c.width, intermediate_size=c.hidden, num_hidden_layers=c.depth,
        num_attention_heads=c.heads, num_key_value_heads=c.kv_heads, rms_norm_eps=c.eps, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": c.theta}, max_position_embeddings=c.positions,
        use_cache=False,
    ))  # fmt: skip
    model.load_state_dict(dict(foreign.tensors()), strict=False)
    chosen = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=chosen, task_type="CAUSAL_LM"))
    model.enable_input_require_grads()
    rows = []
    for at in range((steps + 1) * ROWS):
        batch = task.batch("train", torch.tensor([at]))
        rows.append({"input_ids": batch.inputs["ids"][0], "labels": batch.inputs["ids"][0]})
    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            marks.append(time.process_time())

    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=ROWS, max_steps=steps + 1, learning_rate=1e-4,
        gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False}, use_cpu=True,
        report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, optim="adamw_torch",
    )  # fmt: skip
    memory.reset_peak(torch.device("cpu"))
    Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[Clock()]).train()
    spent = marks[-1] - marks[0]
    return {"rate": steps * ROWS * LENGTH / spent, "peak": memory.peak_bytes(torch.device("cpu"))}


def timed(step: Any, steps: int) -> dict[str, float]:
    import torch

    from netwright.train import memory

    begin = time.process_time()
    for _ in range(steps):
        step()
    spent = time.process_time() - begin
    return {"rate": steps * ROWS * LENGTH / spent, "peak": memory.peak_bytes(torch.device("cpu"))}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
