"""What choosing an SVG's settings saves, on images that no predictor learned from.

    python benchmarks/svg.py DATA --out rows.parquet [--images 300] [--workers 2] [--model FILE] [--budget]
    python benchmarks/svg.py DATA --out rows.parquet --table        # the figures of rows measured before

DATA is a folder made by `netwright svg data`; images are of its test split, in an order drawn by seed, so that a
smaller number is a part of a larger one. Of each image: curves in six traces (the default's among them) at the
default's SSIM less 0.002, without the menu; the best of a menu of ten spline settings under the same limits, chosen
greedily on the training split (--menu says on how many images, by real traces); auto mode likewise beside the
product's menu; and budgets of bytes drawn between the smallest and the largest size of the image's rows. Rows are kept
as they are measured; a second call goes on. Ratios are geometric means over images, of bytes over the default's,
which VTracer writes in more bytes than netwright does (`svg.written`): both are told, and the menu is written like
ours, and told once as traced and once trimmed like ours (`svg.finish`). Intervals are paired bootstraps over images,
95 %.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netwright.core import stats
from netwright.svg import finish
from netwright.svg.choose import Choice, choose
from netwright.svg.measured import Subject, Traced
from netwright.svg.raster import open_raster
from netwright.svg.setting import DEFAULT, MENU, RANGES, Setting, draw
from netwright.svg.tracer import TraceError, Tracer
from netwright.svg.wish import Wish

PARAMETERS = ("mode", *RANGES)
TRACES, BUDGET_TRACES = 6, 4
BUDGETS = 2
"""Budgets an image, each in auto and in curves mode."""


def tables(data: Path, name: str) -> pd.DataFrame:
    """A table of the data set, finished or not."""
    whole = data / f"{name}.parquet"
    parts = [whole] if whole.is_file() else sorted((data / "parts").glob(f"{name}-*.parquet"))
    found = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
    return found[found.failed == ""] if "failed" in found else found


def setting_of(row: Any) -> Setting:
    """The setting of a row."""
    values = {name: row[name] for name in PARAMETERS}
    return Setting(**{name: value if name == "mode" else float(value) if name == "length_threshold" else int(value)
                      for name, value in values.items()})  # fmt: skip


def measured(subject: Subject, tracer: Tracer, setting: Setting) -> Traced | None:
    """A trace, or None where it failed."""
    try:
        return subject.measure(tracer, setting)
    except TraceError:
        return None


def ten(data: Path, count: int, file: Path) -> list[Setting]:
    """Ten spline settings chosen greedily on training images, by the mean logarithm of the fewest bytes.

    Candidates are 60 drawn settings, the menu's, and the default with one or two changes; each is traced on each image.
    """
    if file.is_file():
        return [Setting(**one) for one in json.loads(file.read_text())]
    images = tables(data, "images")
    images = images[(images.split == "train") & (images.width >= 16)].sample(frac=1, random_state=0).head(count)
    ways = [one for one in MENU.values() if one.mode == "spline"] + draw(60, "curves", seed=7)
    ways += [
        Setting(filter_speckle=speckle, corner_threshold=corner, length_threshold=length, color_precision=colours)
        for speckle, corner, length, colours in itertools.product((4, 8), (30, 45, 60), (4.0, 6.0), (5, 6, 7))
    ]
    ways = list(dict.fromkeys(ways))
    log_IS = np.zeros((len(images), len(ways)))
    with Tracer() as tracer:
        for at, (_, row) in enumerate(images.iterrows()):
            subject = Subject(open_raster(data / row.file))
            default = measured(subject, tracer, DEFAULT)
            for place, way in enumerate(ways):
                one = measured(subject, tracer, way) if default is not None else None
                if one is not None and default is not None and Wish(mode="curves").shortfall(one, default) == 0:
                    log_IS[at, place] = min(0.0, math.log(one.bytes / default.bytes))
            print(f"menu: {at + 1}/{len(images)}", flush=True)
    chosen: list[int] = []
    best_I = np.zeros(len(images))
    for _ in range(10):
        gains = [np.minimum(best_I, log_IS[:, place]).mean() for place in range(len(ways))]
        chosen.append(int(np.argmin(gains)))
        best_I = np.minimum(best_I, log_IS[:, chosen[-1]])
    found = [ways[place] for place in chosen]
    file.write_text(json.dumps([one.plain() for one in found], indent=1))
    print(f"ten settings on {len(images)} training images: {math.exp(best_I.mean()):.3f} x the default's bytes")
    return found


def fewest(subject: Subject, found: list[Traced | None], default: Traced, wish: Wish) -> dict[str, int]:
    """Bytes of the smallest that is as alike as wished, or the default's: as traced, and trimmed like ours."""

    def holds(one: Traced) -> bool:
        return wish.shortfall(one, default) == 0

    good = sorted([one for one in found if one is not None and holds(one)] + [default], key=lambda one: one.bytes)
    cut = [finish.trimmed(subject, one, holds) for one in good[:3]]
    least = min([one.bytes for one in cut if one is not None] + [good[0].bytes])
    return {"menu": good[0].bytes, "menu_trimmed": least}


def one(job: tuple[str, str, str, list[Setting], str | None, bool, list[int]]) -> list[dict[str, Any]]:
    """Everything about one image."""
    name, kind, file, menu, model, budgets_too, sizes = job
    raster = open_raster(file)
    subject, predictor = Subject(raster), load(model)
    about = {"image": name, "kind": kind, "width": raster.size[0], "height": raster.size[1]}
    rows = []

    def told(what: str, choice: Choice, **more: Any) -> None:
        best = choice.best.traced
        own = {"what": what, "bytes": best.bytes, "ssim": best.ssim, "mode": best.setting.mode, "guided": choice.guided}
        own |= {"default": choice.default.bytes if choice.default else 0, "granted": choice.granted}
        own |= {"default_traced": choice.default.tracer_bytes if choice.default else 0}
        rows.append({**about, **own, "seconds": choice.seconds, "unfamiliar": choice.unfamiliar, **more})

    with Tracer() as tracer:
        curves = choose(raster, Wish(mode="curves"), tracer, predictor, TRACES, quick=True, how="predict")
        auto = choose(raster, Wish(), tracer, predictor, TRACES, quick=True, how="predict")
        default = curves.default
        if default is None:
            return []
        fixed = [measured(subject, tracer, setting) for setting in menu]
        told("curves", curves, **fewest(subject, fixed, default, Wish(mode="curves")))
        own = [measured(subject, tracer, setting) for setting in MENU.values()]
        told("auto", auto, **fewest(subject, own, default, Wish()))
        for most in sizes if budgets_too else ():
            for mode in ("auto", "curves"):
                choice = choose(raster, Wish(max_bytes=most, mode=mode), tracer, predictor, BUDGET_TRACES, quick=True,
                                how="predict")  # fmt: skip
                told(
                    f"budget {mode}",
                    choice,
                    budget=most,
                    any=any(within(each.traced.bytes, most) for each in choice.tried),
                )
    return rows


def within(size: int, most: int) -> bool:
    """Whether a budget is hit."""
    return 0.9 * most <= size <= most


def load(model: str | None) -> Any:
    """The predictor: packaged, or a pickle for experiments."""
    if model is not None and model.endswith(".pkl"):
        import pickle

        return pickle.loads(Path(model).read_bytes())
    from netwright.svg.predictor import Predictor  # type: ignore[import-not-found,unused-ignore]

    return Predictor.load(Path(model)) if model else Predictor.load()


def table(rows: pd.DataFrame) -> None:
    """The figures."""
    for what in ("curves", "auto"):
        for kind, own in [("all", rows[rows.what == what]), *rows[rows.what == what].groupby("kind")]:
            if not len(own):
                continue
            ours, menu = np.log(own.bytes / own.default), np.log(own.menu / own.default)
            trimmed = np.log(own.menu_trimmed / own.default)
            raw = np.log(own.bytes / own.default_traced)
            ratio, fixed, gain, rough = (stats.bootstrap(one) for one in (ours, menu, ours - menu, raw))
            cut, over = stats.bootstrap(trimmed), stats.bootstrap(ours - trimmed)
            print(f"{what} {kind}: {len(own)} images, {own.guided.mean():.1f} traces, {own.seconds.median():.2f} s")
            print(f"  of the default's bytes as VTracer writes it {shown(rough)}, median {np.exp(raw.median()):.3f}")
            print(f"  of the default's bytes as netwright writes it {shown(ratio)}, median {np.exp(ours.median()):.3f}")
            print(f"  the menu of ten {shown(fixed)}; ours over the menu {shown(gain)}")
            print(f"  the menu of ten trimmed likewise {shown(cut)}; ours over that {shown(over)}")
    for what in ("budget auto", "budget curves"):
        own = rows[rows.what == what]
        if len(own):
            hit = [within(size, most) for size, most in zip(own.bytes, own.budget, strict=True)]
            print(f"{what}: {len(own)} budgets")
            share("the answer within 10 %", hit)
            share("a trace within 10 %", own["any"].astype(bool))
            share("fits", own.granted.astype(bool))


def share(name: str, hits: Any) -> None:
    """A share with Wilson's interval."""
    found = stats.proportion(int(np.sum(hits)), len(hits))
    print(f"  {name}: {100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]")


def shown(found: Any) -> str:
    """A ratio with its interval."""
    return f"{math.exp(found.value):.3f} [{math.exp(found.low):.3f}, {math.exp(found.high):.3f}]"


def main() -> None:
    """Measure what is not there yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--model")
    parser.add_argument("--menu", type=int, default=60, metavar="N", help="training images for the ten spline settings")
    parser.add_argument("--split", default="test")
    parser.add_argument("--budget", action="store_true")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    rows = pd.read_parquet(args.out) if args.out.is_file() else pd.DataFrame({"image": pd.Series(dtype=str)})
    if not args.table:
        menu = ten(args.data, args.menu, args.out.with_suffix(".menu.json"))
        images, traces = tables(args.data, "images"), tables(args.data, "rows")
        images = (
            images[(images.split == args.split) & (images.width >= 16)].sample(frac=1, random_state=0).head(args.images)
        )
        random, jobs = np.random.default_rng(0), []
        for _, row in images.iterrows():
            low, high = np.log(traces[traces.image == row.image].bytes.quantile([0.1, 0.9]))
            sizes = [round(math.exp(random.uniform(low, high))) for _ in range(BUDGETS)]
            if row.image not in set(rows.image):
                jobs.append((row.image, row.kind, str(args.data / row.file), menu, args.model, args.budget, sizes))
        start = time.time()
        with ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn")) as pool:
            for at, ended in enumerate(as_completed([pool.submit(one, job) for job in jobs]), 1):
                rows = pd.concat([rows, pd.DataFrame(ended.result())], ignore_index=True)
                rows.to_parquet(args.out.with_suffix(".draft"))
                os.replace(args.out.with_suffix(".draft"), args.out)
                print(f"{at}/{len(jobs)} images, {time.time() - start:.0f} s", flush=True)
    table(rows)


if __name__ == "__main__":
    main()
