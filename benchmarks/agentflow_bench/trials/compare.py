"""Two results of one bench side by side: the same cases, and how sure the difference is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from agentflow.errors import UserError
from agentflow_bench.trials.intervals import Interval, difference, sign_test
from agentflow_bench.trials.row import Row, read_rows

__all__ = ["Comparison", "Difference", "compare_rows"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure's means over the cases that both have, and how far they are apart."""

    name: str
    n: int
    before: float
    after: float
    difference: float
    interval: Interval

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two results; `p` is McNemar's exact test of who is right more often."""

    before: str
    after: str
    n: int
    alone: int
    right_before: int
    right_after: int
    p: float
    figures: Sequence[Difference]

    def as_json(self) -> dict[str, object]:
        """Return it as data."""
        return asdict(self)

    def as_text(self) -> str:
        """Return it as a table; a star marks a difference that is sure at 95 %."""
        rows = [("", "cases", "A", "B", "B - A", "95 %")]
        for each in self.figures:
            low, high = each.interval
            told = f"{low:+.4g} to {high:+.4g}" + (" *" if each.sure else "")
            rows.append(
                (
                    each.name,
                    str(each.n),
                    f"{each.before:.4g}",
                    f"{each.after:.4g}",
                    f"{each.difference:+.4g}",
                    told,
                )
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [f"A {self.before}, B {self.after}: {self.n} cases that both have"]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines.append(
            f"right in A alone {self.right_before}, in B alone {self.right_after}:"
            f" p = {self.p:.3g} (McNemar, exact)"
        )
        if self.alone:
            lines.append(f"left out, since only one of them has an answer to it: {self.alone}")
        return "\n".join(lines)


def compare_rows(before: Path, after: Path) -> Comparison:
    """Compare two files of rows case by case. Raises `UserError`."""
    old, new = _answered(before), _answered(after)
    both = [name for name in old if name in new]
    if not both:
        raise UserError(f"{before} and {after} have no case in common; compare two results of one bench")
    pairs = [(old[name], new[name]) for name in both]
    figures = [_difference("right", [(float(a.right), float(b.right)) for a, b in pairs])]
    for name in dict.fromkeys(figure for pair in pairs for row in pair for figure in row.figures):
        known = [
            (float(x), float(y))
            for a, b in pairs
            if (x := a.figures.get(name)) is not None and (y := b.figures.get(name)) is not None
        ]
        if known:
            figures.append(_difference(name, known))
    figures.append(_difference("tokens", [(float(a.tokens), float(b.tokens)) for a, b in pairs]))
    figures.append(_difference("seconds", [(a.seconds, b.seconds) for a, b in pairs]))
    costs = [(a.cost, b.cost) for a, b in pairs if a.cost is not None and b.cost is not None]
    if costs:
        figures.append(_difference("USD", costs))
    first = sum(a.right and not b.right for a, b in pairs)
    last = sum(b.right and not a.right for a, b in pairs)
    alone = len(set(old) ^ set(new))
    return Comparison(before.stem, after.stem, len(both), alone, first, last, sign_test(first, last), figures)


def _answered(file: Path) -> dict[str, Row]:
    return {row.id: row for row in read_rows(file) if row.error is None}


def _difference(name: str, pairs: Sequence[tuple[float, float]]) -> Difference:
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    return Difference(name, len(pairs), fmean(before), fmean(after), *difference(before, after))
