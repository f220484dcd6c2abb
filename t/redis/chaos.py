"""Longer runs of `test_chaos.py`: ``python t/redis/chaos.py --seconds 30 --runs 20 --seed 1``.

Each run has another seed. The files of a failed run are kept.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from support.chaos.run import Run  # noqa: E402
from support.nginx import spreading  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the first")
    parser.add_argument("--sentinel", action="store_true", help="also change the master")
    options = parser.parse_args()
    failed = 0
    for seed in range(options.seed, options.seed + options.runs):
        failed += not one(seed, options.seconds, options.sentinel)
    print(f"{failed} of {options.runs} failed")
    return failed > 0


def one(seed, seconds, sentinel):
    """Run the test once and return whether it passed."""
    directory = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
    started = time.monotonic()
    with spreading(directory) as spread:
        run = Run(directory, spread, seed, seconds, sentinel=sentinel)
        try:
            asyncio.run(run.run())
            fault = None
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            fault = error
    print(f"seed {seed}: {'FAILED' if fault else 'well'}, {time.monotonic() - started:.0f} s")
    print(f"  {run.summary}", flush=True)
    if fault is not None:
        traceback.print_exception(fault)
        print(f"  files: {directory}", flush=True)
        return False
    shutil.rmtree(directory)
    return True


if __name__ == "__main__":
    sys.exit(main())
