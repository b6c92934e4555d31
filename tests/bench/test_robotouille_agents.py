"""Agents in the kitchen: the paper's rules of what counts, and models that answer badly."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from agentflow import Context, Endpoint, Runtime
from agentflow.errors import ContextOverflow, UserError
from agentflow.testing import FakeEndpoint, LoopbackServer
from agentflow_bench.command import app
from agentflow_bench.robotouille.agents import AGENTS, agent_of
from agentflow_bench.robotouille.agents.example import example
from agentflow_bench.robotouille.agents.history import STYLES
from agentflow_bench.robotouille.agents.prompts import prompt, user_text
from agentflow_bench.robotouille.agents.react import React
from agentflow_bench.robotouille.agents.replies import read_actions, read_plan, read_react, read_reflection
from agentflow_bench.robotouille.chef import plan_actions
from agentflow_bench.robotouille.command import read_seeds
from agentflow_bench.robotouille.episode import Episode, House
from agentflow_bench.robotouille.episodes import Playing, choose, episodes
from agentflow_bench.robotouille.instance import Instance, make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.oracle import oracle
from agentflow_bench.robotouille.task import Task
from agentflow_bench.robotouille.watch import picture
from agentflow_bench.suite_file import read_suite
from agentflow_protocols.chat import ChatRequest

PAPER = [
    "io",
    "io-cot",
    "react",
    "react-original-mpc",
    "react-no-history",
    "react-last-action",
    "reflexion",
    "plag-bag",
]


def kitchen(suite: str = "synchronous", task: str = "0", seed: int | None = 42) -> Instance:
    return make_instance(Task.builtin(suite, task), seed)


async def play(agent: str, endpoint: Endpoint, instance: Instance, house: House | None = None) -> Episode:
    """Play one episode and return it, with its ending."""
    episode = Episode(instance, house)

    async def job(context: Context[object], input: None) -> str:
        return await agent_of(agent).play(context, endpoint, episode)

    async with Runtime() as runtime:
        episode.ending = (await runtime.run(job)).output  # type: ignore[assignment]
    return episode


FORGETFUL = ("react-no-history", "react-last-action")  # can't tell one wait from the next
WAYS = [(agent, "synchronous", "0") for agent in PAPER]
WAYS += [(agent, "asynchronous", "5") for agent in PAPER if agent not in FORGETFUL]


@pytest.mark.parametrize(("agent", "suite", "task"), WAYS)
async def test_who_knows_the_way_reaches_the_goal(agent: str, suite: str, task: str) -> None:
    instance = kitchen(suite, task)
    episode = await play(agent, oracle([instance], delay=0.0), instance)
    assert episode.ending == "goal"
    assert (episode.invalid, episode.malformed, episode.repeated) == (0, 0, 0)
    assert episode.steps == len(plan_actions(Kitchen(instance)))


async def test_the_planner_asks_nobody() -> None:
    model = FakeEndpoint([])
    for suite in ("synchronous", "asynchronous"):
        episode = await play("planner", model, kitchen(suite, "1"))
        assert episode.ending == "goal"
    assert not model.requests


@pytest.mark.parametrize("agent", ["react", "react-original", "react-no-history", "plag-bag", "reflexion"])
@pytest.mark.parametrize(
    ("reply", "feedback", "counted"),
    [
        ("I would like to cook.", "reasoning is malformed", "malformed"),
        ("Reasoning: hm.", "action is malformed", "malformed"),
        ("Reasoning: hm.\nAction:", "action is malformed", "malformed"),
        ("", "reasoning is malformed", "malformed"),
        ("Reasoning: hm.\nAction: Fly away", "`Fly away` is not one of the valid actions", "invalid"),
    ],
)
async def test_what_is_no_answer_costs_no_step_and_ends_in_the_end(
    agent: str, reply: str, feedback: str, counted: str
) -> None:
    model = FakeEndpoint(lambda request: reply)
    episode = await play(agent, model, kitchen())
    assert episode.ending == "no valid reply"
    assert len(model.requests) == 15
    assert getattr(episode, counted) == 15
    assert episode.steps == 0
    last = model.requests[-1].messages[-1].text
    assert last.startswith("Error Feedback: ")
    assert feedback in last


async def test_failures_are_counted_anew_after_a_valid_action() -> None:
    replies = (["nonsense"] * 4 + ["Reasoning: wait.\nAction: Do nothing"]) * 20
    model = FakeEndpoint(replies)
    episode = await play("react", model, kitchen())
    assert episode.ending == "no steps left"
    assert (episode.steps, episode.malformed) == (15, 60)
    assert episode.repeated == 14  # to wait again in the same state is a repetition


async def test_giving_up_and_running_out_of_steps() -> None:
    assert (
        await play("react", FakeEndpoint(["Reasoning: no.\nAction: Finish"]), kitchen())
    ).ending == "gave up"
    idle = "Reasoning: rest.\nAction: Do nothing"
    # 1.5 times a listed length of 21 is 31.5: 32 steps happen.
    model = FakeEndpoint(lambda request: idle)
    episode = await play("react", model, kitchen("asynchronous", "0"))
    assert (episode.ending, episode.steps, len(model.requests)) == ("no steps left", 32, 32)


async def test_a_reflection_gives_a_second_try() -> None:
    instance = kitchen("asynchronous", "0")
    plan = [action.text for action in plan_actions(Kitchen(instance))]
    asked: list[str] = []

    def answer(request: ChatRequest) -> str:
        prompt = request.messages[-1].text
        asked.append(prompt)
        if prompt.startswith("No step is left"):
            assert len(request.messages) == 2 + 2 * 31 + 1  # the whole chat, without its observations
            assert "table1" not in request.messages[-3].text
            return "Summary: I rested.\nReflection: Begin at once."
        if "Reflection: Begin at once." not in prompt:
            return "Reasoning: rest.\nAction: Do nothing"
        return f"Reasoning: now.\nAction: {plan[sum('Reflection: Begin' in one for one in asked) - 1]}"

    episode = await play("reflexion", FakeEndpoint(answer), instance)
    assert episode.ending == "goal"
    assert (episode.steps, len(asked)) == (len(plan), 31 + 1 + len(plan))
    assert len(episode.moves) == len(plan)


@pytest.mark.parametrize(
    ("reply", "ending"),
    [
        ("no idea", "no valid plan"),
        ("Plan:\n", "no valid plan"),
        ("Plan:\nDo nothing\n\nDo nothing", "no valid plan"),  # a blank line is no action
        ("Plan:\nDo nothing\nFly away", "no valid plan"),
        ("Plan:\nDo nothing\nDo nothing", "gave up"),
        ("Plan:\n" + "\n".join(["Do nothing"] * 40), "no steps left"),
    ],
)
async def test_a_plan_is_valid_as_a_whole_or_not_at_all(reply: str, ending: str) -> None:
    episode = await play("io", FakeEndpoint([reply]), kitchen())
    assert episode.ending == ending
    assert episode.steps == {"no valid plan": 0, "gave up": 2, "no steps left": 15}[ending]


async def test_a_conversation_that_is_too_long() -> None:
    def too_long(request: ChatRequest) -> object:
        if len(request.messages) > most:
            return ContextOverflow("too long")
        return "Reasoning: rest.\nAction: Do nothing"

    opening = 2 + len(example("react"))
    most = opening + 1  # fits without a history: one of one pair is dropped
    assert (await play("react", FakeEndpoint(too_long), kitchen())).ending == "no steps left"
    assert (await play("react-original", FakeEndpoint(too_long), kitchen())).ending == "context window"
    most = opening
    assert (await play("react", FakeEndpoint(too_long), kitchen())).ending == "context window"
    assert (
        await play("io", FakeEndpoint([ContextOverflow("too long")]), kitchen())
    ).ending == "context window"


@pytest.mark.parametrize("name", list(STYLES))
async def test_what_a_model_sees_of_earlier_turns(name: str) -> None:
    model = FakeEndpoint(lambda request: "Reasoning: rest a while.\nAction: Do nothing")
    await play(f"react-{name}", model, kitchen())
    opening = 2 + len(example("react"))
    shown = [message.text for message in model.requests[3].messages[opening:]]
    text = "\n".join(shown[:-1])
    pairs = {"original": 3, "no-history": 0}.get(name, 1)
    assert len(shown) == 2 * pairs + 1
    assert ("rest a while" in text) == (
        name in ("original", "last-reasoning-action", "last-obs-reasoning-action")
    )
    assert ("Goal:" in text) == (name in ("original", "last-obs-reasoning-action"))
    assert ("the observation is left out" in text) == (name in ("last-action", "last-reasoning-action"))


async def test_a_refused_action_takes_the_place_of_the_refused_one_before() -> None:
    replies = [
        "Reasoning: a.\nAction: Do nothing",
        "nonsense",
        "Reasoning: b.\nAction: Fly",
        "Reasoning: c.\nAction: Run",
    ]
    model = FakeEndpoint([*replies, "Reasoning: d.\nAction: Finish"])
    await play("react-original", model, kitchen())
    opening = 2 + len(example("react"))
    said = [message.text for message in model.requests[-1].messages[opening + 1 :: 2]]
    assert said == [replies[0], replies[1], replies[3]]


async def test_a_mishap_undoes_a_cut_once_and_further_rules_are_told() -> None:
    instance = kitchen("synchronous", "2", 126)
    house = House(prior="Sharp knives only.", mishaps=True)
    episode = await play("planner", FakeEndpoint([]), instance, house)
    assert episode.ending == "goal"
    assert len(episode.mishaps) == 1
    assert episode.steps > len(plan_actions(Kitchen(instance)))
    assert Episode(instance, house).observe().endswith("\n\nSharp knives only.")


async def test_a_plan_that_a_mishap_spoils_is_no_fault_of_the_machinery() -> None:
    class Slippery(Episode):
        def tried(self, texts: Sequence[str]) -> bool:
            return True

    episode = Slippery(kitchen())

    async def job(context: Context[object], input: None) -> str:
        model = FakeEndpoint(["Plan:\nDo nothing\nFry robot1"])
        return await agent_of("io").play(context, model, episode)

    async with Runtime() as runtime:
        assert (await runtime.run(job)).output == "no valid plan"
    assert (episode.steps, episode.invalid) == (1, 1)


async def test_a_look_back_that_is_too_long_ends_the_episode() -> None:
    def reply(request: ChatRequest) -> str:
        if request.messages[-1].text == prompt("reflect"):
            raise ContextOverflow("too long")
        return "Reasoning: a.\nAction: Do nothing"

    episode = await play("reflexion", FakeEndpoint(reply), kitchen())
    assert (episode.ending, episode.left) == ("context window", 0)


def test_other_rules_and_other_tasks_are_other_cases() -> None:
    instance = kitchen()
    changed = replace(instance.task, goal_text="Prepare another dish")

    def key(house: House, task: Task) -> str:
        return episodes(Playing("planner", house=house), [make_instance(task, 42)], None).cases[0].key

    keys = [key(House(prior), task) for prior in ("", "a", "b") for task in (instance.task, changed)]
    assert len(set(keys)) == 6
    assert keys[0] == "synchronous/0/42"


@pytest.mark.parametrize("kind", ["io", "io-cot", "react", "plag-bag"])
def test_the_example_is_played_in_its_own_format(kind: str) -> None:
    instance = make_instance(Task.builtin("asynchronous", "3.1"), 26)
    said = [message.text for message in example(kind) if message.role == "assistant"]
    texts = {
        "io": lambda: read_plan(said[0]),
        "io-cot": lambda: read_actions(said[0]),
    }.get(kind, lambda: [read_react(text).action for text in said])()
    assert texts is not None
    episode = Episode(instance)
    for text in texts:
        episode.act(text)
    assert episode.done
    assert episode.steps == 24


def test_replies_are_read_to_the_letter() -> None:
    answer = read_react("Reasoning: a\nb\n Action:  Do nothing \nAction: Finish")
    assert (answer.reasoning, answer.action, answer.fault) == ("a\nb", "Do nothing", None)
    assert read_react("Action: x\nReasoning: y").fault is not None
    assert read_plan("Plan:\na\n b \nc") == ["a", "b", "c"]
    assert read_plan("Plan:\na\n") == ["a", ""]
    assert read_actions("State: x\nAction: a\nso\nAction: b") == ["a", "b"]
    assert read_reflection("Summary: s\nReflection: r\nt") == "r\nt"
    assert "Do nothing" in user_text("io")
    assert "numbered" in user_text("react", complete=True)


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean `react`"):
        agent_of("raect")
    assert isinstance(AGENTS["plag-bag"][1], React)
    assert read_seeds("none, 1-3,2") == [None, 1, 2, 3]
    for wrong in ("", "x", "3-1", "-4", "1-", "²", "9" * 5000, "1-99999999999", "1-2-3"):
        with pytest.raises(UserError, match="--seeds"):
            read_seeds(wrong)


# The command.


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bench(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["robotouille", *(str(word) for word in words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_agents_side_by_side(here: Path) -> None:
    words = (
        "--model",
        "oracle",
        "--agent",
        "react",
        "--agent",
        "io",
        "--task",
        "0",
        "--task",
        "5",
        "--seeds",
        "42,84",
    )
    code, text = bench(*words, "--out", here, "--json", "--traces")
    told = json.loads(text)
    assert code == 0
    assert [(one["agent"], one["n"], one["right"]) for one in told] == [("react", 4, 4), ("io", 4, 4)]
    react = told[0]
    assert react["figures"]["calls"]["mean"] == react["figures"]["steps"]["mean"]
    assert list(react["by_task"]) == ["asynchronous 0", "asynchronous 5"]
    page = (here / "robotouille-asynchronous-agents-oracle.md").read_text()
    assert "| *gpt-4o, react* | 20.0 % | 10.0 % |" in page
    name = react["name"]
    assert len(list((here / f"{name}.traces").iterdir())) == 4
    # To look at one, and to play again: nothing is asked.
    code, shown = bench("--watch", here / f"{name}.jsonl", "--case", "asynchronous/5/84")
    assert shown.splitlines()[-1] == "asynchronous/5/84: goal"
    again = json.loads(bench(*words, "--out", here, "--json")[1])
    assert [one["tokens"] for one in again] == [one["tokens"] for one in told]


def test_a_suite_in_a_file(here: Path) -> None:
    (here / "s.yaml").write_text(
        "bench: robotouille\nagent: planner\nsuite: synchronous\nseeds: [42, 84]\nn: 3\n"
    )
    result = CliRunner().invoke(app, ["s.yaml", "--out", str(here), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["n"] == 3


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[2] / "benchmarks/suites").glob("*.yaml")), ids=str
)
def test_the_suites_here_are_read(file: Path) -> None:
    group = typer.main.get_command(app)
    options = {name: [o for p in one.params for o in p.opts] for name, one in group.commands.items()}  # type: ignore[attr-defined]
    bench_, *words = read_suite(file, options)
    context = group.commands[bench_].make_context(bench_, words)  # type: ignore[attr-defined]
    assert context.params["out"] == Path("benchmarks/results")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("bench: robotouile\n", "`bench:` is one of"),
        ("bench: robotouille\nagnt: x\n", r"no option `agnt` \(did you mean `agent`\?\)"),
        ("bench: robotouille\nagent: {a: b}\n", "agent is a text"),
        ("bench: robotouille\nagent: [[a]]\n", "agent is a list of"),
        ("- a\n", "a suite is"),
        ("bench: robotouille\nagent: planner\nagent: react\n", "`agent` is here twice"),
        ("a: [\n", r"s\.yaml:2"),
        ("a: &x [*x, *x]\nb: *y\n", r"s\.yaml:1:8: the alias `x` stands inside itself"),
        ("", "a suite is"),
    ],
)
def test_suites_that_are_none(here: Path, text: str, fault: str) -> None:
    (here / "s.yaml").write_text(text)
    result = CliRunner().invoke(app, ["s.yaml"])
    assert isinstance(result.exception, UserError)
    assert re.search(fault, str(result.exception)), str(result.exception)


def test_what_the_command_refuses(here: Path) -> None:
    for words, fault in (
        (("--agent", "react"), "needs a model"),
        (("--agent", "planner", "--task", "77"), "no task `77`"),
        (("--agent", "planner", "--suite", "sync"), "no suite `sync`"),
        (("--agent", "planner", "--n", "0"), "--n must be"),
        (("--agent", "planner", "--concurrency", "0"), "--concurrency must be"),
        (("--model", "oracle", "--temperature", "nan"), "--temperature nan: a number from 0"),
        (("--model", "oracle", "--temperature", "warm"), "--temperature warm: a number from 0"),
        (("--agent", "planner", "--tasks", here / "none.json"), "none.json"),
        (("--agent", "planner", "--prior", here / "none.txt"), "No such file"),
        (("--watch", here / "none.jsonl"), "No such file"),
    ):
        with pytest.raises(UserError, match=fault):
            bench(*words)
    rows = here / "rows.jsonl"
    rows.write_text('{"id": "a", "by": {}, "right": true, "figures": {}}\n')
    with pytest.raises(UserError, match="no episodes"):
        bench("--watch", rows)
    whole = {"id": "asynchronous/0/42", "by": {}, "right": True, "figures": {}, "moves": [], "mishaps": []}
    for part, fault in (
        ({"moves": 5}, "its moves can't be read"),
        ({"mishaps": [["x"]]}, "its moves can't be read"),
        ({"moves": ["Fly"]}, "'Fly', is no valid action"),
        ({"id": "asynchronous/0/²"}, "is no episode"),
    ):
        rows.write_text(json.dumps({**whole, **part}))
        with pytest.raises(UserError, match=fault):
            bench("--watch", rows)
    with pytest.raises(UserError, match="moves a second"):
        bench("--watch", rows, "--speed", "0")


def test_an_endpoint_that_fails_is_no_failure_of_the_agent(here: Path) -> None:
    plan = "\n".join(action.text for action in plan_actions(Kitchen(kitchen())))
    with LoopbackServer(lambda body: f"Plan:\n{plan}", faults=[400]) as server:
        words = (
            "--agent",
            "io",
            "--suite",
            "synchronous",
            "--task",
            "0",
            "--seeds",
            "42",
            "--model",
            "m",
            "--out",
            here,
        )
        code, text = bench(*words, "--base-url", server.url, "--json")
        assert code == 1
        assert (json.loads(text)["failed"], json.loads(text)["faults"]) == (1, {})
        code, text = bench(*words, "--base-url", server.url, "--json")
        assert code == 0
        assert json.loads(text)["right"] == 1


def test_the_map_shows_what_is_where() -> None:
    instance = kitchen("asynchronous", "3")
    one = Kitchen(instance)
    for action in plan_actions(one):
        lines = picture(one)
        assert any("☻" in line for line in lines)
        one.step(action)
    assert any("'" in line for line in picture(one, 200))  # something is cooked


def test_the_ten_tasks_of_a_suite() -> None:
    assert len(choose("asynchronous", (), (42,))) == 10
    assert len(choose("multi_agent", (), (None,))) == 11
    assert [one.task.name for one in choose("asynchronous", ("3.1",), (42, 84))] == ["3.1", "3.1"]
