"""Loading and running workflows: what is built, what files may say, what is never done."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import agentflow
from agentflow.errors import UserError
from agentflow.workflow import LoadedWorkflow, WorkflowError, check_workflow, load
from agentflow.workflow.build import build_agents
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow import parse_workflow

HEAD = "agentflow: 1\n"
MAIN = 'endpoints: {main: {model: "scripted:replies.yaml"}}\n'
AGENT = "agents: {cook: {endpoint: main}}\nagent: {use: cook, input: hi}\n"


def write(folder: Path, text: str, replies: str = "- text: done\n", **files: str) -> Path:
    (folder / "w.yaml").write_text(HEAD + text)
    (folder / "replies.yaml").write_text(replies)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder / "w.yaml"


def run(workflow: LoadedWorkflow, inputs: Mapping[str, Json] | None = None) -> Json:
    return agentflow.run(workflow, inputs or {}, clock="virtual").output


def test_every_setting_reaches_the_objects(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
endpoints:
  main: {model: "openai:m", requests_per_minute: 500, tokens_per_minute: 2e5, price: {input: 1, output: 2},
         settings: {temperature: 0, stop: [END]}, timeouts: {first: 5s}, retries: 2, fallback: [spare]}
  spare: {model: x, base_url: "http://127.0.0.1:9/v1", concurrency: 3}
  quick: {model: "mistral:m", learn: false, hedge: 0.05, cache: true, capabilities: {late_tool_results: true}}
tools:
  boil: {python: "kitchen:boil", timeout: 1m, retries: 1, max_parallel: 2, reply: wait, idempotent: true,
         needs_approval: true, estimate: PT30S, urgency: silent, description: Boil it.}
agents:
  critic: {endpoint: spare, description: Says what is wrong.}
  cook: {endpoint: main, tools: [boil], agents: [critic], handoffs: [critic], limits: {turns: 4, time: 2m},
         settings: {max_tokens: 9}, on_finish: cancel,
         on_overflow: error, output_retries: 0, grace: 0, output: {schema: {type: object}}}
agent: {use: cook, input: hi}
limits: {money: 0.5, turns: 7, time: 1m}
""",
        kitchen__py="async def boil(pot: str) -> str:\n    return pot\n",
    )
    text = path.read_text().replace("concurrency: 3}", "concurrency: 3, price: {input: 0, output: 0}}")
    path.write_text(text)
    workflow = load(path)
    main, spare = workflow.endpoints["main"], workflow.endpoints["spare"]
    assert (main.limits.requests_per_minute, main.limits.tokens_per_minute) == (500, 200_000)
    assert main.fallback == (spare,)
    assert main.settings is not None
    assert (main.settings.temperature, main.settings.stop) == (0, ("END",))
    assert (main.timeouts.first, main.timeouts.connect) == (5, 10)
    quick = workflow.endpoints["quick"]
    assert quick.hedge is not None
    assert (quick.hedge.share, quick.learns, quick.cache is not None) == (0.05, False, True)
    assert quick.capabilities.late_tool_results
    assert quick.capabilities.prefill == "prefix"  # what is known of the service stays
    tool = workflow.tools["boil"]
    assert (tool.options.timeout, tool.options.estimate, tool.options.max_parallel) == (60, 30, 2)
    assert (tool.options.reply, tool.options.idempotent, tool.options.needs_approval) == ("wait", True, True)
    assert (tool.options.urgency, tool.spec.description) == ("silent", "Boil it.")
    agent = workflow.agent({})
    assert sorted(agent.tools) == ["boil", "critic"]
    assert agent.tools["critic"].spec.description == "Says what is wrong."
    assert list(agent.handoffs) == ["critic"]
    assert (agent.settings.max_tokens, agent.on_finish) == (9, "cancel")
    assert (agent.on_overflow, agent.output_retries, agent.grace) == ("error", 0, 0.0)
    assert workflow.limits == agentflow.Limits(turns=4, money=0.5, time=60)


def test_how_an_agent_is_reached_and_what_it_hears(tmp_path: Path) -> None:
    """WF-2.12, WF-2.13."""
    path = write(
        tmp_path,
        """\
endpoints:
  main: {model: "scripted:replies.yaml"}
  here: {model: "in-flight:x.gguf"}
agents:
  plain: {endpoint: main}
  chat: {endpoint: main, carrier: cml-chat, trap: all, references: false}
  text: {endpoint: main, carrier: cml-text}
  near: {endpoint: here}
  cook: {endpoint: main, agents: [plain, chat, text, near],
         timers: [{every: 10m, text: still there?, times: 3, after: 0},
                  {every: 5s, name: tick, priority: silent}]}
agent: {use: cook, input: hi}
""",
    )
    workflow = load(path)
    inputs: dict[str, Json] = {}
    build = build_agents(workflow.workflow, workflow.parsed, workflow.endpoints, workflow.tools, inputs)
    carriers = {name: type(build(name).carrier).__name__ for name in workflow.workflow.agents}
    assert carriers == {
        "plain": "Native",
        "chat": "CmlChat",
        "text": "CmlText",
        "near": "InFlight",
        "cook": "Native",
    }
    assert (build("chat").trap, build("chat").references) == ("all", False)
    assert (build("plain").trap, build("plain").references) == ("any", True)
    first, second = build("cook").sources
    assert (first.name, first.source.every, first.source.after, first.source.times) == ("timer", 600, 0, 3)
    assert (first.source.text, first.priority) == ("still there?", "next")
    assert (second.name, second.source.every, second.priority) == ("tick", 5, "silent")


def test_a_team_leads_and_works(tmp_path: Path) -> None:
    """WF-2.11."""
    path = write(
        tmp_path,
        'endpoints:\n  main: {model: "scripted:replies.yaml"}\n  small: {model: "scripted:small.yaml"}\n'
        "inputs: {goal: {default: soup}}\n"
        "agents:\n  boss: {endpoint: main}\n  a: {endpoint: small, description: Buys things.}\n"
        "  b: {endpoint: small}\nteam: {leader: boss, workers: [a, b], input: 'Make {{ inputs.goal }}'}\n"
        "limits: {turns: 50}\noutput: '{{ output }} in {{ run.calls }} calls'\n",
        "- {when: Make soup, calls: [{name: assign, arguments: {task: buy}}, {name: assign, arguments:"
        " {task: cook, worker: b}}, {name: wait, arguments: {calls: [c1, c2]}}]}\n- text: Served\n",
        small__yaml="- {text: done}\n- {text: done}\n",
    )
    workflow = load(path)
    team = workflow.agent(workflow.read_inputs({}))
    assert isinstance(team, agentflow.Team)
    assert (list(team.workers), team.leader.name, team.about["a"]) == (["a", "b"], "boss", "Buys things.")
    assert workflow.limits == agentflow.Limits(turns=50)
    workflow.check_endpoints()
    assert run(workflow) == "Served in 2 calls"


def test_the_example_team_runs_without_a_key() -> None:
    workflow = load(Path(__file__).parents[2] / "examples/team.yaml")
    result = agentflow.run(workflow, {}, clock="virtual")
    assert "Supper is served" in str(result.output)
    assert result.virtual_s is not None
    assert result.virtual_s == 2400  # one after another it would take 75 minutes


def test_agents_may_hand_over_to_each_other(tmp_path: Path) -> None:
    """WF-2.8."""
    path = write(
        tmp_path,
        MAIN + "agents:\n  a: {endpoint: main, handoffs: [b]}\n  b: {endpoint: main, handoffs: [a]}\n"
        "agent: {use: a, input: hi}\n",
        "- {when: hi, calls: [{name: transfer_to_b}]}\n- text: b was here\n",
    )
    assert run(load(path)) == "b was here"


def test_an_agent_is_a_tool_of_another(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'endpoints: {main: {model: "scripted:replies.yaml"}, small: {model: "scripted:small.yaml"}}\n'
        "agents:\n  boss: {endpoint: main, agents: [clerk]}\n  clerk: {endpoint: small}\n"
        "agent: {use: boss, input: hi}\n",
        '- {when: hi, calls: [{name: clerk, arguments: {input: "add 1 and 1"}}]}\n- text: It is two.\n',
        small__yaml="- {when: add, text: two}\n",
    )
    assert run(load(path)) == "It is two."


def test_output_templates_see_inputs_output_and_the_run(tmp_path: Path) -> None:
    """WF-4.4, WF-4.2."""
    path = write(
        tmp_path,
        MAIN
        + "inputs: {n: {type: integer, default: 3}}\n"
        + 'tools: {nap: {python: "kitchen:nap"}}\n'
        + "agents: {cook: {endpoint: main, tools: [nap], instructions: 'Take {{ inputs.n }}.',"
        + " output: {schema: answer.json}}}\nagent: {use: cook, input: '{{ inputs.n }} naps'}\n"
        + "output: {n: '{{ inputs.n }}', word: '{{ output.word }}', took: '{{ run.seconds }}',"
        + " calls: '{{ run.calls }}', calls_s: '{{ run.calls_s }}', tokens: '{{ run.tokens > 0 }}',"
        + " cost: '{{ run.cost }}'}\n",
        "- {when: 4 naps, calls: [{name: nap, arguments: {s: 5}}, {name: nap, arguments: {s: 3}}]}\n"
        '- {when: slept 5, text: \'{"word": "rested"}\'}\n- text: \'{"word": "not yet"}\'\n',
        kitchen__py="import asyncio\nasync def nap(s: float) -> str:\n"
        "    await asyncio.sleep(s)\n    return f'slept {s:g}'\n",
        answer__json='{"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}',
    )
    output = run(load(path), {"n": 4})
    assert output == {
        "n": 4,
        "word": "rested",
        "took": 5,
        "calls": 2,
        "calls_s": 8,
        "tokens": True,
        "cost": 0,
    }


def test_the_calls_in_an_agents_call_are_not_counted_twice(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        MAIN.replace("}}", '}, small: {model: "scripted:small.yaml"}}')
        + 'tools: {nap: {python: "kitchen:nap"}}\n'
        "agents: {cook: {endpoint: main, agents: [clerk], tools: [nap]},"
        " clerk: {endpoint: small, tools: [nap]}}\n"
        "agent: {use: cook, input: hi}\noutput: '{{ run.calls_s }}'\n",
        "- calls: [{name: clerk, arguments: {input: rest}}, {name: nap, arguments: {s: 3}}]\n"
        "- {when: rested, text: done}\n- text: not yet\n",
        small__yaml="- calls: [{name: nap, arguments: {s: 5}}]\n- {text: rested, delay: 2}\n",
        kitchen__py="import asyncio\nasync def nap(s: float) -> str:\n"
        "    await asyncio.sleep(s)\n    return f'slept {s:g}'\n",
    )
    assert run(load(path)) == 10, "5 s and 3 s of naps, and 2 s in which the clerk wrote"


def test_inputs_given_to_load_are_those_of_a_bare_run(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        MAIN + "inputs: {input: {}}\nagents: {cook: {endpoint: main}}\nagent: cook\n",
        "- {when: soup, text: soup it is}\n",
    )
    workflow = load(path, inputs={"input": "soup"})
    assert agentflow.run(workflow, clock="virtual").output == "soup it is"
    with pytest.raises(UserError, match=r"input `input` \(string\) is required"):
        load(path, inputs={})


def test_tools_are_loaded_by_their_place(tmp_path: Path) -> None:
    """WF-5.2: a file called json.py shadows nothing, and sys.path stays as it is."""
    path = write(
        tmp_path,
        MAIN + 'tools: {a: {python: "json:mine"}, b: {python: "json:other"}, c: {python: "pack.inner:deep"},'
        ' d: {python: "agentflow_protocols.duration:format_seconds"}}\n' + AGENT,
        json__py="from __future__ import annotations\nimport dataclasses\nLOADED = []\nLOADED.append(1)\n"
        "@dataclasses.dataclass\nclass Pot:\n    size: int\n"
        "def mine(pot: Pot) -> int:\n    return len(LOADED)\ndef other() -> int:\n    return len(LOADED)\n",
    )
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "inner.py").write_text("def deep() -> str:\n    return 'deep'\n")
    before = list(sys.path)
    workflow = load(path)
    assert sys.path == before
    assert sys.modules["json"] is json
    assert workflow.tools["b"]() == 1, "one module for both tools, run once"
    assert workflow.tools["c"]() == "deep"
    assert workflow.tools["d"](90) == "1 minute 30 seconds"
    assert "pot" in str(workflow.tools["a"].spec.parameters)


def test_check_runs_nothing(tmp_path: Path) -> None:
    """WF-5.2."""
    path = write(
        tmp_path,
        MAIN + 'tools: {a: {python: "kitchen:boil"}, b: {python: "kitchen:from_if"}}\n' + AGENT,
        kitchen__py="raise RuntimeError('it was run')\nif True:\n    from os import path as from_if\n"
        "boil = from_if\n",
    )
    assert check_workflow(path).problems == []
    with pytest.raises(WorkflowError, match=r"w.yaml:3:21: can't load kitchen.py: RuntimeError: it was run"):
        load(path)


def test_loading_opens_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WF-5.3."""

    def refuse(*args: object) -> None:
        raise AssertionError("a socket was opened")

    path = write(tmp_path, 'endpoints: {main: {model: "openai:gpt-5-mini"}}\n' + AGENT)
    monkeypatch.setattr(socket, "socket", refuse)
    load(path)


def test_includes_bring_their_own_folder(tmp_path: Path) -> None:
    """WF-2.9, WF-5.1."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "base.yaml").write_text(
        'endpoints: {main: {model: "scripted:said.yaml"}}\ntools: {boil: {python: "kitchen:boil"}}\n'
        "agents: {cook: {endpoint: main, tools: [boil], instructions_file: cook.md}}\n"
    )
    (tmp_path / "shared" / "said.yaml").write_text("- text: from the shared folder\n")
    (tmp_path / "shared" / "cook.md").write_text("{{ not a template }}")
    (tmp_path / "shared" / "kitchen.py").write_text("async def boil(pot: str) -> str:\n    return pot\n")
    path = write(tmp_path, "include: shared/base.yaml\nagent: {use: cook, input: hi}\n")
    workflow = load(path)
    assert workflow.agent({}).instructions == "{{ not a template }}"
    assert run(workflow) == "from the shared folder"


def test_a_model_stands_in_the_place_of_every_other(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("- text: from the other\n")
    path = write(tmp_path, 'endpoints: {main: {model: "scripted:none.yaml"}}\n' + AGENT)
    assert run(load(path, model=f"scripted:{other}")) == "from the other"
    with pytest.raises(WorkflowError, match=r"no file `none\.yaml`"):
        load(path)


def test_a_workflow_error_has_its_problems(tmp_path: Path) -> None:
    path = write(tmp_path, MAIN + "agents: {cook: {endpoint: mian}}\nagent: {use: cok, input: hi}\n")
    with pytest.raises(
        WorkflowError, match=r"w.yaml:3:27: unknown endpoint `mian`.* \(and 1 more\)$"
    ) as caught:
        load(path)
    assert [(p.line, p.column) for p in caught.value.problems] == [(3, 27), (4, 14)]
    with pytest.raises(WorkflowError, match="can't read the file: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(WorkflowError, match="can't read the file: Is a directory"):
        load(tmp_path)


def test_a_free_model_needs_no_price_for_a_limit_of_money(tmp_path: Path) -> None:
    """WF-2.10."""
    path = write(tmp_path, MAIN + AGENT + "limits: {money: 0.01}\n")
    assert agentflow.run(load(path), {}, clock="virtual").cost == 0


def test_text_without_files_can_be_parsed() -> None:
    """WF-2.9: the parser itself opens nothing."""
    workflow, problems = parse_workflow(HEAD + MAIN + AGENT, "f")
    assert problems == []
    assert workflow is not None
    assert workflow.agent.use == "cook"
    workflow, problems = parse_workflow(HEAD + "include: x.yaml\n" + AGENT, "f")
    assert workflow is None
    assert "f:2:10: `include:` needs files" in str(problems[0])


@pytest.mark.parametrize(
    ("section", "given", "value"),
    [
        ("{}", "soup", "soup"),
        ("{type: integer}", 3, 3),
        ("{type: number}", 3, 3),
        ("{type: boolean}", False, False),
        ("{type: json}", [1, {"a": None}], [1, {"a": None}]),
        ("{type: record}", {"id": 1}, {"id": 1}),
        ("{type: record}", "records.jsonl:b", {"id": "b", "n": 2}),
        ("{type: record}", "records.jsonl:3", {"id": 3}),
        ("{type: record, default: 'records.jsonl:b'}", None, {"id": "b", "n": 2}),
        ("{required: false}", None, None),
        ("{default: null}", None, None),
    ],
)
def test_inputs_have_their_types(
    section: str, given: Json, value: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WF-2.6, WF-5.1."""
    records = '{"id": "a:x"}\n\n{"id": "b", "n": 2}\n{"id": 3}\n'
    path = write(tmp_path, MAIN + AGENT + f"inputs: {{x: {section}}}\n", records__jsonl=records)
    if given is not None:
        monkeypatch.chdir(tmp_path)
    workflow = load(os.path.relpath(path))
    assert workflow.read_inputs({} if given is None else {"x": given}) == {"x": value}
    assert workflow.read_inputs(workflow.read_inputs({} if given is None else {"x": given})) == {"x": value}


@pytest.mark.parametrize(
    ("section", "given", "fault"),
    [
        ("{type: integer}", True, "allowed is a value of type integer"),
        ("{type: integer}", 2.0, "allowed is a value of type integer"),
        ("{}", 3, "allowed is a value of type string"),
        ("{type: record}", "records.jsonl:bb", "has no record `bb`"),
        ("{type: record}", "records.jsonl", "a record is written PATH:ID"),
        ("{type: record}", "none.jsonl:b", "can't read none.jsonl: No such file"),
        ("{type: record}", "broken.jsonl:b", "broken.jsonl:2: not JSON"),
        ("{type: record}", "no_id.jsonl:b", "no_id.jsonl:1: a record is an object with an `id`"),
        ("{}", None, "input `x` (string) is required: -i x=TEXT"),
    ],
)
def test_what_is_wrong_with_an_input_is_said(
    section: str, given: Json, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WF-2.6."""
    monkeypatch.chdir(tmp_path)
    files = {"records__jsonl": '{"id": "b"}\n', "broken__jsonl": '{"id": 1}\n{\n', "no_id__jsonl": "[1]\n"}
    workflow = load(write(tmp_path, MAIN + AGENT + f"inputs: {{x: {section}}}\n", **files))
    with pytest.raises(UserError) as caught:
        workflow.read_inputs({} if given is None else {"x": given})
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_endpoints_share_a_pool_and_have_a_priority(tmp_path: Path) -> None:
    (tmp_path / "shared.yaml").write_text("pools: {account: {requests_per_minute: 600}}\n")
    path = write(
        tmp_path,
        """\
include: shared.yaml
endpoints:
  main: {model: "openai:a", pool: account, priority: 2}
  spare: {model: "openai:b", pool: account}
agents: {cook: {endpoint: main}, other: {endpoint: spare}}
agent: {use: cook, input: hi}
""",
    )
    endpoints = load(path).endpoints
    main, spare = endpoints["main"], endpoints["spare"]
    assert main.pool is not None
    assert main.pool is spare.pool
    assert main.pool.limits.requests_per_minute == 600
    assert (main.priority, spare.priority) == (2, 0)
    path.write_text(path.read_text().replace("pool: account}", "pool: acount}"))
    with pytest.raises(WorkflowError, match=r"unknown pool `acount`; allowed: account \(did you mean"):
        load(path)
    path.write_text(path.read_text().replace("pool: acount}", "pool: account}"))
    (tmp_path / "shared.yaml").write_text("pools: {account: {}}\n")
    with pytest.raises(WorkflowError, match="write `requests_per_minute`"):
        load(path)
