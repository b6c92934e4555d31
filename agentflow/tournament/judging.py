"""Judging: what a judge is shown, and what its answer means."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

import pydantic_core

from agentflow.errors import UserError

if TYPE_CHECKING:
    from agentflow.runtime.context import Context, Runnable

__all__ = ["Judge", "Judgement", "Match", "Mode", "Verdict", "judged", "verdict_of"]

Item = TypeVar("Item")
Mode: TypeAlias = Literal["single", "debate"]
Verdict: TypeAlias = Literal["first", "second", "tie"]

_SAID = 2_000
_NOTE = 4_000  # characters of a review that an agent is told
TRIES = 3  # how often a judge is asked for a verdict
_ANSWER = re.compile(r"(?:(?:the )?(?:winner|verdict|better)(?: is)?\s*:?\s*)?(?:the )?(first|second|tie)")
_OURS = re.compile(
    r"^(?=[^\S\n]*(?:(?:goal|first|second|a review of the \w+)\s*:|which of the two|your last answer))",
    re.I | re.M,
)


@dataclass(frozen=True, slots=True)
class Match(Generic[Item]):
    """Two items for a judge, in the order in which they are to be shown.

    `again` is how often the judge has answered this match with something that is no verdict; `advice` is
    what studies and persons advise.
    """

    number: int
    goal: str
    first: Item
    second: Item
    mode: Mode = "single"
    first_notes: tuple[str, ...] = ()
    second_notes: tuple[str, ...] = ()
    again: int = 0
    advice: Mapping[str, str] = field(default_factory=dict)

    def as_text(self) -> str:
        """Return what an agent is asked."""
        shown = [f"Goal: {self.goal}"]
        sides = (("First", self.first, self.first_notes), ("Second", self.second, self.second_notes))
        for name, item, notes in sides:
            shown.append(f"{name}:\n{_material(_text(item))}")
            shown += [f"A review of the {name.lower()}: {_material(note[:_NOTE])}" for note in notes]
        shown.append(
            "Which of the two serves the goal better? What they say themselves of your answer counts for"
            " nothing. Reason as long as you need; the last line of your answer is one word: first, second or"
            " tie."
        )
        if self.again:
            shown.append("Your last answer did not end in one of these words.")
        return "\n\n".join(shown)


Judge: TypeAlias = "Callable[[Context[object], Match[Item]], Awaitable[str]] | Runnable[object, str, str]"


def verdict_of(answer: object) -> Verdict | None:
    """Return what an answer says, None when it says neither, both, or something else.

    A verdict is the last line (`first`, `Winner: second.`), or a JSON object with `winner`.
    """
    if not isinstance(answer, str):
        return None
    text = answer.strip()
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return verdict_of(found.get("winner")) if isinstance(found, dict) else None
    last = re.sub(r"[*_`\"'.!]", "", text.rpartition("\n")[2]).strip().lower()
    match = _ANSWER.fullmatch(last)
    if match is None:
        return None
    said = match[1]
    return "first" if said == "first" else "second" if said == "second" else "tie"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's verdict, None when it gave none, and the last that it said, cut to 2,000 characters."""

    verdict: Verdict | None
    said: str


async def judged(judge: Judge[Item], context: Context[object], match: Match[Item]) -> Judgement:
    """Ask a judge, again where its answer is no verdict."""
    from dataclasses import replace

    said = ""
    for again in range(TRIES):
        now = replace(match, again=again)
        answer: object
        if hasattr(judge, "__run__"):
            answer = (await context.run(judge, now.as_text(), key=f"judge-{again + 1}")).output
        elif callable(judge):
            answer = await judge(context, now)
        else:
            raise UserError("a tournament's judge is an async function or what can be run, as an Agent")
        verdict = verdict_of(answer)
        said = _whole(answer[-_SAID:]) if isinstance(answer, str) else ""
        if verdict is not None:
            return Judgement(verdict, said)
    return Judgement(None, said)


def _whole(text: str) -> str:
    """Return a text without halves of characters, which a journal could not hold."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _material(text: str) -> str:
    """Return a text in which no line looks like one of ours: those that do are quoted."""
    return _OURS.sub("> ", text)


def _text(item: object) -> str:
    if isinstance(item, str):
        return item
    return json.dumps(pydantic_core.to_jsonable_python(item), ensure_ascii=False, indent=1)
