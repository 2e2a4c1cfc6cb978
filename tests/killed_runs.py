"""Runs in a process of their own that are killed, each at a step told by number.

The code that runs calls `told` after each of its steps, and goes on when it is let; so where a kill
comes depends on no clock, but for where between two steps.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

TOLD = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})

def told(*_):
    print("\\ntold", flush=True)
    sys.stdin.readline()
"""


def kill(code, *arguments, steps):
    """Run `code` once for each of `steps`, and kill it in the step after so many."""
    moments = random.Random(0)
    for number in steps:
        run = subprocess.Popen(
            [sys.executable, "-c", TOLD + code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            for _ in range(number):
                assert "told\n" in iter(run.stdout.readline, ""), run.communicate()[1]
                run.stdin.write("\n")
                run.stdin.flush()
            time.sleep(moments.uniform(0, 0.05))
        finally:
            run.kill()
            run.communicate()
        assert run.returncode == -signal.SIGKILL
