"""Tokens a second from a file of conversations to packed rows: read, template, tokenize, pack. One thread.

    OMP_NUM_THREADS=1 python benchmarks/text.py [FILE] [ROUNDS]

FILE is a jsonl of question and answer, by default ../shared/data/text/gsm8k_train.jsonl. Each round runs every
pipeline once, in turn, in an order that rotates; the ratio is of the rounds' times, with a bootstrap interval over
the rounds. The peers:

- `datasets`: Hugging Face's, `load_dataset("json")` and `map` with the same template by transformers and the same
  tokenizer, in batches of 1,000, without its cache. Only where it can be imported; otherwise that is said.
- `transformers`: the same file by `json`, the same template by transformers' own renderer, the same tokenizer, and
  rows cut from one long line of tokens, as `datasets`' own examples group texts; no replies are told apart.

All use GPT-2's byte-pair encoding in the `tokenizers` library, and ChatML. Tokenizing is the largest part of the time.
Only netwright finds where the replies stand, for which it renders each conversation twice, and keeps examples apart.

Measured on two CPU cores under a load of 4 by other work, 10 rounds, so that the speeds are low and the intervals wide:

| pipeline | tokens | tokens a second | netwright / it |
|---|---|---|---|
| netwright | 1,082,560 | 183,848 [152,505, 255,754] |  |
| transformers | 1,082,560 | 254,447 [175,515, 350,896] | 0.74 [0.66, 0.89] |
| datasets | 1,082,560 | 202,433 [167,186, 305,990] | 0.84 [0.80, 0.94] |

So it is slower than both, which do not tell replies apart.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAYON_NUM_THREADS", "1")

import numpy as np
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Decoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from netwright.core.stats import bootstrap, ratio
from netwright.data import sources
from netwright.data.packing import learned, pack, rows
from netwright.data.template import DEFAULT, Template
from netwright.data.text import read

LENGTH = 512
FILE = "../shared/data/text/gsm8k_train.jsonl"
BATCH = 1000


def tokenizer() -> Tokenizer:
    """GPT-2's, with the two tokens of ChatML."""
    folder = sources.fetch(sources.find("gpt2-bpe"))
    made = Tokenizer(BPE.from_file(str(folder / "encoder.json"), str(folder / "vocab.bpe")))
    made.pre_tokenizer, made.decoder = ByteLevel(add_prefix_space=False), Decoder()
    made.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    return made


def ours(path: Path, tokens: Tokenizer) -> int:
    """netwright's pipeline; the number of tokens in its rows."""
    template = Template(DEFAULT)
    examples: list[tuple[Any, Any]] = []
    rendered = [template.spans(record.messages) for record in read(path)]
    for start in range(0, len(rendered), BATCH):
        part = rendered[start : start + BATCH]
        for encoded, (_, spans) in zip(tokens.encode_batch([text for text, _ in part]), part, strict=True):
            examples.append((encoded.ids[:LENGTH], learned(encoded.offsets, spans)[:LENGTH]))
    lengths = [len(ids) for ids, _ in examples]
    rows(examples, pack(lengths, LENGTH), LENGTH, 0)
    return sum(lengths)


def by_transformers(path: Path, tokens: Tokenizer) -> int:
    """json, transformers' renderer, the same tokenizer, rows of one long line."""
    from transformers.utils.chat_template_utils import render_jinja_template

    ids: list[int] = []
    chats = [_chat(json.loads(line)) for line in path.open()]
    for start in range(0, len(chats), BATCH):
        texts, _ = render_jinja_template(chats[start : start + BATCH], chat_template=DEFAULT)
        for encoded in tokens.encode_batch(texts):
            ids += encoded.ids
    np.array(ids[: len(ids) // LENGTH * LENGTH], np.int64).reshape(-1, LENGTH)
    return len(ids)


def by_datasets(path: Path, tokens: Tokenizer) -> int:
    """Hugging Face datasets, mapped and grouped as its examples do."""
    import datasets
    from transformers.utils.chat_template_utils import render_jinja_template

    def encode(batch: Any) -> Any:
        pairs = zip(batch["question"], batch["answer"], strict=True)
        chats = [_chat({"question": asked, "answer": told}) for asked, told in pairs]
        texts, _ = render_jinja_template(chats, chat_template=DEFAULT)
        return {"ids": [encoded.ids for encoded in tokens.encode_batch(texts)]}

    def group(batch: Any) -> Any:
        joined = [one for ids in batch["ids"] for one in ids]
        return {"ids": [joined[at : at + LENGTH] for at in range(0, len(joined), LENGTH)]}

    with tempfile.TemporaryDirectory() as folder:
        made = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=folder)
        made = made.map(encode, batched=True, batch_size=BATCH, remove_columns=made.column_names)
        made = made.map(group, batched=True, batch_size=BATCH)
        return sum(len(ids) for ids in made["ids"])


def _chat(row: Any) -> list[dict[str, str]]:
    return [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]


def main(path: Path, rounds: int) -> None:
    pipelines: dict[str, Callable[[Path, Tokenizer], int]] = {"netwright": ours, "transformers": by_transformers}
    if importlib.util.find_spec("datasets") is None:
        print("datasets is not installed: no comparison with it (pip install datasets)\n")
    else:
        pipelines["datasets"] = by_datasets
    tokens = tokenizer()
    names = list(pipelines)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    counts: dict[str, int] = {}
    for n in range(rounds + 1):
        for name in names[n % len(names) :] + names[: n % len(names)]:
            begun = time.perf_counter()
            counts[name] = pipelines[name](path, tokens)
            if n:  # the first round warms up
                seconds[name].append(time.perf_counter() - begun)
    print(f"{path.name}, rows of {LENGTH}, {rounds} rounds, one thread, load {os.getloadavg()[0]:.1f}\n")
    print("| pipeline | tokens | tokens a second | netwright / it |\n|---|---|---|---|")
    for name in names:
        speed = bootstrap([counts[name] / one for one in seconds[name]], np.median)
        own = [counts["netwright"] / one for one in seconds["netwright"]]
        beside = ratio(own, [counts[name] / one for one in seconds[name]])
        told = "" if name == "netwright" else f"{beside.value:.2f} [{beside.low:.2f}, {beside.high:.2f}]"
        print(f"| {name} | {counts[name]:,} | {speed.value:,.0f} [{speed.low:,.0f}, {speed.high:,.0f}] | {told} |")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else FILE), int(sys.argv[2]) if len(sys.argv) > 2 else 10)
