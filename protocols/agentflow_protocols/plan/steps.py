"""Lines that name a step and how long it takes: `1. Boil the water (10 minutes)`, with what it waits for.

Tables, bullets, dictionaries and bare tables of durations (`1: 10 minutes`) are read too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentflow_protocols.duration import seconds_range
from agentflow_protocols.errors import RemoteProtocolError
from agentflow_protocols.plan.text import END, START, PlanFault, PlanStep, PlanText, PlanTextError, clip, tidy

__all__ = [
    "StepLine",
    "encode_lines",
    "encode_steps",
    "join_steps",
    "no_duration",
    "parse_steps",
    "read_step",
    "step_lines",
]

_LEAD = re.compile(
    r"[\s>*•+–\-{\[(\"'`#]{0,20}(?P<word>(?:step|task)[ #]{1,3})?(?P<name>\w{1,100}(?:-\w{1,100}){0,20})"
    r"[*\"'`_]{0,4}\s?(?P<mark>[.:)\]|]|-(?= ))[*\"'`_]{0,4}",
    re.IGNORECASE | re.ASCII,
)
_TAIL = re.compile(
    r"(?<=[)\]])[*_]{0,3} ?[-–—;,.:]? ?[(\[]?"
    r"(?:<-{1,9}|←|after\b:?|waits for\b:?|depends on\b:?|needs\b:?|requires\b:?)",
    re.IGNORECASE,
)
_PREFIX = re.compile(
    r"(?:[~≈<>≤≥]|(?:est(?:imated)?|approx(?:imately)?|ca|about|around|roughly|takes?|duration|time)\b\.?)"
    r"[: ]{0,3}",
    re.IGNORECASE,
)
_MOST_WORDS = 200
_INSIDE = re.compile(r"[;,] ?(?:after|waits for|depends on|needs)\b:?", re.IGNORECASE)
_ENTRY = re.compile(r"[\"'](\w{1,100})[\"']\s?:\s?[\"']([^\"']{0,200})[\"']", re.ASCII)
_NONE = re.compile(r"[-–—\[\](){}∅. ]*|none\.?|nothing\.?|start\.?|n/?a\.?", re.IGNORECASE)
_WORD = re.compile(r"[\"'`]?(?:(?:steps?|task)[ #]{1,3})?(\w+(?:-\w+)*)[\"'`]?", re.IGNORECASE | re.ASCII)
_HEADINGS = {
    "after", "answer", "columns", "critical", "duration", "durations", "edges", "end", "example", "graph",
    "indices", "makespan", "name", "node", "nodes", "note", "order", "path", "paths", "plan", "question",
    "row_ptr", "solution", "start", "step", "steps", "task", "time", "times", "total", "values", "vertices",
}  # fmt: skip


@dataclass(slots=True)
class StepLine:
    """What a line says of a step. `seconds` is None where it names no duration, `after` where no order."""

    line: int
    name: str
    text: str
    duration: str
    seconds: tuple[float, float] | None
    after: list[str] | None = None
    rest: str = ""  # all that follows the name


def encode_steps(plan: PlanText) -> str:
    """Return a line a step, `NAME. TEXT (DURATION)`."""
    return "\n".join(_line(step) for step in plan.steps)


def encode_lines(plan: PlanText) -> str:
    """Return a line a step with what it waits for, `NAME. TEXT (DURATION) <- NAME, NAME`."""
    after = plan.after()
    return "\n".join(
        _line(step, True) + (f" <- {', '.join(after[step.name])}" if after[step.name] else "")
        for step in plan.steps
    )


def _line(step: PlanStep, brackets: bool = False) -> str:
    if step.text:
        return f"{step.name}. {step.text} ({step.duration})"
    if brackets or step.name.lower() in _HEADINGS:
        return f"{step.name}. ({step.duration})"
    return f"{step.name}: {step.duration}"


def parse_steps(text: str) -> list[PlanStep]:
    """Return the steps that a text lists. Raises `PlanTextError` for none, and for one without duration."""
    return join_steps(step_lines(text))


def step_lines(text: str) -> list[StepLine]:
    """Return what each line says of a step."""
    found: list[StepLine] = []
    for number, line in enumerate(text.splitlines(), 1):
        entries = _ENTRY.findall(line) if line.count(":") > 1 else []
        timed = [(name, *(_timed(words) or (words, None))) for name, words in entries]
        if len(timed) > 1 and any(seconds is not None for _, _, seconds in timed):
            found += [StepLine(number, name, "", words, seconds) for name, words, seconds in timed]
        elif (one := read_step(line, number)) is not None:
            found.append(one)
    return found


def join_steps(lines: list[StepLine]) -> list[PlanStep]:
    """Return the steps of some lines: the text of one and the duration of another may belong together."""
    steps: dict[str, StepLine] = {}
    wrong: list[PlanFault] = []
    for line in lines:
        known = steps.get(line.name)
        if known is None:
            steps[line.name] = line
        elif known.seconds is None or line.seconds is None or not known.text or not line.text:
            _merge(known, line, wrong)
        elif (known.text, known.seconds) != (line.text, line.seconds):
            wrong.append(PlanFault(f"step {line.name} is there twice, first in line {known.line}", line.line))
    for line in steps.values():
        if line.seconds is None:
            wrong.append(no_duration(line))
    if not steps:
        wrong.append(PlanFault("there are no steps; expected lines such as `1. Boil the water (10 minutes)`"))
    if wrong:
        raise PlanTextError(*sorted(wrong, key=lambda fault: fault.line))
    return [PlanStep(s.name, s.text, s.duration, s.seconds) for s in steps.values() if s.seconds is not None]


def _merge(known: StepLine, line: StepLine, wrong: list[PlanFault]) -> None:
    if line.seconds is not None:
        if known.seconds is not None and known.seconds != line.seconds:
            wrong.append(
                PlanFault(
                    f"step {line.name} takes `{clip(known.duration)}` by line {known.line}, here"
                    f" `{clip(line.duration)}`; one duration a step is expected",
                    line.line,
                )
            )
        known.seconds, known.duration = line.seconds, line.duration
    known.text = known.text or line.text


def no_duration(line: StepLine) -> PlanFault:
    """Return the fault of a step without a duration."""
    said = f"`{clip(line.duration)}` is no duration" if line.duration else "there is no duration"
    return PlanFault(
        f"step {line.name}: {said}; expected `{line.name}. TEXT (DURATION)`, such as (10 minutes)", line.line
    )


def read_step(line: str, number: int) -> StepLine | None:
    """Return what a line says of a step; None for one that says nothing of any."""
    line = " ".join(line.split())
    if line.startswith("|"):
        return _row(line, number)
    lead = _LEAD.match(line)
    if lead is None:
        return None
    name, rest = lead["name"], line[lead.end() :].strip()
    if line[: lead.start("name")].rstrip().endswith(("'", '"')):  # an entry of a dictionary
        rest = rest.strip(" ,\"'}")
    after, rest = _after(rest)
    text, duration, seconds, after_inside = _parts(rest)
    after = after if after_inside is None else after_inside
    if name.upper() in (START, END) or (
        name.lower() in _HEADINGS and (seconds is None or lead["mark"] != ".")
    ):
        return None
    if seconds is None and not (_is_words(rest) if name.isdigit() else duration and lead["mark"] == "."):
        return None
    return StepLine(number, name, tidy(text), duration, seconds, after, rest)


def _parts(rest: str) -> tuple[str, str, tuple[float, float] | None, list[str] | None]:
    """Return text, duration, its seconds and what stands beside it in the brackets."""
    plain = rest.rstrip(" .;,*_`")
    if plain.endswith((")", "]")):
        at = max(plain.rfind("("), plain.rfind("["))
        if at >= 0:
            inner = plain[at + 1 : -1].strip()
            after = None
            if inside := _INSIDE.search(inner):
                after, inner = _names(inner[inside.end() :]), inner[: inside.start()]
            if (timed := _timed(inner)) is not None:
                return plain[:at], *timed, after
            if any(c.isdigit() for c in inner[:4]):
                return rest, inner.strip("\"' "), None, None
    if (timed := _timed(plain)) is not None:
        return "", *timed, None
    for mark in (" - ", " – ", " — ", ": ", " | ", ", "):
        text, found, words = plain.rpartition(mark)
        if found and (timed := _timed(words)) is not None:
            return text, *timed, None
    return rest, "", None, None


def _row(line: str, number: int) -> StepLine | None:
    """Return what a row of a Markdown table says of a step."""
    cells = [tidy(cell.strip(" \"'")) for cell in line.strip("| ").split("|")]
    found = _WORD.fullmatch(cells[0])
    if found is None or len(cells) < 2 or found[1].lower() in _HEADINGS:
        return None
    for at in range(1, len(cells)):
        if (timed := _timed(cells[at])) is not None:
            texts = [cell for place, cell in enumerate(cells[1:], 1) if place != at]
            after = _names(texts[-1]) if len(texts) > 1 else None
            return StepLine(number, found[1], texts[0] if texts else "", *timed, after)
    return None


def _after(rest: str) -> tuple[list[str] | None, str]:
    """Return what a line says the step waits for, and the line before that."""
    last: re.Match[str] | None = None
    for found in _TAIL.finditer(rest):
        last = found
    if last is None or _parts(rest[: last.start()])[2] is None or "(" in rest[last.end() :].strip(" ("):
        return None, rest
    return _names(rest[last.end() :]), rest[: last.start()]


def _names(text: str) -> list[str]:
    """Return the names of a list, none for `none` and the like."""
    text = text.strip(" .;,)]([")
    if _NONE.fullmatch(text):
        return []
    return [found[1] for found in _WORD.finditer(text) if found[1].lower() != "and"]


def _timed(words: str) -> tuple[str, tuple[float, float]] | None:
    """Return the duration that some words are, and its seconds: also of `~5 minutes` and `2 weeks, $500`."""
    words = words.strip("\"' ").rstrip(".")
    for _ in range(3):
        try:
            return words, seconds_range(words)
        except RemoteProtocolError:
            if (prefix := _PREFIX.match(words)) is None:
                break
            words = words[prefix.end() :]
    parts = re.split(r"[,;] ", words[:_MOST_WORDS])
    timed = [one for part in parts if len(parts) > 1 and (one := _timed(part)) is not None]
    return timed[0] if len(timed) == 1 else None


def _is_words(rest: str) -> bool:
    """Return whether something reads as what is done, and not as names or numbers."""
    return len(re.findall(r"[^\W\d_]{2,}", rest)) > 0 and not re.search(
        r"->|→|<-|←|\b(?:START|END)\b|\bstep \d|=", rest
    )
