"""The program of the recipe, with streams that the server ends after about a second."""

import runpy
from pathlib import Path

from tatsumaki_py import Server

RECIPE = Path(__file__).parents[3] / "examples/recipes/datastar.py"

if __name__ == "__main__":
    recipe = runpy.run_path(str(RECIPE))
    recipe["Updates"].max_stream_time = 1.0
    Server().run(recipe["app"])
