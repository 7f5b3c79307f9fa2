"""The same map over a local Ray, in a process of its own: Ray's own warnings are not ours to mend."""

import subprocess
import sys

SCRIPT = """
from netwright.core.map import map as fan_out

def square(x):
    return x * x

def refuse(x):
    if x == 2:
        raise KeyError(f"item {x}")
    return x

def process_of(x):
    import os
    return os.getpid()

import os, ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
assert fan_out(square, range(7), where="ray") == fan_out(square, range(7), where="here")
assert fan_out(square, [], where="ray") == []
assert os.getpid() not in fan_out(process_of, range(2), where="ray")
try:
    fan_out(refuse, range(5), where="ray")
except KeyError as fault:
    assert "item 2" in str(fault), fault
else:
    raise AssertionError("no exception")
assert ray.is_initialized()  # what others started stays
ray.shutdown()
assert fan_out(square, range(3), where="ray") == [0, 1, 4]
assert not ray.is_initialized()  # what it started itself does not
print("all as it should be")
"""


def test_ray_gives_the_same_as_here(tmp_path):
    # a file, and not -c: Ray pickles functions by value only where it can read their source
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "all as it should be\n"
