"""The table of the engines' settings is complete, and true."""

import pytest
from support.program import ROOT

from tatsumaki_py.message_queue.engine.option import options_of
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.sqlite.options import SQLiteOptions

PAGE = (ROOT / "docs/guide/engines.md").read_text()
ENGINES = {"Redis": RedisOptions, "SQLite": SQLiteOptions}


def rows(engine):
    """The rows about `engine` as lists of cells without backquotes."""
    table = PAGE.partition("## Settings")[2].partition("|---|---|---|---|---|\n")[2]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.partition("\n\n")[0].splitlines()
    ]
    return [row[1:] for row in cells if row[0] == engine]


def shown(default):
    """How the table shows a default."""
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{'yes' if default else 'no'}`"
    return f"`{default:.10g}`" if isinstance(default, int | float) else f"`{default}`"


@pytest.mark.parametrize("engine", ENGINES)
def test_options(engine):
    """Every option of the engine, in the order of its class, with its default and unit."""
    known = options_of(ENGINES[engine])
    expected = [
        [f"`{name}`", shown(field.default), field.metadata["option"]["unit"]]
        for name, field in known.items()
    ]
    assert [row[:3] for row in rows(engine)] == expected
    assert all(len(row) == 4 and row[3] for row in rows(engine))
