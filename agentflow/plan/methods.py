"""The ways to have a model plan: those of "Plan Like a Graph" (arXiv 2402.02805), and two beyond it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from agentflow.errors import UserError

__all__ = [
    "METHODS",
    "MOST_SHOTS",
    "Method",
    "cot",
    "few_shot",
    "few_shot_cot",
    "io",
    "method_of",
    "plag_bag",
    "plag_checked",
    "plag_explicit",
    "plag_run",
]

METHODS = ("io", "cot", "few_shot", "few_shot_cot", "plag_explicit", "plag_bag", "plag_checked", "plag_run")
MOST_SHOTS = 6  # worked examples that there are
_SHOTS = 3
_TEXT = re.compile(r"(\w+?)(?:[(:-](\d{1,3})\)?)?")


@dataclass(slots=True, frozen=True)
class Method:
    """How a model is asked: with so many worked examples, to reason, with a graph given or built."""

    name: str
    shots: int = 0
    reasons: bool = False

    def __str__(self) -> str:
        return f"{self.name}({self.shots})" if self.shots else self.name

    @property
    def computed(self) -> bool:
        """Whether the total is computed from the model's graph, and not read from its answer."""
        return self.name in ("plag_checked", "plag_run")


def io() -> Method:
    """Return the method that asks for the answer alone."""
    return Method("io")


def cot() -> Method:
    """Return the method that lets the model think step by step."""
    return Method("cot", reasons=True)


def few_shot(k: int = _SHOTS) -> Method:
    """Return the method that shows `k` answered examples."""
    return Method("few_shot", _checked(k))


def few_shot_cot(k: int = _SHOTS) -> Method:
    """Return the method that shows `k` examples with the way to their answers."""
    return Method("few_shot_cot", _checked(k), reasons=True)


def plag_explicit() -> Method:
    """Return the method that gives the graph in the prompt."""
    return Method("plag_explicit", reasons=True)


def plag_bag() -> Method:
    """Return the method by which the model builds a graph first."""
    return Method("plag_bag", reasons=True)


def plag_checked() -> Method:
    """Return the method by which the graph is structured output: checked, and its total computed."""
    return Method("plag_checked")


def plag_run() -> Method:
    """Return the method by which the plan is a line a step, each begun while later ones are written."""
    return Method("plag_run")


def method_of(text: str | Method) -> Method:
    """Return the method of a name, such as `plag_bag` or `few_shot(3)`. Raises `UserError`."""
    if isinstance(text, Method):
        return text
    found = _TEXT.fullmatch(text.strip().replace("-", "_").lower())
    name = found[1] if found else text
    if name not in METHODS:
        near = get_close_matches(name, METHODS, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"allowed: {', '.join(METHODS)}"
        raise UserError(f"no method `{text[:40]}` of planning ({hint})")
    shots = int(found[2]) if found and found[2] else None
    if name.startswith("few_shot"):
        make = few_shot_cot if name == "few_shot_cot" else few_shot
        return make(_SHOTS if shots is None else shots)
    if shots is not None:
        raise UserError(f"method `{name}` has no number of examples: few_shot({shots}) has")
    return Method(name, reasons=name in ("cot", "plag_explicit", "plag_bag"))


def _checked(shots: int) -> int:
    if not 1 <= shots <= MOST_SHOTS:
        raise UserError(f"few_shot takes 1 to {MOST_SHOTS} examples, not {shots}")
    return shots
