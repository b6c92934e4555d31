"""Planning by a model: prompts, methods, faults that are told, plans that run while they are written."""

from __future__ import annotations

import asyncio
import json

import pytest
from virtual import virtual

from agentflow.builtin.planner import PlannerModel
from agentflow.builtin.question import read_question
from agentflow.endpoints import Endpoint
from agentflow.errors import PlanFailed, UserError
from agentflow.plan.drawn import draw, step_names
from agentflow.plan.methods import METHODS, few_shot, method_of
from agentflow.plan.planner import Planner
from agentflow.plan.prompts import plan_messages, question_messages, time_words
from agentflow.runtime import Runtime
from agentflow.testing import FakeEndpoint
from agentflow_protocols.plan import FORMS, PlanTextError, encode_lines, parse_plan, total

SOUP = """Make soup.
1. Boil the water (10 minutes)
2. Chop the leeks (5 minutes)
3. Cook the soup (half an hour)
4. Set the table (2 min)
Step 1 must precede step 3.
Step 3 must follow step 2."""
PLAN = parse_plan(
    "1. Boil the water (10 minutes)\n2. Chop the leeks (5 minutes)\n"
    "3. Cook the soup (half an hour) <- 1, 2\n4. Set the table (2 min)"
)
METHOD_NAMES = [name for name in METHODS if not name.startswith("few_shot")] + [
    "few_shot(2)",
    "few_shot_cot(6)",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", METHOD_NAMES)
async def test_the_rule_based_planner_plans_by_every_method_and_form(method: str, form) -> None:
    """It reads the prompt alone: what it was not told it can't know."""
    planned = await Planner("builtin:planner", method=method, form=form).plan(SOUP)
    assert planned.text == PLAN
    assert planned.total == (2400.0, 2400.0)
    assert planned.attempts == 1
    assert planned.usage.output_tokens > 0
    assert planned.plan.makespan() == 2400.0
    assert [step.name for step in planned.plan.critical_path()] == ["step_1", "step_3"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", METHOD_NAMES)
async def test_the_rule_based_planner_answers_every_question(method: str, form) -> None:
    planner = Planner("builtin:planner", method=method, form=form)
    answer = await planner.answer("make soup", PLAN)
    if planner.method.computed:
        assert answer.total == total(PLAN)
        assert answer.plan == PLAN
    else:
        assert answer.text.count('"40 minutes"') == 1
    assert answer.fault is None


def test_a_graph_in_the_question_is_read_where_nothing_else_tells_the_order() -> None:
    for form in FORMS:
        text = question_messages("make soup", PLAN, method_of("plag_explicit"), form)[-1].text
        told = "\n".join(line for line in text.splitlines() if "must precede" not in line)
        question = read_question(told)
        assert question is not None
        assert question.plan() == PLAN


def test_a_wrong_graph_is_told() -> None:
    with pytest.raises(UserError, match="the graph: line 1: no step `7`"):
        read_question("1. Boil (1 min)\n\nGraph (edge list):\n(1, 7)\n")
    found = read_question("1. Boil\n2. Chop\n\nDurations:\n1: 10 minutes\n2: 5 minutes\n")
    assert found is not None
    assert found.total == (600.0, 600.0)


def test_prompts_show_what_their_method_says() -> None:
    def asked(method: str) -> list[str]:
        messages = question_messages("make soup", PLAN, method_of(method), "csr")
        return [f"{message.role}: {message.text}" for message in messages]

    assert len(asked("io")) == 1
    assert "in double quotes" in asked("io")[0]
    assert "step by step" in asked("cot")[0]
    assert [text.partition(":")[0] for text in asked("few_shot(2)")] == ["user", "assistant"] * 2 + ["user"]
    assert asked("few_shot(2)")[1] == 'assistant: "25 minutes"'
    assert "Step 3 begins after 1 and 2" in asked("few_shot_cot(1)")[1]
    assert "row_ptr: " in asked("plag_explicit")[0]
    assert "3: half an hour" in asked("plag_explicit")[0]
    assert "row_ptr" in asked("plag_bag")[0]
    assert "order: 1 2 3 4" not in asked("plag_bag")[0]
    assert "JSON" in asked("plag_checked")[0]
    shown = plan_messages("make tea", None, few_shot(1), "edge_list")
    assert [message.role for message in shown] == ["system", "user", "assistant", "user"]
    assert parse_plan(shown[2].text.replace("```", "")).edges == (("1", "3"), ("2", "3"))


def test_names_of_methods() -> None:
    assert str(method_of("few-shot")) == "few_shot(3)"
    assert method_of("few_shot_cot(2)").shots == 2
    assert method_of("plag_bag").reasons
    with pytest.raises(UserError, match="did you mean `plag_bag`"):
        method_of("plag_bg")
    with pytest.raises(UserError, match="1 to 6 examples"):
        method_of("few_shot(9)")
    with pytest.raises(UserError, match="no number of examples"):
        method_of("io(3)")
    with pytest.raises(UserError, match="no form `list`"):
        Planner("builtin:planner", form="list")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="attempts"):
        Planner("builtin:planner", attempts=0)


def test_times_in_words() -> None:
    assert time_words((2400.0, 2400.0)) == "40 minutes"
    assert time_words((4838400.0, 5356800.0)) == "56 to 62 days"
    assert time_words((4838460.0, 5356860.0)) == "80641 to 89281 minutes"


def written(*steps: tuple[str, str, list[str]]) -> str:
    return json.dumps({"steps": [{"name": n, "text": n, "duration": d, "after": a} for n, d, a in steps]})


async def test_faults_are_told_to_the_model_until_it_has_mended_them() -> None:
    model = FakeEndpoint(
        [
            "I would boil the water first.",
            written(("a", "1 min", ["b"]), ("b", "soon", ["a"]), ("c", "-1 min", ["d"])),
            written(("a", "1 min", []), ("b", "2 min", ["a"])),
        ]
    )
    planned = await Planner(model).plan("Do a, then b.")
    assert planned.total == (180.0, 180.0)
    assert planned.attempts == 3
    assert len(planned.replies) == 3
    first, second = (request.messages[-1].text for request in model.requests[1:])
    assert "there is no JSON" in first
    assert "step b: `soon` is no duration" in second
    assert "a -> b -> a" in second or "b -> a -> b" in second
    assert "step c: no step `d`" in second
    assert model.requests[0].output is not None


async def test_a_model_that_never_makes_a_plan() -> None:
    model = FakeEndpoint(["no"] * 3)
    with pytest.raises(PlanTextError, match="no plan after 3 replies; there is no JSON"):
        await Planner(model).plan("Do something.")
    with pytest.raises(PlanTextError, match="there are no steps"):
        await Planner(FakeEndpoint(["Just do it."]), method="cot").plan("Do something.")
    answer = await Planner(FakeEndpoint(["no"] * 2), attempts=2).answer("make soup", PLAN)
    assert answer.total is None
    assert "no plan after 2 replies" in str(answer.fault)


async def test_a_step_that_is_left_out_is_missed() -> None:
    half = written(("1", "10 minutes", []), ("2", "5 minutes", []))
    answer = await Planner(FakeEndpoint([half]), attempts=1).answer("make soup", PLAN)
    assert "missing: step 3, 4" in str(answer.fault)


async def test_a_graph_can_be_given_only_where_there_is_one() -> None:
    with pytest.raises(UserError, match="plag_explicit needs a task that lists its steps"):
        await Planner("builtin:planner", method="plag_explicit").plan("Make soup.")


def test_names_that_a_plan_can_have() -> None:
    assert step_names(["1", "a-b", "a_b", "step_1"]) == {
        "1": "step_1",
        "a-b": "a_b",
        "a_b": "a_b_2",
        "step_1": "step_1_2",
    }
    assert draw(PLAN).makespan() == 2400.0


@virtual
async def test_a_plan_is_done_in_its_shortest_time() -> None:
    async with Runtime() as runtime:
        result = await runtime.run(Planner("builtin:planner", method="plag_bag"), SOUP)
    assert result.virtual_s == 2400.0
    assert result.output["step_3"] == "done: Cook the soup"
    assert result.usage.requests == 1


@virtual
async def test_steps_begin_while_later_lines_are_written() -> None:
    """A line a minute: the first step begins after its line, not after the whole."""
    lines = encode_lines(PLAN)
    words = len(lines) / 4
    model = FakeEndpoint([lines], tokens_per_second=words / 240)
    began: dict[str, float] = {}

    async def do(text: str, seconds: float) -> str:
        began[text] = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        return text

    async with Runtime() as runtime:
        result = await runtime.run(Planner(model, method="plag_run", do=do), "Make soup.")
    assert began["Boil the water"] < 80
    assert began["Chop the leeks"] < 130
    assert began["Cook the soup"] == began["Boil the water"] + 600
    assert result.virtual_s == began["Boil the water"] + 2400
    assert result.output["step_4"] == "Set the table"
    assert result.output["write"] == lines


@virtual
async def test_a_plan_that_breaks_off_fails_and_leaves_nothing_running() -> None:
    model = FakeEndpoint(["1. Boil the water (10 minutes)\n2. Cook (1 hour) <- 3"])
    async with Runtime() as runtime:
        with pytest.raises(PlanFailed, match="no step `3`"):
            await runtime.run(Planner(model, method="plag_run"), "Make soup.")


@virtual
async def test_agents_do_steps() -> None:
    from agentflow import Agent

    worker = Agent(FakeEndpoint(lambda request: f"did {request.messages[-1].text}"))
    async with Runtime() as runtime:
        result = await runtime.run(Planner("builtin:planner", method="plag_run", do=worker), SOUP)
    assert result.output["step_2"] == "did Chop the leeks"


async def test_replies_are_steps_of_the_journal(tmp_path) -> None:
    model = FakeEndpoint(["no", written(("a", "1 s", [])), "never asked"])
    planner = Planner(model, do=instantly)
    async with Runtime(journal=tmp_path / "runs.db") as runtime:
        async with runtime.map(planner, ["Do a."], key=lambda row: "one") as results:
            assert [result.output["a"] async for result in results] == ["a"]
    async with Runtime(journal=tmp_path / "runs.db") as runtime:
        async with runtime.map(planner, ["Do a."], key=lambda row: "one") as results:
            assert [result.output["a"] async for result in results] == ["a"]
    assert len(model.requests) == 2


async def instantly(text: str, seconds: float) -> str:
    """Do a step at once."""
    return text


async def test_a_plan_whose_writer_was_lost_is_gone_on_with(tmp_path) -> None:
    """What was added stays, and the model is asked for the rest alone."""
    first = "1. Boil (1 s)\n2. Chop (2 s)\nnonsense: 3. (\n3. Cook ("
    model = FakeEndpoint([first, "3. Cook (3 s) <- 1, 2"])
    done: list[str] = []

    async def do(text: str, seconds: float) -> str:
        done.append(text)
        return text

    planner = Planner(model, method="plag_run", do=do)
    async with Runtime(journal=tmp_path / "runs.db") as runtime:
        async with runtime.start(planner, "Cook.") as run:
            with pytest.raises(PlanFailed):
                await run.result()
            run_id = run.id
    async with Runtime(journal=tmp_path / "runs.db") as runtime:
        async with runtime.resume(run_id, planner) as run:
            output = (await run.result()).output
    assert output["step_3"] == "Cook"
    assert sorted(done) == ["Boil", "Chop", "Cook"]
    assert model.requests[1].messages[-2].text == "1. Boil (1 second)\n2. Chop (2 seconds)"


async def test_a_slow_rule_based_planner_is_a_model_too() -> None:
    planner = Planner(Endpoint(PlannerModel()), method="plag_run", do=instantly)
    async with Runtime() as runtime:
        output = (await runtime.run(planner, SOUP)).output
    assert output["step_1"] == "Boil the water"
