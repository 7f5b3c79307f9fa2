"""Test accuracy of the shipped recipes, and what INT8 costs of it, as one table.

    python benchmarks/accuracy.py [mnist fashion-mnist cifar10 imdb] [--runs runs] [--markdown FILE]

Each recipe is studied (`netwright study`): trained, exported to ONNX and OpenVINO, quantized, and tested on
the whole test split. A run that is there already is reused. IMDB stands beside the bag of words of
benchmarks/imdb_baseline.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from netwright.core import recipe
from netwright.core.measurement import readable
from netwright.study import study

ROOT = Path(__file__).parents[1]
WORDS = ["compress.name=int8", 'study.formats=["onnx", "openvino"]', "bench.seconds=0.5", "bench.rounds=6"]


def rows(name: str, runs: Path) -> list[str]:
    """The table's rows of one recipe."""
    found = study.study(recipe.load(ROOT / "recipes" / f"{name}.toml", WORDS, study.SECTIONS), runs).summary
    trained = {one["quantity"]: one for one in found["training"]["measurements"]}
    seconds = trained["training_time"]["value"]
    epochs = json.loads((runs / found["training"]["run"] / "run.json").read_text())["result"]["fitted"]
    per_epoch = seconds / max(1, epochs["step"] / epochs["total_steps"] * _epochs(found["recipe"]))
    lines = []
    for row in found["candidates"]:
        accuracy, change = row["figures"]["accuracy"], row["figures"]["accuracy_change"]
        first = row is found["candidates"][0]
        lines.append(
            f"| {name} | {row['label']} | {_percent(accuracy)} | "
            + (
                ""
                if first
                else f"{100 * change['value']:+.2f} [{100 * change['low']:+.2f}, {100 * change['high']:+.2f}]"
            )
            + f" | {readable(per_epoch, 's') if first else ''} | {readable(seconds, 's') if first else ''} |"
        )
    return lines


def baseline() -> str:
    """The bag-of-words row."""
    script = ROOT / "benchmarks" / "imdb_baseline.py"
    done = subprocess.run([sys.executable, str(script), "--json"], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    one = found.get("accuracy", found)
    return f"| imdb | bag of words, logistic regression | {_percent(one)} | | | |"


def _epochs(resolved: str) -> int:
    import tomllib

    return int(tomllib.loads(resolved)["train"]["epochs"])


def _percent(one: dict[str, float]) -> str:
    return f"{100 * one['value']:.2f} % [{100 * one['low']:.2f}, {100 * one['high']:.2f}]"


def main() -> None:
    """Study each recipe and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["mnist", "fashion-mnist", "cifar10", "imdb"])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    args = parser.parse_args()
    lines = [
        "| recipe | candidate | test accuracy, 95 % | change, points | an epoch | training |",
        "|---|---|---|---|---|---|",
    ]
    for name in args.names:
        lines += rows(name, args.runs)
        if name == "imdb":
            lines.append(baseline())
    text = "\n".join(lines) + "\n"
    print(text)
    if args.markdown:
        args.markdown.write_text(text)


if __name__ == "__main__":
    main()
