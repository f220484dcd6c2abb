"""The goals of a benchmark, and whether the measurements reach them."""

from harness.report import Benchmark


class Goals:
    """Collects ratios, and prints them beside their goals. A goal of None only reports a value."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, str]] = []

    def at_least(self, measure: str, value: float, goal: float | None) -> None:
        self._add(measure, value, ">=", goal, goal is None or value >= goal)

    def at_most(self, measure: str, value: float, goal: float | None) -> None:
        self._add(measure, value, "<=", goal, goal is None or value <= goal)

    def table(self, bench: Benchmark) -> None:
        bench.table("Goals", ("measure", "value", "goal", ""), self._rows)

    def _add(
        self, measure: str, value: float, relation: str, goal: float | None, reached: bool
    ) -> None:
        wanted = "" if goal is None else f"{relation} {goal:g}"
        self._rows.append((measure, f"{value:.2f}", wanted, "" if reached else "MISSED"))
