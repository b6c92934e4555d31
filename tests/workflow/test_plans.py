"""`plan:` in workflow files: what is built, in which order it runs, what templates give."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

import agentflow
from agentflow import Runtime
from agentflow.errors import PlanFailed, UserError
from agentflow.testing import VirtualClock
from agentflow.workflow import WorkflowError, load
from agentflow_protocols.chat import Json
from agentflow_protocols.trace import Event, StepFailed, StepProgress, StepSkipped, StepStarted

TOOLS = '''\
import asyncio
import pathlib

from agentflow import Context, Progress, tool

LOG = pathlib.Path(__file__).with_name("log")


@tool(idempotent=True)
async def boil(context: Context[None], pot: str, minutes: float = 1) -> dict[str, object]:
    """Boil a pot."""
    context.progress({"percent": 50})
    await asyncio.sleep(60 * minutes)
    with LOG.open("a") as log:
        log.write(pot + "\\n")
    return {"pot": pot, "items": [1, 2, 3], "ok": pot != "cold"}


async def burn(pot: str) -> str:
    raise RuntimeError(f"{pot} is black")


async def later(pot: str) -> str:
    """Fail until there is a file called `now`."""
    if not LOG.with_name("now").exists():
        raise RuntimeError("not now")
    return pot


async def count(to: int):
    for number in range(to):
        yield Progress(number)
        yield number
'''
HEAD = """\
agentflow: 1
name: kitchen
inputs: {meal: {default: soup}}
endpoints: {main: {model: "scripted:replies.yaml"}}
tools:
  boil: {python: "kitchen:boil"}
  burn: {python: "kitchen:burn"}
  later: {python: "kitchen:later"}
agents:
  cook: {endpoint: main, instructions: Cook.}
  lister: {endpoint: main, output: {schema: {type: object, properties: {items: {type: array}}}}}
"""
REPLIES = """\
- {when: "^List", text: '{"items": ["leek", "salt"], "ok": true}'}
- {when: "^Chop leek", text: "leek rings"}
- {when: "^Chop salt", text: "fine salt"}
- {when: "^Serve", text: "served"}
- {when: "rings", text: "told of rings"}
- {when: ".", text: "done"}
"""


def write(folder: Path, plan: str, replies: str = REPLIES, head: str = HEAD, tail: str = "") -> Path:
    steps = textwrap.indent(textwrap.dedent(plan), "  ")
    (folder / "w.yaml").write_text(f"{head}plan:\n{steps}\n{tail}")
    (folder / "replies.yaml").write_text(replies)
    (folder / "kitchen.py").write_text(TOOLS)
    return folder / "w.yaml"


def run(path: Path, inputs: Mapping[str, Json] | None = None) -> Json:
    return agentflow.run(load(path), inputs or {}, clock="virtual").output


def told(path: Path) -> tuple[BaseException | None, float, list[Event]]:
    """Run a file; return its error, its seconds and its events."""
    events: list[Event] = []

    async def main() -> tuple[BaseException | None, float]:
        async with Runtime(sinks=[events.append]) as runtime:
            async with runtime.start(load(path), {}) as running:
                try:
                    await running.result()
                except Exception as error:
                    return error, running.virtual_s or 0.0
                return None, running.virtual_s or 0.0

    with VirtualClock() as clock:
        error, seconds = clock.run(main())
    return error, seconds, events


def test_agents_tools_and_lists_by_templates(tmp_path: Path) -> None:
    """WF-6.1, WF-6.3, WF-6.4: edges are drawn by templates, and a whole template keeps its type."""
    path = write(
        tmp_path,
        """\
        steps:
          serve: {agent: cook, input: "Serve {{ steps.chop.output | join(' and ') }}", after: [boil]}
          chop: {agent: cook, each: "{{ steps.shop.output.items }}", input: "Chop {{ item }}"}
          shop: {agent: lister, input: "List {{ inputs.meal }}", estimate: 1m}
          boil:
            tool: boil
            with: {pot: "{{ inputs.meal }}", minutes: "{{ steps.shop.output.items | length }}"}
        """,
    )
    output = run(path)
    assert output == {
        "serve": "served",
        "chop": ["leek rings", "fine salt"],
        "shop": {"items": ["leek", "salt"], "ok": True},
        "boil": {"pot": "soup", "items": [1, 2, 3], "ok": True},
    }


def test_every_form_of_a_step_in_one_file(tmp_path: Path) -> None:
    """Conditions, lists, resources, retries: one agent's object is what the others are told of."""
    path = write(
        tmp_path,
        """\
        steps:
          shop: {agent: lister, input: "List what {{ inputs.meal }} needs.", estimate: 1m}
          soup: {agent: lister, after: [shop], input: "List: {{ steps.shop.output }}",
                 resources: {stove: 1}}
          bread: {tool: boil, with: {pot: "pot 1"}, estimate: 3m, after: [shop]}
          taste: {agent: cook, after: [soup, bread], when: "{{ steps.soup.output.ok }}",
                  retries: 2, timeout: 60s}
          each: {agent: cook, each: "{{ steps.shop.output.items }}", as: item, input: "Chop {{ item }}",
                   max_parallel: 8}
        resources: {stove: 2}
        """,
        tail='output: "{{ steps.taste.output }}"\nlimits: {money: 0.50, tokens: 100000, time: 10m}\n',
    )
    assert run(path) == "done"


def test_the_output_sees_the_steps(tmp_path: Path) -> None:
    """WF-6.8."""
    tail = 'output: {n: "{{ steps.b.output.items[1] }}", s: "{{ run.seconds }}", all: "{{ output.b.pot }}"}'
    path = write(tmp_path, "steps:\n  b: {tool: boil, with: {pot: x, minutes: 2}}", tail=tail)
    assert run(path) == {"n": 2, "s": 120, "all": "x"}


def test_what_is_not_written_an_agent_is_told(tmp_path: Path) -> None:
    """WF-6.2: the item, what came before, or the input named `input`."""
    path = write(
        tmp_path,
        """\
        steps:
          each: {agent: cook, each: [Chop leek, Chop salt]}
          one: {agent: cook, after: each}
          more: {agent: cook, after: [one, each]}
          first: {agent: cook}
        """,
        head=HEAD.replace("inputs: {", "inputs: {input: {default: Serve it}, "),
    )
    output = run(path)
    assert isinstance(output, dict)
    assert output == {
        "each": ["leek rings", "fine salt"],
        "one": "told of rings",
        "more": "told of rings",
        "first": "served",
    }


def test_conditions(tmp_path: Path) -> None:
    """WF-6.5: a skipped step's output is null, and what comes after it goes on."""
    path = write(
        tmp_path,
        """\
        steps:
          a: {tool: boil, with: {pot: cold}}
          b: {tool: boil, with: {pot: "b"}, when: "{{ steps.a.output.ok }}"}
          c: {tool: boil, with: {pot: "b is {{ steps.b.output }}"}}
          d: {tool: boil, each: [1, 2], with: {pot: "{{ item }} x"}, when: "{{ not steps.a.output.ok }}"}
          e: {tool: boil, each: [1, 2], with: {pot: "{{ item }} x"}, when: false}
        """,
    )
    output = run(path)
    assert isinstance(output, dict)
    assert (output["b"], output["e"]) == (None, None)
    assert "b is None" in str(output["c"])
    assert "1 x" in str(output["d"])


def test_a_tool_is_told_what_it_can_take(tmp_path: Path) -> None:
    path = write(tmp_path, "steps:\n  c: {tool: boil, with: {pot: '{{ 3 }}'}}")
    error, _, events = told(path)
    assert "`pot`" in str(error) or "pot:" in str(error)
    assert [e.key for e in events if isinstance(e, StepFailed)] == ["c"]
    path = write(tmp_path, "steps:\n  c: {tool: boil, with: {pot: x}}")
    progress = [event for event in told(path)[2] if isinstance(event, StepProgress)]
    assert [(event.key, event.data) for event in progress] == [("c", {"percent": 50})]
    assert "/" not in progress[0].run, "it is told by the plan, as the step's other events are"


def test_each_takes_lists_alone(tmp_path: Path) -> None:
    """WF-6.6."""
    path = write(
        tmp_path,
        "steps:\n  a: {tool: boil, with: {pot: x}}\n"
        "  b: {tool: boil, each: '{{ steps.a.output.pot }}', with: {pot: '{{ item }}'}}",
    )
    assert "step b: `each` gives str, where a list is needed" in str(told(path)[0])
    path = write(
        tmp_path,
        "steps:\n  a: {tool: boil, each: [], with: {pot: x}}\n"
        "  b: {tool: boil, each: '{{ range(3) | list }}', as: n, with: {pot: 'p{{ n }}'}}",
    )
    output = run(path)
    assert isinstance(output, dict)
    assert output["a"] == []
    assert "p2" in str(output["b"])


def test_names_hide_others_and_stand_where_they_are_meant(tmp_path: Path) -> None:
    """WF-6.11, WF-6.4: a nested plan's steps and items before those around it; keys in brackets too."""
    path = write(
        tmp_path,
        """\
        steps:
          a: {tool: boil, with: {pot: x}}
          b:
            each: [1, 2]
            plan:
              steps:
                a: {each: [x, y], tool: boil, with: {pot: "{{ item }}"}}
                c: {tool: boil, with: {pot: "{{ steps['a'].output[1].pot }}{{ item }}"}}
              output: "{{ steps.c['output'].pot }} {{ item }}"
          d: {tool: boil, with: {pot: "{{ steps['a']['output']['pot'] }}"}}
        """,
        tail="output: ['{{ steps.b.output }}', '{{ steps.d.output.pot }}']",
    )
    assert run(path) == [["y1 1", "y2 2"], "x"]


def test_steps_that_do_not_depend_on_one_that_failed(tmp_path: Path) -> None:
    """WF-6.1, WF-6.9: `on_failure`, `window`."""
    steps = "steps:\n  a: {tool: burn, with: {pot: x}}\n  b: {tool: boil, with: {pot: x, minutes: 5}}\n"
    assert told(write(tmp_path, steps))[1] == 300
    error, seconds, _ = told(write(tmp_path, "on_failure: cancel\n" + steps))
    assert isinstance(error, PlanFailed)
    assert (seconds, error.states["b"]) == (0, "cancelled")
    steps = "steps:\n  a: {tool: boil, with: {pot: x}}\n  b: {tool: boil, with: {pot: y}}\n"
    assert told(write(tmp_path, "window: 1\n" + steps))[1] == 120


def test_resources_and_slots_of_tools(tmp_path: Path) -> None:
    """WF-6.7: what is scarce is waited for; `max_parallel` of a tool holds too."""
    steps = "".join(f"  s{i}: {{tool: boil, with: {{pot: x}}, resources: {{stove: 1}}}}\n" for i in range(4))
    assert told(write(tmp_path, f"resources: {{stove: 2}}\nsteps:\n{steps}"))[1] == 120
    steps = "  s: {tool: boil, each: [1, 2, 3, 4], with: {pot: x}}\n"
    assert told(write(tmp_path, f"steps:\n{steps}"))[1] == 60
    head = HEAD.replace('"kitchen:boil"', '"kitchen:boil", max_parallel: 1')
    assert told(write(tmp_path, f"steps:\n{steps}", head=head))[1] == 240


def test_what_fails(tmp_path: Path) -> None:
    """WF-6.9: fail, skip, a step in its place; retries and time-outs."""
    path = write(
        tmp_path,
        """\
        steps:
          a: {tool: burn, with: {pot: a}, on_error: skip}
          b: {tool: burn, with: {pot: b}, on_error: {step: spare}}
          spare: {tool: boil, with: {pot: spare}}
          c: {tool: boil, with: {pot: "{{ steps.b.output.pot }} {{ steps.a.output }}"}}
        """,
    )
    output = run(path)
    assert isinstance(output, dict)
    assert output["a"] is None
    assert "spare None" in str(output["c"])
    path = write(
        tmp_path,
        """\
        steps:
          a: {tool: burn, with: {pot: a}, retries: 2}
          b: {tool: boil, with: {pot: "b", minutes: 5}, timeout: 1m}
          c: {tool: boil, with: {pot: c}, after: a}
        """,
    )
    error, _, events = told(path)
    assert isinstance(error, PlanFailed)
    assert "a is black" in str(error.faults["a"])
    assert "not done within 60 s" in str(error.faults["b"])
    assert error.states == {"a": "failed", "b": "failed", "c": "cancelled"}
    assert [event.key for event in events if isinstance(event, StepSkipped)] == ["c"]


def test_what_becomes_of_a_stand_in_is_what_becomes_of_its_step(tmp_path: Path) -> None:
    """WF-6.9: not needed, skipped, or failed and passed over."""
    steps = """\
        steps:
          a: {tool: TOOL, with: {pot: a}, on_error: {step: spare}}
          spare: {tool: SPARE, with: {pot: spare}, MORE}
          end: {tool: boil, with: {pot: "of {{ steps.a.output }}"}}
        """
    for tool, spare, more, found in (
        ("boil", "burn", "retries: 0", "'pot': 'a'"),
        ("burn", "burn", "on_error: skip", "None"),
        ("burn", "boil", "when: false", "None"),
        ("burn", "boil", "retries: 0", "'pot': 'spare'"),
    ):
        text = steps.replace("TOOL", tool).replace("SPARE", spare).replace("MORE", more)
        output = run(write(tmp_path, text))
        assert isinstance(output, dict)
        assert found in str(output["end"]), (tool, spare, more)


def test_the_first_of_some(tmp_path: Path) -> None:
    """WF-6.10."""
    path = write(
        tmp_path,
        """\
        steps:
          slow: {tool: boil, with: {pot: slow, minutes: 9}}
          fast: {tool: boil, with: {pot: fast, minutes: 2}}
          not: {tool: boil, with: {pot: not}, when: false}
          burnt: {tool: burn, with: {pot: burnt}}
          first: {any_of: [not, burnt, slow, fast]}
          end: {tool: boil, with: {pot: "{{ steps.first.output.pot }} it is"}}
        """,
    )
    error, seconds, events = told(path)
    assert error is None
    assert seconds == 180
    assert "slow" in [event.key for event in events if isinstance(event, StepSkipped)]
    assert (tmp_path / "log").read_text() == "fast\nfast it is\n"


def test_a_plan_in_a_plan(tmp_path: Path) -> None:
    """WF-6.11: it sees what its step sees, waits for it, and gives its outputs or what it says."""
    path = write(
        tmp_path,
        """\
        steps:
          shop: {tool: boil, with: {pot: shop}}
          course:
            each: [soup, bread]
            as: dish
            plan:
              steps:
                cut: {tool: boil, with: {pot: "{{ dish }} {{ steps.shop.output.pot }}"}}
                bake: {tool: boil, with: {pot: "{{ steps.cut.output.pot }}!"}}
              output: "{{ steps.bake.output.pot }} of {{ inputs.meal }}"
          plain:
            plan: {steps: {a: {tool: boil, with: {pot: a}}}}
        """,
        tail="output: ['{{ steps.course.output }}', '{{ steps.plain.output.a.pot }}']",
    )
    assert run(path) == [["soup shop! of soup", "bread shop! of soup"], "a"]
    error, seconds, events = told(path)
    assert (error, seconds) == (None, 180)
    keys = [(event.run.partition("/")[2], event.key) for event in events if isinstance(event, StepStarted)]
    assert ("course/1", "bake") in keys


def test_a_killed_plan_goes_on(tmp_path: Path) -> None:
    """WF-6.12: what has ended is read from the journal."""
    path = write(
        tmp_path,
        """\
        steps:
          a: {tool: boil, with: {pot: a}}
          each: {tool: boil, each: [1, 2], with: {pot: "p{{ item }}"}, after: a}
          cook: {agent: cook, after: a, input: Serve}
          b: {tool: later, with: {pot: "{{ steps.a.output.pot }}"}, after: each}
        """,
        tail='output: "{{ steps.b.output }} {{ steps.cook.output }}"\n',
    )
    journal = tmp_path / "runs.db"

    async def main() -> Json:
        async with Runtime(journal) as runtime:
            async with runtime.start(load(path), {}) as running:
                with pytest.raises(PlanFailed, match="not now"):
                    await running.result()
        (tmp_path / "now").touch()
        (tmp_path / "replies.yaml").write_text("- {error: 400}\n")
        async with Runtime(journal) as runtime:
            async with runtime.resume(running.id, load(path)) as again:
                return (await again.result()).output

    with VirtualClock() as clock:
        assert clock.run(main()) == "a served"
    assert sorted((tmp_path / "log").read_text().split()) == ["a", "p1", "p2"]


def test_a_plan_is_paused_and_goes_on(tmp_path: Path) -> None:
    """WF-6.12: a pause waits for what is under way, not for whole steps of agents."""
    path = write(
        tmp_path,
        """\
        steps:
          a: {agent: cook, input: go}
          b: {tool: boil, with: {pot: "b", minutes: 3}}
          c: {tool: boil, with: {pot: c}, after: [a, b]}
        """,
        "- {when: go, calls: [{name: boil, arguments: {pot: x}}]}\n- {when: x, text: fin}\n- {text: eh}\n",
        HEAD.replace("instructions: Cook.}", "tools: [boil]}"),
    )
    journal = tmp_path / "runs.db"

    async def main() -> Json:
        async with Runtime(journal) as runtime:
            async with runtime.start(load(path), {}) as running:
                await asyncio.sleep(30)
                await running.pause(stop=True)
                assert running.status == "paused"
        async with Runtime(journal) as runtime:
            async with runtime.resume(running.id, load(path)) as again:
                return (await again.result()).output

    with VirtualClock() as clock:
        output = clock.run(main())
    assert isinstance(output, dict)
    assert output["a"] == "fin"
    assert (tmp_path / "log").read_text().split() == ["x", "b", "c"]


def test_a_person_approves(tmp_path: Path) -> None:
    head = HEAD.replace('"kitchen:boil"', '"kitchen:boil", needs_approval: true')
    path = write(
        tmp_path,
        "steps:\n  a: {tool: boil, with: {pot: x, minutes: 0}}\n  b: {tool: boil, with: {pot: y}}",
        head=head,
    )

    async def main() -> str:
        async with Runtime() as runtime:
            async with runtime.start(load(path), {}) as running:
                asked = 0
                async for event in running:
                    if type(event).__name__ == "ApprovalNeeded":
                        asked += 1
                    if asked == 2:
                        break
                await running.approve("a")
                await running.deny("b", "too hot")
                with pytest.raises(PlanFailed) as failed:
                    await running.result()
                return str(failed.value.faults)

    assert "denied by a person: too hot" in asyncio.run(main())
    assert (tmp_path / "log").read_text() == "x\n"


def test_a_stream_is_a_list(tmp_path: Path) -> None:
    head = HEAD.replace("tools:\n", 'tools:\n  count: {python: "kitchen:count", reply: stream}\n')
    path = write(tmp_path, "steps:\n  a: {tool: count, with: {to: 3}}", head=head)
    assert run(path) == {"a": [0, 1, 2]}


def test_a_plan_has_no_agent_to_talk_to(tmp_path: Path) -> None:
    workflow = load(write(tmp_path, "steps:\n  a: {agent: cook, input: hi}"))
    workflow.check_endpoints()
    with pytest.raises(UserError, match="it runs a plan"):
        workflow.agent({})


def test_arguments_are_checked_once_tools_are_loaded(tmp_path: Path) -> None:
    """WF-6.13."""
    path = write(
        tmp_path,
        "steps:\n  a: {tool: boil, with: {pto: x}}\n  b: {tool: boil, with: {pot: 3}}\n"
        "  c: {tool: boil, with: {pot: '{{ 3 }}'}}",
    )
    with pytest.raises(WorkflowError) as wrong:
        load(path)
    lines = [str(problem).partition("w.yaml:")[2] for problem in wrong.value.problems]
    assert lines[0].startswith("14:15: tool `boil` needs `pot`")
    assert lines[1].startswith(
        "14:28: tool `boil` takes no `pto`; allowed: minutes, pot (did you mean `pot`?)"
    )
    assert lines[2].startswith("15:")
    assert "pot" in lines[2]
    assert len(lines) == 3
