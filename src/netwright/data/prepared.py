"""Keep what was decoded or encoded from a source, so that it is done once: tensors, in the cache, checked.

    tensors = prepared("cifar10", {"source": sha256, "version": 1}, decode)

The file's name holds the digest of what determines its bytes and the sha256 of the bytes, so that one
rename publishes both, and a file that was changed or cut is made again. This file does not know what
the tensors mean. It is safetensors: nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from netwright.core import artifact, recipe
from netwright.data.sources import cache_error, cache_folder


def prepared(name: str, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of this key from the cache, or made now. Raises UserError when the cache cannot be written."""
    from safetensors.torch import load_file, save_file

    folder = cache_folder() / "prepared"
    stem = f"{name}-{recipe.digest(key)[:16]}"
    for path in folder.glob(f"{stem}-*.safetensors"):
        if artifact.describe(path).sha256[:32] == path.stem.removeprefix(f"{stem}-"):
            return load_file(path)
        path.unlink(missing_ok=True)
    tensors = make()
    draft = folder / f".{stem}.{os.getpid()}.draft"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, draft)
        os.replace(draft, folder / f"{stem}-{artifact.describe(draft).sha256[:32]}.safetensors")
    except Exception as fault:  # safetensors tells a full disk by its own exception
        raise _refused(fault, folder) from fault
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return tensors


def _refused(fault: Exception, folder: Path) -> Exception:
    return cache_error(fault if isinstance(fault, OSError) else OSError(str(fault)), folder)
