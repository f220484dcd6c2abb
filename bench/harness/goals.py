"""What the measurements of a benchmark should reach, and whether they do."""

from harness.report import Benchmark


class Goals:
    """Collects ratios, and prints them beside their goals."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, str]] = []

    def at_least(self, measure: str, value: float, goal: float | None) -> None:
        if goal is None:
            self.report(measure, value)
            return
        self._rows.append((measure, f"{value:.2f}", f">= {goal:g}", _verdict(value >= goal)))

    def at_most(self, measure: str, value: float, goal: float) -> None:
        self._rows.append((measure, f"{value:.2f}", f"<= {goal:g}", _verdict(value <= goal)))

    def report(self, measure: str, value: float) -> None:
        """A value without a goal."""
        self._rows.append((measure, f"{value:.2f}", "", ""))

    def table(self, bench: Benchmark) -> None:
        bench.table("Goals", ("measure", "value", "goal", ""), self._rows)


def _verdict(reached: bool) -> str:
    return "" if reached else "MISSED"
