"""A deployment package: one zip archive with a model, what it needs to be understood, and a loader of twenty lines.

    path = pack(artifact, Path("model.zip"))

    model.onnx | model.xml + model.bin     as they were certified
    artifact.json, certificate.json        what it is, whence it comes, sha256 of each file, how equal it is
    card.md                                the same for a person
    run.py, requirements.txt               answers with nothing but the runtime and NumPy; a language model, which also
                                           takes tokenizers, goes on with a text

The archive is the same bytes whenever and wherever it is packed. Knows no network.
"""

from __future__ import annotations

import importlib.metadata
import json
import zipfile
from pathlib import Path
from typing import NoReturn

from netwright.core import artifact as artifacts
from netwright.core import workload
from netwright.core.artifact import MANIFEST, Artifact
from netwright.core.error import UserError
from netwright.core.recipe import plain
from netwright.export import decoding

LOADER = '''"""Answers of this model: `python run.py inputs.npz`, or of zeros without a file; needs {needs}."""
import hashlib, json, sys
from pathlib import Path
import numpy as np
{importing}

here = Path(__file__).resolve().parent
about = json.loads((here / "artifact.json").read_text())
for name, stated in about["files"].items():
    if hashlib.sha256((here / name).read_bytes()).hexdigest() != stated["sha256"]:
        sys.exit(f"{{name}} is not the file that was certified")
{opening}

def zeros(x):
    return np.zeros([1, *(size or 8 for size in x["shape"])], x["dtype"])

if __name__ == "__main__":
    inputs = dict(np.load(sys.argv[1])) if len(sys.argv) > 1 else {{n: zeros(x) for n, x in about["inputs"].items()}}
    names = about["task"]["classes"]
    for row in answer(inputs):
        said = {{"class": names[int(row.argmax())], "logits": row.tolist()}}
        print(json.dumps({{names[0]: float(row[0])}} if len(names) == 1 else said))
'''
RUNTIMES = {
    "onnx": (
        "onnxruntime",
        "import onnxruntime",
        'session = onnxruntime.InferenceSession(here / "model.onnx", providers=["CPUExecutionProvider"])\n\n'
        "def answer(inputs):\n    return session.run(None, inputs)[0]",
    ),
    "openvino": (
        "openvino",
        "import openvino",
        'model = openvino.Core().compile_model(here / "model.xml", "CPU", '
        '{{"INFERENCE_PRECISION_HINT": "{hint}"}})\n\n'
        "def answer(inputs):\n    return model(inputs)[0]",
    ),
}
"""Format -> the package it needs, how that is imported, and how a model is opened."""

WRITER = '''"""Goes on with a text: `python run.py "Once upon a time"`; needs {needs}."""
import hashlib, json, sys
from pathlib import Path
import numpy as np
import tokenizers
{importing}

here = Path(__file__).resolve().parent
about = json.loads((here / "artifact.json").read_text())
for name, stated in about["files"].items():
    if hashlib.sha256((here / name).read_bytes()).hexdigest() != stated["sha256"]:
        sys.exit(f"{{name}} is not the file that was certified")
says, words = about["processor"], tokenizers.Tokenizer.from_file(str(here / "tokenizer.json"))
{opening}

if __name__ == "__main__":
    first = [words.token_to_id(says["special"]["bos_token"])] if says["begins"] else []
    ids = first + words.encode(sys.argv[1] if len(sys.argv) > 1 else "Once upon a time", add_special_tokens=False).ids
    read, most = 0, min(len(ids) + 64, about["model"]["positions"])
    while len(ids) < most and ids[-1] not in says["stop"][not read and len(ids) == 1:]:
        ids.append(int(answer(np.array([ids[read:]]), read, len(ids)).argmax()))
        read = len(ids) - 1
    print(words.decode(ids))
'''
"""The loader of a language model: greedy, 64 tokens at most, with the cache of keys and values."""
_INPUTS = (
    '{{"input_ids": ids, "attention_mask": np.ones((1, total), np.int64), "position_ids": np.arange(read, total)[None]'
)
WRITERS = {
    "onnx": (
        'session = onnxruntime.InferenceSession(here / "model.onnx", providers=["CPUExecutionProvider"])\n'
        'past = {{x.name: np.zeros((1, x.shape[1], 0, x.shape[3]), "f4") for x in session.get_inputs()[3:]}}\n\n'
        "def answer(ids, read, total):\n    logits, *present = session.run(None, "
        + _INPUTS
        + ", **past}})\n    past.update(zip(past, present))\n    return logits[0, -1]"
    ),
    "openvino": (
        'model = openvino.Core().compile_model(here / "model.xml", "CPU", '
        '{{"INFERENCE_PRECISION_HINT": "{hint}"}})\nrequest = model.create_infer_request()\n\n'
        "def answer(ids, read, total):\n    return request.infer("
        + _INPUTS
        + ', "beam_idx": np.zeros(1, np.int32)}})[0][0, -1]'
    ),
}
"""Format -> how a language model is opened and asked for the logits of the last token."""


def pack(artifact: Artifact, path: Path) -> Path:
    """Write the archive. Raises UserError for a format without a loader, and for a full disk."""
    if artifact.format not in RUNTIMES:
        refuse(artifact.format)
    kept = {name: artifact.path(name).read_bytes() for name in artifact.files if name != workload.FILE}
    manifest = {**artifact._manifest(), "files": {name: plain(artifact.files[name]) for name in kept}}
    texts = {
        MANIFEST: json.dumps(manifest, indent=1, sort_keys=True),
        "run.py": loader(artifact),
        "requirements.txt": "".join(f"{name}=={importlib.metadata.version(name)}\n" for name in needed(artifact)),
    }
    files = {**kept, **{name: text.encode() for name, text in texts.items()}}

    def write(draft: Path) -> None:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(files):
                entry = zipfile.ZipInfo(f"{path.stem}/{name}", (1980, 1, 1, 0, 0, 0))
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, files[name])

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise artifacts.disk_error(fault, path) from fault
    artifacts.replace_file(path, write)
    return path


def refuse(format: str) -> NoReturn:
    """Raise UserError for a format without a loader."""
    raise UserError(
        "--package", format, f"packages hold the formats {', '.join(RUNTIMES)}",
        "netwright export ARTIFACT --format onnx --package",
    )  # fmt: skip


def needed(artifact: Artifact) -> tuple[str, ...]:
    """Packages that the loader imports."""
    return (RUNTIMES[artifact.format][0], "numpy", *(["tokenizers"] if decoding.generates(artifact) else []))


def loader(artifact: Artifact) -> str:
    """The text of run.py."""
    from netwright.export.openvino import HINTS

    _, importing, opening = RUNTIMES[artifact.format]
    writes = decoding.generates(artifact)
    opening = WRITERS[artifact.format] if writes else opening
    if writes or artifact.format == "openvino":
        opening = opening.format(hint=HINTS.get(artifact.precision, "f32"))
    *names, last = needed(artifact)
    needs = f"{', '.join(names)} and {last}"
    return (WRITER if writes else LOADER).format(needs=needs, importing=importing, opening=opening)
