"""CPU time until the command line answers: help, and the verbs that must not import torch.

    python benchmarks/startup.py            # 7 runs each, prints a Markdown table

User and system time of the child, from the operating system; the wall clock would count others' load.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

COMMANDS = (
    ["--help"],
    ["--version"],
    ["hardware", "--help"],
    ["hardware", "list"],
    ["hardware", "show", "h100"],
    ["predict", "--help"],
    ["doctor"],
)
RUNS = 7
BAR_S = 0.5


def cpu_seconds(words: list[str]) -> float:
    """CPU seconds of `netwright WORDS` in a fresh process."""
    command = [sys.executable, "-m", "netwright", *words]
    with tempfile.TemporaryFile() as sink, subprocess.Popen(command, stdout=sink, stderr=sink) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{command} ended with code {child.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    print("| command | CPU seconds, median | least | most |")
    print("|---|---|---|---|")
    worst = 0.0
    for words in COMMANDS:
        cpu_seconds(words)
        times = [cpu_seconds(words) for _ in range(RUNS)]
        worst = max(worst, statistics.median(times))
        print(f"| netwright {' '.join(words)} | {statistics.median(times):.2f} | {min(times):.2f} | {max(times):.2f} |")
    print(f"\nbar: {BAR_S} s; {'kept' if worst <= BAR_S else 'missed'}")
    return 0 if worst <= BAR_S else 1


if __name__ == "__main__":
    sys.exit(main())
