"""tatsumaki.py without the counters of its streams, to measure their cost."""

import runpy
from pathlib import Path
from typing import Any

from tatsumaki_py.push import cohort, flusher
from tatsumaki_py.push.counted import Counted
from tatsumaki_py.push.place import Sent
from tatsumaki_py.push.reading import Reading


def nothing(*args: Any) -> None:
    pass


# Two additions for each stream remain, in `Flusher._send_to`.
cohort.count = flusher._count = nothing
Counted.took = Counted.look_at = Reading.settle = nothing
Sent.with_ = lambda sent, read, times=1: sent

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("tatsumaki.py")), run_name="__main__")
