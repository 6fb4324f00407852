"""A value that is made in the background."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import time
from sqlgen.pipeline.once import Once

def load():
    time.sleep(0.5)
    print("loaded", flush=True)

Once(load).start()
"""


def test_a_process_does_not_end_while_a_library_loads() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "loaded\n", "")
