"""Are FLOPs counted right? Every network of timm's benchmark tables is traced, and compared with what timm counts.

    python benchmarks/flops_timm.py DATA [--write]     # DATA/timm/*.csv; --write: predict/networks.csv.gz anew

Needs timm, which netwright does not: `pip install --no-deps timm`. timm's GMACs are multiply-adds of convolutions
and matrix products (fvcore); some of its tables leave the products inside attention out, so both ways are told. MActs
are the outputs of the same operators. Networks that cannot be built or traced are listed with the reason.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import roofline_prior
from netwright.core.run import progress
from netwright.core.workload import Workload
from netwright.predict import structure

OTHER = 0.05
"""A network whose parameters differ by more is another one today under the same name, and not written to the table."""
Key = tuple[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--most", type=int, default=0, help="only so many networks, for a trial")
    args = parser.parse_args()
    stated = counts(args.data / "timm")
    rows, ratios, faults = {}, {}, {}
    wanted = sorted(stated)[: args.most or None]
    with progress("tracing networks", len(wanted)) as advance:
        for key in wanted:
            try:
                work = roofline_prior.trace_one(*key)
            except Exception as fault:
                faults[key] = f"{type(fault).__name__}: {str(fault).splitlines()[0][:80]}"
            else:
                if stated[key]:
                    ratios[key] = compare(work, *stated[key])
                if key not in ratios or abs(ratios[key][3] - 1) < OTHER:
                    rows[key] = work.parameters, structure.of(work)
            advance(note=key[0])
    report(ratios, faults)
    if args.write:
        structure.write(rows)
        print(f"\n{structure.TABLE.name}: {len(rows)} rows, {structure.TABLE.stat().st_size / 1e3:.0f} kB")


def counts(folder: Path) -> dict[Key, tuple[float, float, float]]:
    """(network, side) -> GMACs, MActs and millions of parameters as timm states them; () where it does not."""
    found: dict[Key, tuple[float, float, float]] = {}
    for path in sorted(folder.glob("benchmark-*.csv")):
        kind = path.name.split("-")[1]
        for row in csv.DictReader(path.open(encoding="utf-8")):
            key = (row["model"].split(".")[0], int(float(row[f"{kind}_img_size"] or 0)))
            told = [row.get(name) for name in (f"{kind}_gmacs", f"{kind}_macts", "param_count")]
            if key[1] and not found.get(key):
                found[key] = tuple(map(float, told)) if all(told) else ()  # type: ignore[arg-type, assignment]
    return found


def compare(work: Workload, gmacs: float, macts: float, millions: float) -> tuple[float, ...]:
    """Ours over theirs: MACs with attention, MACs without, activations, parameters."""
    products = [o for o in work.operators if structure.is_product(o)]
    attention = sum(o.flops for o in products if o.attention is not None)
    flops = sum(o.flops for o in products)
    each = 1e-9 / work.batch
    return (
        flops / 2 * each / max(gmacs, 1e-9),
        (flops - attention) / 2 * each / max(gmacs, 1e-9),
        work.activations * 1e3 * each / max(macts, 1e-9),
        work.parameters / 1e6 / max(millions, 1e-9),
    )


def report(ratios: dict[Key, tuple[float, ...]], faults: dict[Key, str]) -> None:
    table = np.array(list(ratios.values()))
    # timm rounds to 10 M multiply-adds: the counts of the smallest networks say little
    print(f"{len(table)} networks and image sizes; ours / timm's\n")
    print("| | median | 1 % | 5 % | 95 % | 99 % | within 1 % | within 5 % |\n|---|---|---|---|---|---|---|---|")
    columns = [*table.T, np.where(abs(table[:, 0] - 1) < abs(table[:, 1] - 1), table[:, 0], table[:, 1])]
    names = ("MACs", "MACs without attention's", "activations", "parameters", "MACs, the nearer of both")
    for name, values in zip(names, columns, strict=True):
        q = " | ".join(f"{v:.3f}" for v in np.quantile(values, [0.5, 0.01, 0.05, 0.95, 0.99]))
        close = [100 * np.mean(abs(values - 1) <= within) for within in (0.01, 0.05)]
        print(f"| {name} | {q} | {close[0]:.1f} % | {close[1]:.1f} % |")
    far = sorted(ratios, key=lambda key: -abs(np.log(max(columns[4][list(ratios).index(key)], 1e-9))))[:15]
    print("\nfurthest off: " + ", ".join(f"{n}@{s} {columns[4][list(ratios).index((n, s))]:.2f}" for n, s in far))
    print(f"\nanother network today: {', '.join(f'{n}@{s}' for n, s in ratios if abs(ratios[n, s][3] - 1) >= OTHER)}")
    print(f"\nnot traced: {len(faults)}")
    for (name, side), fault in sorted(faults.items()):
        print(f"    {name}@{side}: {fault}")


if __name__ == "__main__":
    main()
