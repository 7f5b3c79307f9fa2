"""Two small sources in place of the packages: an icon set and photographs, one file of them damaged."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from netwright.core.error import UserError
from netwright.svg import dataset

FAMILIES = ("mdi", "mate-nature", "openmoji", "ph")


def make(folder: Path) -> None:
    """Write the sources."""
    for family in ("mdi", "openmoji"):
        (folder / family).mkdir(parents=True)
        bodies = {
            f"{name}-{style}": {"body": f'<path d="M{2 + at} 3h{9 + at}v{12 - at}z" fill="currentColor"/>'}
            for at, name in enumerate(("cup", "hat", "sun", "key", "box")) for style in ("fill", "outline")
        }  # fmt: skip
        bodies["empty"] = {"body": "<script>1</script>"}
        (folder / family / "icons.json").write_text(json.dumps({"icons": bodies, "width": 16, "height": 16}))
    (folder / "mate-nature").mkdir()
    for at in range(2):
        values = np.random.default_rng(at).integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(values).resize((240, 160)).save(folder / "mate-nature" / f"{at}.jpg")
    (folder / "mate-nature" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")


def use(folder: Path) -> None:
    """Let the builder fetch from there; `ph` is served by nobody, pictures are small and go to two to a part."""

    def fetch(source):
        name = source.name.removeprefix("svg-")
        if name == "ph":
            raise UserError("data", source.name, "none of its places could give it", "mend one")
        return folder / name

    dataset.fetch = fetch
    dataset.PART = 2
