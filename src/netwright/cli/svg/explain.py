"""netwright svg explain: what each parameter of the tracer buys for one image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.cli.svg import trace
from netwright.core.error import UserError

ABOUT = "explain IMAGE: what each parameter buys for it"
HEEDS = ("min_ssim", "max_bytes", "max_paths", "mode", "preset", "report", "traces", "quick", "how", "model")


def arguments(parser: argparse.ArgumentParser) -> None:
    """All of its options are those of trace."""


def main(args: argparse.Namespace) -> Answer:
    from netwright.core.run import progress
    from netwright.svg import explain, report
    from netwright.svg.choose import choose
    from netwright.svg.raster import open_raster
    from netwright.svg.tracer import TraceError, Tracer
    from netwright.svg.wish import Wish

    if len(args.overrides) != 1:
        raise UserError("image", " ".join(args.overrides), "one image", "netwright svg explain logo.png")
    wish = Wish(args.min_ssim, args.max_bytes, args.max_paths, args.mode or "auto", args.preset)
    trace.check("--report", args.report, ".html")
    traces = trace.count("--traces", args.traces, 6)
    way = trace.how(args.how)
    if args.dry_run:
        return Answer({"image": args.overrides[0], "wish": wish}, f"would explain {args.overrides[0]}")
    raster = open_raster(Path(args.overrides[0]))
    predictor = trace.predictor_of(args.model)
    with Tracer() as tracer:
        with progress("choosing a setting", None):
            choice = choose(raster, wish, tracer, predictor, traces, quick=args.quick, how=way)
        setting = choice.best.traced.setting
        try:
            with progress("varying each parameter", explain.count(setting)) as advance:
                steps = explain.explain(raster, setting, tracer, predictor, advance=advance)
        except TraceError as fault:
            raise UserError("image", args.overrides[0], str(fault), "make the image smaller") from None
    found = explain.effects(steps)
    if args.report is not None:
        report.write_explained(args.report, raster, choice, steps, trace.again(args))
    return told(args, steps, found)


def told(args: argparse.Namespace, steps: Any, found: Any) -> Answer:
    """The answer, as data and as a table."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    from netwright.svg import explain, view

    here = steps[0].best
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for at, head in enumerate(("parameter", "here", "SSIM", "bytes, x", "paths, x", "what it buys")):
        table.add_column(head, justify="left" if at in (0, 5) else "right", overflow="fold", no_wrap=at != 5)
    for one in found:
        table.add_row(one.parameter, str(one.here), f"{one.ssim_low:.3f}-{one.ssim_high:.3f}",
                      f"{one.bytes_low:.2f}-{one.bytes_high:.2f}", f"{one.paths_low:.2f}-{one.paths_high:.2f}",
                      explain.sentence(one, here))  # fmt: skip
    measured = sum(step.traced is not None for step in steps)
    lines = [
        f"Around {view.changed(steps[0].setting.plain())}:"
        f" SSIM {here.ssim:.4f}, {here.bytes:,} bytes, {here.paths:,} paths.",
        f"{measured} of {len(steps)} settings were traced"
        + ("." if measured == len(steps) else ", the others are predicted."),
    ]
    data = {
        "image": args.overrides[0],
        "setting": steps[0].setting,
        "steps": [{"parameter": step.parameter, "value": step.value, "measured": step.traced is not None,
                   **{name: getattr(step.best, name) for name in ("ssim", "bytes", "paths")}} for step in steps],
    }  # fmt: skip
    lines += [f"Report: {args.report}"] if args.report is not None else []
    return Answer(data, Group(lines[0], table, *lines[1:]))
