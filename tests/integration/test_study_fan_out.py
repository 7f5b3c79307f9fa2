"""The formats of a study are the same files wherever they were made."""

import subprocess
import sys

import pytest

from netwright.core import artifact

SCRIPT = """
import sys
from netwright.core.map import map
from netwright.study import stages

if __name__ == "__main__":
    runs, source, where = sys.argv[1:]
    small = {"name": "quantize", "samples": 10, "examples": 20}
    jobs = [stages.Job(runs, source, format, steps) for format in ("onnx", "openvino") for steps in ((), (small,))]
    for wave in stages.waves(jobs):
        made = map(stages.made, wave, where=where)
    print(*made, sep="\\n")
"""


def made(tmp_path, source, where):
    script = tmp_path / "fan_out.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), str(tmp_path / where), str(source), where]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    opened = [artifact.open(folder) for folder in done.stdout.split()]
    return [(one.format, one.precision, one.digest) for one in opened if one.precision == "fp32"], [
        (one.format, one.precision, one.parents) for one in opened
    ]


@pytest.fixture(scope="module")
def here(tiny, tmp_path_factory):
    return made(tmp_path_factory.mktemp("here"), tiny["image"].artifact.folder, "here")


@pytest.mark.parametrize("where", ["processes", pytest.param("ray", marks=pytest.mark.slow)])
def test_the_same_artifacts_come_from_elsewhere(tiny, tmp_path, here, where):
    found = made(tmp_path, tiny["image"].artifact.folder, where)
    assert len(found[1]) == 4
    assert found == here
