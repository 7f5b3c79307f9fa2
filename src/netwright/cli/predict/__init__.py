"""netwright predict: what a model would do on devices that are not here; and the predictor behind it."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from netwright.cli import Answer
from netwright.core.error import UserError

HELP = "predict time, memory, power, energy and cost of a model on other hardware, with intervals"
EXAMPLE = """netwright predict Qwen3-8B --device h100 --device l40s --batch 16
  netwright predict runs/20261120-train-3fa9c1d2 --all --batch 32 --precision bf16
  netwright predict net.onnx --device l4 --why --plot roofline.png
  netwright predict package.module:build --device mi300x --devices 8 --training
  netwright predict validate FOLDER --specs my-card.yaml"""

FEW = 20
"""Devices that are asked in less time than a bar is worth."""

ACTIONS = ("fit", "validate", "promote", "backtest", "serve")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="MODEL | ACTION ...",
        help="an artifact's folder or the run that made it, FILE.onnx, a language model's name, config.json or"
        " layers=..,hidden=.., or package.module:function that gives a torch module and inputs; or one of"
        " fit, validate or backtest [FOLDER] (default: the sample that ships), promote FILE, serve",
    )
    device = parser.add_argument_group("devices")
    device.add_argument("--device", action="append", default=[], metavar="NAME", help="a device; may be said again")
    device.add_argument("--all", action="store_true", help="every device of the catalogue")
    device.add_argument("--specs", action="append", default=[], type=Path, metavar="FILE", help="a device of your own")
    device.add_argument("--devices", type=int, metavar="N", help="so many of each (default: 1)")
    device.add_argument("--parallel", metavar="tp=4,pp=2", help="how they share the model; else each holds all of it")
    asked = parser.add_argument_group("the question")
    asked.add_argument("--batch", type=int, metavar="N", help="items in a call; requests at once of a language model")
    asked.add_argument("--seq", type=int, metavar="N", dest="sequence", help="tokens of a prompt (default: 1024)")
    asked.add_argument("--output", type=int, metavar="N", help="tokens of an answer (default: 256)")
    asked.add_argument("--precision", "--dtype", metavar="DTYPE", help="compute in this dtype (default: as it is)")
    asked.add_argument("--training", action="store_true", help="a step of training")
    asked.add_argument("--compiled", action="store_true", help="with torch.compile (default: eager)")
    asked.add_argument("--measured", type=Path, metavar="FOLDER", help="rows measured on the device calibrate it first")
    asked.add_argument("--why", action="store_true", help="say which operators take the time, and what bounds them")
    asked.add_argument(
        "--plot", type=Path, metavar="FILE", help="one device: its roofline; several: their times; .png or .svg"
    )
    price = parser.add_argument_group("prices")
    price.add_argument("--price", metavar="KIND", help="on-demand (default), spot, or owned")
    price.add_argument("--provider", metavar="NAME", help="prices of this provider only")
    price.add_argument("--price-file", type=Path, metavar="FILE", help="CSV with accelerator, usd_per_hour, count")
    price.add_argument("--electricity", type=float, metavar="USD", help="per kWh, for --price owned")
    price.add_argument("--years", type=float, default=3.0, help="that an owned device serves (default: 3)")
    learned = parser.add_argument_group("fit, validate, backtest, promote")
    learned.add_argument("--suite", action="append", default=[], metavar="NAME", help="only this kind of row")
    learned.add_argument("--by", action="append", default=[], metavar="SPLIT", help="backtest by this split only")
    learned.add_argument("--predictor", type=Path, metavar="FILE", help="validate this one, not the one in place")
    learned.add_argument("--quick", action="store_true", help="a smaller fit, to try it out")
    learned.add_argument("--fresh", action="store_true", help="fit again even if nothing has changed")
    learned.add_argument("--mlflow", action="store_true", help="tell MLflow's registry in runs/mlflow.db of it too")
    learned.add_argument("--force", action="store_true", help="promote even if it was judged on other rows")
    served = parser.add_argument_group("serve")
    served.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    served.add_argument("--port", type=int, default=8077, help="0 takes a free one (default: 8077)")
    served.add_argument(
        "--root", type=Path, metavar="FOLDER", help="artifacts and ONNX files below it may be asked for"
    )


def main(args: argparse.Namespace) -> Answer:
    words = args.overrides
    if words and words[0] in ACTIONS and not Path(words[0]).exists():
        if words[0] == "serve":
            from netwright.cli.predict import serve

            return serve.main(args)
        from netwright.cli.predict import learned

        return learned.main(words[0], words[1:], args)
    if len(words) != 1:
        raise UserError("model", " ".join(words), "one model", EXAMPLE.splitlines()[0])
    return _predict(words[0], args)


def _predict(name: str, args: argparse.Namespace) -> Answer:
    from netwright.cli.predict import view
    from netwright.core import figure
    from netwright.core.run import progress
    from netwright.predict import estimate, learned

    question = _question(args)
    devices = _devices(args)
    if args.dry_run:
        names = [device.name for device in devices]
        planned = {"model": name, "devices": names, "question": question}
        return Answer(planned, f"would predict {name} on " + ", ".join(names))
    figure.check(args.plot)
    found = opened(name, question)
    learned.check()
    predicted, refused = {}, []
    many = progress("predicting", len(devices)) if len(devices) > FEW else contextlib.nullcontext(lambda **_: None)
    with many as advance:
        for device in devices:
            try:
                predicted[device.name] = estimate.predict(found, device, question)
            except UserError as refusal:
                if len(devices) == 1 or refusal.setting == "predictor":
                    raise
                refused.append({"device": device.name, "why": refusal.allowed, "next": refusal.next})
            advance(note=device.name)
    data: dict[str, Any] = {
        "model": found.name,
        "question": question,
        "predictions": [one for listed in predicted.values() for one in listed],
        "refused": refused,
    }
    shown = [view.predictions(found, question, predicted, refused)]
    answered = [device for device in devices if device.name in predicted]
    if args.why:
        data["why"], more = view.whys(found, question, answered)
        shown += more
    if args.plot is not None:
        view.draw(found, question, answered, predicted, args.plot)
        shown.append(f"Plot: {args.plot}")
    return Answer(data, view.group(shown))


def opened(name: str, question: Any) -> Any:
    """The model of that name; a Python function takes seconds to trace, under a bar."""
    from netwright.core.run import progress
    from netwright.predict import model

    if not model.FUNCTION.fullmatch(name):
        return model.open(name, question.sequence)
    with progress(f"tracing {name}", None):
        return model.open(name)


def _question(args: argparse.Namespace) -> Any:
    from netwright.predict import scale
    from netwright.predict.cost import Terms
    from netwright.predict.question import Question

    priced = (args.price, args.provider, args.price_file, args.electricity)
    terms = None
    if any(value is not None for value in priced):
        terms = Terms(
            kind=args.price or "on-demand", file=args.price_file, provider=args.provider,
            electricity=args.electricity, years=args.years,
        )  # fmt: skip
    return Question(
        batch=args.batch, sequence=args.sequence, output=args.output, precision=args.precision,
        split=scale.parse(args.parallel, args.devices), training=args.training, compiled=args.compiled,
        terms=terms, measured=args.measured,
    )  # fmt: skip


def _devices(args: argparse.Namespace) -> list[Any]:
    from netwright.hardware import catalog, names

    own = [catalog.from_specs(path) for path in args.specs]
    named = {names.plain(name): device for device in own for name in (device.name, *device.aliases)}
    found = [*catalog.all()] if args.all else []
    found += [named.get(names.plain(name)) or catalog.find(name) for name in args.device]
    found += [device for device in own if device not in found]
    if not found:
        nearest = f"netwright predict {' '.join(args.overrides)} --all"
        raise UserError("device", "", "a device of `netwright hardware list`", nearest)
    return list({device.name: device for device in found}.values())
