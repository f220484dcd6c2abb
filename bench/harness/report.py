"""Runs a benchmark: contenders in turn, a progress line, and a table at the end."""

import argparse
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from harness import machine
from harness.contenders import TATSUMAKI, Contender
from harness.process import Generator, Trouble

Result = dict[str, float]
ROUNDS = 5
DISTURBED = 0.05


class Benchmark:
    """One benchmark. Prints the machine immediately, and each table when it is complete.

    Args:
        doc: the script's docstring; its first line is the title.
        files: how many file descriptors one of its processes may need.
        measures: the names of its measures. The command line may select some; the default is all.
    """

    def __init__(self, doc: str, files: int = 1024, measures: Sequence[str] = ()) -> None:
        parser = argparse.ArgumentParser(description=doc)
        parser.add_argument(
            "--quick", action="store_true", help="short and small, for a rough idea"
        )
        parser.add_argument(
            "--only", metavar="TEXT", help="only contenders whose name contains TEXT"
        )
        if measures:
            parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(measures))
        arguments = parser.parse_args()
        self.measures: Sequence[str] = getattr(arguments, "measures", None) or measures
        if unknown := set(self.measures) - set(measures):
            parser.error(f"{', '.join(unknown)}: not one of {', '.join(measures)}")
        self.quick: bool = arguments.quick
        self.rounds = 3 if self.quick else ROUNDS
        self._only = (arguments.only or "").lower()
        self._others = machine.Others()
        self._left_out: list[str] = []
        machine.raise_file_limit(files)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: sys.exit(1))  # leaves the `with` of each server
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self.generator = Generator(Path(self._folder.name))
        print(f"# {doc.splitlines()[0]}\n\n{machine.describe()}")
        print(f"python {os.path.relpath(sys.argv[0])} {' '.join(sys.argv[1:])}".strip(), end="\n\n")

    def compare(
        self,
        title: str,
        contenders: Sequence[Contender],
        measure: Callable[[Contender], Result],
        lowest: Collection[str] = (),
        rounds: int = 0,
    ) -> dict[str, Result]:
        """Call `measure` for each contender in turn. Returns the medians by name, without failed
        contenders.

        Args: lowest: names of values that other processes can only raise: for these, the lowest
            value counts instead of the median. rounds: how many, if not the usual number.
        """
        rounds = rounds or self.rounds
        running = [contender for contender in contenders if self._takes_part(contender)]
        results: dict[str, list[Result]] = {contender.name: [] for contender in running}
        for number in range(rounds):
            # Each round starts with a different contender: none always runs after the same one.
            first = number % len(running) if running else 0
            for contender in running[first:] + running[:first]:
                self._progress(f"{title}: round {number + 1} of {rounds}, {contender.name}")
                try:
                    with self._others.watch():
                        results[contender.name].append(measure(contender))
                except Trouble as trouble:
                    self._progress("")
                    print(f"{contender.name} skipped: {trouble}", flush=True)
                    running = [other for other in running if other is not contender]
                    del results[contender.name]
        self._progress("")
        return {name: medians(rounds, lowest) for name, rounds in results.items()}

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        over: str = "median",
    ) -> None:
        """Print a table in Markdown; `over` says how the rounds were combined."""
        lines = [tuple(columns), *map(tuple, rows)]
        if len(lines) == 1:
            return
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines.insert(1, tuple("-" * width for width in widths))
        print(f"## {title}, {over} of {self.rounds} rounds\n")
        for line in lines:
            first, *rest = zip(line, widths, strict=True)
            cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
            print(f"| {' | '.join(cells)} |")
        print(flush=True)

    def end(self) -> None:
        """Print how reliable the numbers are."""
        self._folder.cleanup()
        share = self._others.share()
        print(f"Other processes used {share:.0%} of the machine", end="")
        print(": discard these numbers." if share > DISTURBED else ".", flush=True)

    def _takes_part(self, contender: Contender) -> bool:
        missing = contender.missing()
        if missing and contender.name not in self._left_out:
            self._left_out.append(contender.name)
            print(
                f"{contender.name} skipped: {', '.join(missing)} not installed (make bench-peers)\n"
            )
        return not missing and self._only in contender.name.lower()

    @staticmethod
    def _progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif text:
            print(text, file=sys.stderr, flush=True)


def medians(rounds: Sequence[Result], lowest: Collection[str] = ()) -> Result:
    """The median of each value, or the lowest for those named in `lowest`; and `spread`, (highest -
    lowest) / median of the first value.
    """
    middle = {
        key: (min if key in lowest else statistics.median)(result[key] for result in rounds)
        for key in rounds[0]
    }
    first = next(iter(middle))
    values = [result[first] for result in rounds]
    middle["spread"] = (max(values) - min(values)) / middle[first] if middle[first] else 0.0
    return middle


def ratio(results: dict[str, Result], name: str, key: str, lower_is_better: bool = False) -> str:
    """How many times better tatsumaki_py is than `name`."""
    ours = results.get(TATSUMAKI.name, {}).get(key)
    theirs = results[name][key]
    if not ours or not theirs:
        return "-"
    return f"{theirs / ours if lower_is_better else ours / theirs:.2f}"
