"""Training data: simulated traces in markup, in which what the runtime put in is masked."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agentflow.agent import Agent
from agentflow.endpoints import Endpoint
from agentflow.errors import RunError, UserError
from agentflow.local.engine import EngineModel
from agentflow.runtime import Context, Run, Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow.session import InFlight
from agentflow.session.prompt import CHATML
from agentflow.tools import Tool
from agentflow_bench.asynclm.errands import Errands, errands
from agentflow_bench.asynclm.mind import Mind
from agentflow_bench.asynclm.oracle import in_flight
from agentflow_bench.asynclm.skills import Skill
from agentflow_bench.asynclm.token_engine import SimulatedEngine
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.chat import Json
from agentflow_protocols.cml import InterruptRead, Parser, ProtocolViolation

__all__ = ["TRACES", "traces", "write_traces"]

_PUT_IN = re.compile(r"\n?(?:\[INTR\].*?\[END\]\n?)+", re.DOTALL)
_TOLERANCE_S = 0.001


def write_traces(file: Path, samples: int, seed: int, tps: float | None = None) -> int:
    """Write `samples` traces to a JSON Lines file, and return how many tokens the model writes in them.

    The same seed gives the same bytes. Raises `UserError` when the file can't be written.
    """
    written = 0
    try:
        with file.open("w", encoding="utf-8") as out:
            for trace in traces(samples, seed, tps):
                out.write(json.dumps(trace, ensure_ascii=False) + "\n")
                written += int(str(trace["tokens"]))
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    return written


def traces(samples: int, seed: int, tps: float | None = None) -> Iterator[dict[str, Json]]:
    """Give the traces: `cml`, the spans of it to `mask`, `messages` of a chat, and `text` with its mask.

    Raises `RunError` for one that breaks the protocol or takes longer than it must.
    """
    rng = random.Random(f"asynclm {seed}")
    for number in range(samples):
        what = errands(rng, f"asynclm-{seed}-{number:04d}", tps)
        seconds, text = run_in(lambda: new_loop("virtual"), _simulated(what))
        yield _checked(what, seconds, text)


async def _simulated(what: Errands) -> tuple[float, str]:
    """Run the task; return its seconds and the whole text that the model read and wrote."""
    mind = Mind(what.task, what.pace.tps, opening=CHATML.assistant, plain=True)
    engine = SimulatedEngine(mind, what.pace)
    told = json.dumps(what.seconds)
    agent = Agent(
        InFlight(Endpoint(EngineModel(engine))),
        instructions=f"Run times of the tools in seconds: {told}",
        tools=[_tool(skill, what) for skill in what.skills.values()],
    )
    loop = asyncio.get_running_loop()
    async with (
        Runtime() as runtime,
        asyncio.TaskGroup() as group,
        runtime.start(agent, what.task.question) as run,
    ):
        for name, at in what.arrivals.items():
            group.create_task(_interrupt(run, what.wishes[name], at))
        await run.result()
        seconds = loop.time() - (engine.log.began or 0.0)
        return seconds, engine.text(0)


async def _interrupt(run: Run[str], text: str, at: float) -> None:
    await asyncio.sleep(at)
    await run.interrupt(text)


def _tool(skill: Skill, what: Errands) -> Tool[..., object]:
    async def work(context: Context[object], arguments: dict[str, Json]) -> object:
        await asyncio.sleep(what.seconds[skill.name])
        return json.loads(what.results[str(context.call)])

    return Tool.from_schema(
        skill.name,
        skill.description,
        skill.schema(),
        work,
        estimate=what.seconds[skill.name],
        idempotent=True,
    )


def _checked(what: Errands, seconds: float, text: str) -> dict[str, Json]:
    """Return the trace as a line, when it keeps the protocol and the time."""
    task = what.task
    head, opening, cml = text.partition(CHATML.assistant)
    least = in_flight(task, what.pace, what.arrivals)
    if seconds > least + _TOLERANCE_S:
        raise RunError(f"trace {task.id}: it took {seconds:.4f} s and should take {least:.4f} s")
    parser = Parser(transcript=True)
    events = [*parser.feed(cml), *parser.end()]
    broken = [event for event in events if isinstance(event, ProtocolViolation)]
    reports = sum(isinstance(event, InterruptRead) for event in events)
    if broken or reports != len(task.calls) + len(what.arrivals):
        raise RunError(f"trace {task.id}: {broken[0].message if broken else f'{reports} interrupts'}")
    mask = [match.span() for match in _PUT_IN.finditer(cml)]
    begins = len(head) + len(opening)
    text_mask = [(0, begins), *((begins + a, begins + b) for a, b in mask)]
    tokens = sum(call.tokens for call in task.calls) + task.response_tokens
    return {
        "id": task.id,
        "seconds": round(seconds, 4),
        "tokens_per_second": round(what.pace.tps, 3),
        "tokens": tokens,
        "estimates": what.seconds,
        "cml": cml,
        "mask": mask,
        "messages": _messages(head, cml, mask),
        "text": text + CHATML.stop,
        "text_mask": text_mask,
    }


def _messages(head: str, cml: str, mask: Sequence[tuple[int, int]]) -> list[Json]:
    """Return the trace as chat messages, in which what was put in is a user's."""
    start, end = CHATML.system.split("{}")
    system = head.partition(start)[2].partition(end)[0]
    start, end = CHATML.user.split("{}")
    question = head.partition(start)[2].rpartition(end)[0]
    messages: list[Mapping[str, str]] = [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
    ]
    at = 0
    for begin, stop in [*mask, (len(cml), len(cml))]:
        for role, part in (("assistant", cml[at:begin]), ("user", cml[begin:stop])):
            if part.strip():
                messages.append({"role": role, "content": part.strip()})
        at = stop
    return list(messages)


def _measure(setting: Setting) -> Sequence[Figure]:
    count = 20 if setting.quick else 200
    made = list(traces(count, 1))
    again = list(traces(5, 1))
    unlike = sum(a != b for a, b in zip(made, again, strict=False))
    interrupted = sum("[INTR] user " in str(trace["cml"]) for trace in made)
    return [
        Figure("traces that keep the protocol and the time", len(made), "", Bar(">=", count)),
        Figure("of them with a user's interrupt", interrupted, "", Bar(">=", count / 10)),
        Figure("traces that the same seed makes otherwise", unlike, "", Bar("==", 0)),
    ]


TRACES = Measure("traces", "Training data: simulated traces in markup, each read and timed again.", _measure)
