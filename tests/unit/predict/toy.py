"""A suite of made-up rows, whose truth is known: devices differ, a mode shifts, networks differ."""

import sys

import numpy as np
import pandas as pd

from netwright.hardware.device import Device
from netwright.predict.learning.table import Described, Specs


def device(name, architecture="one", **changes):
    about = {"manufacturer": "Maker", "kind": "gpu", "rates": {"bf16": 1e14}, "bandwidth": 1e12, "memory": 1e10}
    return Device(name=name, architecture=architecture, **{**about, **changes})


DEVICES = {
    name: device(name, architecture, rates={"bf16": rate}, bandwidth=bandwidth, year=year)
    for name, architecture, rate, bandwidth, year in (
        ("a1", "A", 1e14, 1e12, 2018),
        ("a2", "A", 2e14, 1.5e12, 2018),
        ("b1", "B", 3e14, 1e12, 2020),
        ("b2", "B", 5e14, 3e12, 2020),
        ("c1", "C", 9e14, 3e12, 2022),
        ("d1", "D", 2e15, 8e12, 2024),
    )
}
SHIFT = {"a1": 0.2, "a2": 0.1, "b1": -0.2, "b2": -0.1, "c1": 0.3, "d1": -0.3}


def columns(n, names=tuple(DEVICES), seed=0, noise=0.08):
    rng = np.random.default_rng(seed)
    made = {
        "device": rng.choice(np.array(names, dtype=object), n),
        "flops": 10 ** rng.uniform(8, 13, n),
        "bytes": 10 ** rng.uniform(6, 10, n),
        "mode": rng.choice(np.array(["eager", "compiled"], dtype=object), n),
        "family": rng.choice(np.array(["cnn", "vit"], dtype=object), n),
        "work": np.array([f"net{i % 50}" for i in range(n)], dtype=object),
    }
    specs = _specs(made)
    told = describe(made, specs)
    truth = told.base + 0.4 + 0.2 * np.tanh(told.features[:, 0])
    truth += np.array([SHIFT[name] for name in made["device"]]) + np.where(made["mode"] == "eager", 0.25, -0.25)
    truth += 0.2 * np.sin(np.arange(n) % 50) + rng.normal(0, noise, n)
    return {**made, "value": np.exp(truth)}


def describe(columns, specs):
    compute, memory = columns["flops"] / specs.rate("bf16"), columns["bytes"] / specs.bandwidth
    base = np.log(np.maximum(compute, memory) + 3e-6)
    n = len(base)
    return Described(
        base=base,
        features=np.stack([np.log(np.maximum(compute / memory, 1e-9)), base], axis=1),
        names=("compute_bound", "log_base"),
        monotone=(1, 0),
        refused=np.asarray(columns["flops"] <= 0),
        why=np.where(columns["flops"] <= 0, "no work", "").astype(object).reshape(n),
    )


def read(folder):
    path = folder / "toy.csv"
    if not path.is_file():
        return {}, {}
    frame = pd.read_csv(path)
    good = frame["value"] > 0
    made = {
        name: frame.loc[good, name].to_numpy(dtype=object if frame[name].dtype.kind not in "fi" else float)
        for name in frame
    }
    return made, {"value is no positive number": int((~good).sum())} if (~good).any() else {}


def _specs(made):
    return Specs.of(made["device"], DEVICES)


NAME, QUANTITY, REGIMES = "toy", "latency", ("compute_bound", "log_base")
PARAMS = {"num_iterations": 60, "learning_rate": 0.2, "num_leaves": 8}
SPLITS = {"old to new": lambda columns, specs: (specs.architecture != "D", specs.architecture == "D")}
suite = sys.modules[__name__]
