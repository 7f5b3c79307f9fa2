"""Where predict/sample/ comes from: of each measured table, as many rows as fit into 3 MB, always the same ones.

    python benchmarks/sample_rows.py DATA src/netwright/predict/sample

DATA is laid out as `netwright predict validate` reads it. Taken are tables under Apache-2.0: kernels and servings of
NVIDIA aiconfigurator, timm's benchmark results, and MLPerf's closed division with what its rules ask to be cited.
Not taken: mlenergy, whose licence was not checked.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pandas as pd

KERNELS = {"gemm": 1500, "context_attention": 1000, "generation_attention": 1000, "moe": 1500, "nccl": 200}
KERNELS |= {"custom_allreduce": 200}
"""Table -> rows of one device."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    for folder in ("kernels", "timm", "serving", "mlperf"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    for name, count in KERNELS.items():
        frame = pd.read_parquet(args.data / "kernels" / f"{name}_perf.parquet")
        some = [part.sample(min(count, len(part)), random_state=0) for _, part in frame.groupby("system")]
        kept = pd.concat(some, ignore_index=True).drop(columns=["version", "op_name"], errors="ignore")
        kept.to_parquet(args.out / "kernels" / f"{name}_perf.parquet", compression="zstd", index=False)
    for path in sorted((args.data / "timm").glob("benchmark-*.csv")):
        shutil.copyfile(path, args.out / "timm" / path.name)
    served = pd.read_csv(args.data / "serving" / "silicon_sample.csv", low_memory=False)
    listing = served["silicon_data_source"].str.split(
        "; "
    )  # addresses of images and of someone's files, which no suite reads
    served["silicon_data_source"] = [
        "; ".join(part for part in parts if part.startswith("db-dump") or _says(part)) for parts in listing
    ]
    served.to_csv(args.out / "serving" / "silicon_sample.csv", index=False)
    (table,) = (args.data / "mlperf").glob("*.csv.gz")
    rows = pd.read_csv(table, low_memory=False)
    rows = rows[rows["Division"].eq("closed")]
    rows.to_csv(args.out / "mlperf" / table.name, index=False, compression={"method": "gzip", "mtime": 0})
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{size / 1e6:.2f} MB in {args.out}")


def _says(part: str) -> bool:
    return "=" in part and "/" not in part


if __name__ == "__main__":
    main()
