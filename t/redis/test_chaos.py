"""Whatever fails in Redis and the workers, each client gets every event once and in order, or a
gap, and each publisher knows which events were accepted. TATSUMAKI_SEED sets the seed of another
run. For longer runs: ``python t/redis/chaos.py``.
"""

import os

import pytest
from support.chaos.run import Run
from support.nginx import spread  # noqa: F401

SECONDS = 2.5
SEED = 12


@pytest.mark.parametrize("sentinel", [False, True], ids=["one", "sentinel"])
@pytest.mark.gen_test(timeout=90)
async def test_chaos(tmp_path, spread, sentinel):  # noqa: F811
    seed = int(os.environ.get("TATSUMAKI_SEED") or SEED)
    run = Run(tmp_path, spread, seed, SECONDS, sentinel=sentinel)
    try:
        await run.run()
    except BaseException:
        print(f"TATSUMAKI_SEED={seed}: {run.summary}")
        raise
