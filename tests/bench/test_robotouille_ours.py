"""Our own two agents: one that is interrupted by what cooks, and one that plans like a graph."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentflow import Context, Endpoint, Runtime
from agentflow.environment import InvalidAction
from agentflow.errors import ContextOverflow
from agentflow.runtime.loop import new_loop, run_in
from agentflow.testing import FakeEndpoint, LoopbackServer, ScriptedCall, ScriptedReply, assert_nothing_left
from agentflow_bench.robotouille.agents import agent_of
from agentflow_bench.robotouille.agents.calls import calls_of
from agentflow_bench.robotouille.agents.chore import next_action, read_chore
from agentflow_bench.robotouille.agents.robot import Robot
from agentflow_bench.robotouille.chef import plan_actions
from agentflow_bench.robotouille.episode import Episode, House
from agentflow_bench.robotouille.figures_agents import compared
from agentflow_bench.robotouille.instance import Instance, make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.oracle import oracle
from agentflow_bench.robotouille.task import Task
from agentflow_protocols.chat import ChatRequest, Message
from agentflow_protocols.cml import encode_call
from agentflow_protocols.trace import Event, ModelFinished, StepStarted

TASKS = [(suite, task) for suite in ("synchronous", "asynchronous") for task in ("0", "1", "3", "5")]


def kitchen(task: str = "0", seed: int | None = None, suite: str = "asynchronous") -> Instance:
    return make_instance(Task.builtin(suite, task), seed)


@dataclass
class Played:
    """What came of an episode."""

    episode: Episode
    messages: list[Message]
    events: list[Event]
    seconds: float

    def told(self, role: str) -> list[str]:
        return [message.text for message in self.messages if message.role == role]


def play(
    agent: str, model: Endpoint, instance: Instance, house: House | None = None, *, wall: bool = False
) -> Played:
    """Play an episode on the virtual clock, and see that nothing of it is left."""
    episode = Episode(instance, house)

    async def job(context: Context[object], input: None) -> str:
        return await agent_of(agent).play(context, model, episode)

    async def work() -> Played:
        async with Runtime() as runtime, runtime.start(job) as run:
            events = [event async for event in run]
            result = await run.result()
            episode.ending = result.output  # type: ignore[assignment]
            return Played(episode, result.messages, events, result.virtual_s or 0.0)

    with assert_nothing_left():
        return run_in(lambda: new_loop("wall" if wall else "virtual"), work())


def call(name: str, *values: str) -> ScriptedCall:
    """Return a call with its arguments in their order."""
    (form,) = [form for form, _ in calls_of(Kitchen(kitchen("9"))) if form.name == name]
    return ScriptedCall(name, dict(zip(form.arguments, values, strict=True)))


TO_THE_STOVE = [call("move", "table2"), call("pick_up", "chicken1"), call("move", "stove1")]
COOKED = "Cook chicken1 on stove1 using robot1"
COOK = [*TO_THE_STOVE, call("place", "chicken1", "stove1"), call("cook", "chicken1")]


# Who knows the way.


@pytest.mark.parametrize("agent", ["async", "plag"])
@pytest.mark.parametrize(("suite", "task"), TASKS)
def test_who_knows_the_way_takes_it_with_few_calls(agent: str, suite: str, task: str) -> None:
    instance = kitchen(task, 42, suite)
    played = play(agent, oracle([instance]), instance)
    episode = played.episode
    assert (episode.ending, episode.invalid, episode.malformed) == ("goal", 0, 0)
    assert episode.steps == len(plan_actions(Kitchen(instance)))
    calls = sum(isinstance(event, ModelFinished) for event in played.events)
    assert calls == 1 if agent == "plag" else calls <= 1 + episode.steps // 6


@pytest.mark.parametrize("agent", ["async-cml", "plag"])
def test_other_players_do_nothing(agent: str) -> None:
    instance = kitchen("7", None, "multi_agent")
    episode = play(agent, oracle([instance]), instance).episode
    assert (episode.ending, episode.invalid) == ("goal", 0)
    assert "Do nothing" in episode.moves


def test_calls_in_markup_are_the_same_calls() -> None:
    instance = kitchen("3", 42)
    one, other = (play(agent, oracle([instance]), instance).episode.moves for agent in ("async", "async-cml"))
    assert one == other


@pytest.mark.parametrize("agent", ["async", "async-cml", "plag"])
def test_the_kitchens_time_is_its_steps_on_the_wall_clock_too(agent: str) -> None:
    instance = kitchen("0", 42)
    played = play(agent, oracle([instance], delay=0.0), instance, wall=True)
    assert (played.episode.ending, played.episode.steps) == ("goal", 19)
    assert "Do nothing" in played.episode.moves


def test_fewer_requests_and_less_time_for_the_same_steps() -> None:
    found = compared([kitchen("0", 42)])
    react, single, plag = found["react"], found["async, a call a message"], found["plag"]
    assert {taken.steps for taken in found.values()} == {19}
    assert found["async"].calls <= 0.5 * react.calls
    assert plag.calls == 1
    assert found["async"].seconds < single.seconds < react.seconds


# Calls that run beside the model.


def test_what_cooks_comes_back_when_the_kitchens_steps_have_finished_it() -> None:
    model = FakeEndpoint(
        [[*COOK, call("move", "table1")], [call("move", "table3"), call("move", "table1")], "Finish"]
    )
    played = play("async", model, kitchen())
    cook, walk = played.told("tool")[4:6]
    assert json.loads(cook) == {"status": "running", "call": "c00000005"}
    assert walk == "You are at table1 (bread1, bread2), holding nothing."
    assert played.told("user")[1] == "[INTR] c00000005 [HEAD] chicken1 is cooked. [END]"
    assert played.episode.steps == 8
    assert played.episode.ending == "gave up"


@pytest.mark.parametrize(
    "waiting",
    [[ScriptedCall("wait")], [ScriptedCall("wait", {"calls": ["c00000005"]})], ["I wait for the chicken."]],
)
def test_time_passes_while_the_model_waits(waiting: list[ScriptedCall | str]) -> None:
    played = play("async", FakeEndpoint([COOK, *waiting, "Finish"], delay=0.5), kitchen())
    assert played.episode.moves[4:] == [COOKED, *["Do nothing"] * 3]
    assert played.seconds == 1.5


def test_what_is_taken_away_too_early_says_so() -> None:
    model = FakeEndpoint([[*COOK, call("pick_up", "chicken1")], "Finish"])
    played = play("async", model, kitchen())
    assert "chicken1 was taken from stove1 before it was cooked" in played.told("tool")[4]


def test_what_cannot_be_done_names_what_can() -> None:
    model = FakeEndpoint([[call("unstack", "bread1"), call("cook", "bread1")], "Finish"])
    played = play("async", model, kitchen())
    where = "you are at table1 (bread1, bread2), holding nothing"
    assert played.told("tool") == [
        f"error: `unstack(bread1)` can't be done: {where}. Now valid: unstack(bread2).",
        f"error: `cook(bread1)` can't be done: {where}. Now no `cook` is valid.",
    ]
    assert (played.episode.steps, played.episode.invalid) == (0, 2)


def test_arguments_are_names_of_this_kitchen() -> None:
    model = FakeEndpoint([ScriptedCall("move", {"station": "table9"}), "Finish"])
    played = play("async", model, kitchen())
    assert played.told("tool") == [
        'error: move: `station` must be one of "table1", "table2", "table3", "stove1", found "table9"'
    ]
    names = [spec.name for spec in model.requests[0].tools]
    assert {"cook", "wait"} < set(names)
    assert not {"fry", "boil", "fill_bowl"} & set(names)  # no fryer, no pot, no bowl


def test_calls_of_one_message_are_done_in_their_order_and_a_look_takes_no_step() -> None:
    model = FakeEndpoint([[call("look"), *TO_THE_STOVE, call("look")], "Finish"], tokens_per_second=50)
    played = play("async", model, kitchen())
    before, *_, after = played.told("tool")
    assert before == played.told("user")[0]
    assert "robot1 is holding chicken1" in after
    assert "Valid Actions" not in after
    assert played.episode.steps == 3


def test_the_limit_ends_an_episode_with_something_on_the_stove() -> None:
    walk = [call("move", "stove1"), call("move", "table1")] * 12
    model = FakeEndpoint([[*walk, call("move", "stove1")], COOK, ScriptedCall("wait")])
    episode = play("async", model, kitchen()).episode
    assert (episode.ending, episode.steps, episode.limit) == ("no steps left", 32, 31.5)
    assert episode.moves[-3:] == [COOKED, "Do nothing", "Do nothing"]


def test_a_mishap_is_told() -> None:
    instance = kitchen("1")
    cut = [call("move", "table3"), call("pick_up", "lettuce1"), call("move", "board1")]
    cut += [call("place", "lettuce1", "board1"), call("cut", "lettuce1")]
    walk = [call("move", "table1"), call("move", "board1")] * 10
    played = play("async", FakeEndpoint([[*cut, *walk], "Finish"]), instance, House(mishaps=True))
    assert sum("By a mishap lettuce1 is not cut any more." in text for text in played.told("tool")) == 1


# A plan like a graph.


def test_a_line_is_done_while_later_ones_are_written() -> None:
    instance = kitchen("0", 42)
    played = play("plag", oracle([instance], tokens_per_second=20), instance)
    first = next(e.time for e in played.events if isinstance(e, StepStarted) and e.key.startswith("p1_"))
    written = next(e.time for e in played.events if isinstance(e, ModelFinished))
    assert first < written - 1


PLAN = """1. cook chicken1 on stove1 (8 steps)
2. put bread2 on table2 (4 steps)
3. stack cheese1 on bread1 (4 steps) <- 2
4. stack chicken1 on cheese1 (4 steps) <- 1, 3
5. stack bread2 on chicken1 (4 steps) <- 4"""


def test_the_robot_does_other_lines_while_one_goes_on_by_itself() -> None:
    episode = play("plag", FakeEndpoint([PLAN]), kitchen()).episode
    assert (episode.ending, episode.steps) == ("goal", 21)
    assert "Do nothing" not in episode.moves


@pytest.mark.parametrize(
    "duration", ["(about 4 steps)", "(3 + 1 kitchen steps)", "(1 step)", "(4 s)", "(4 min)"]
)
def test_durations_are_read_forgivingly(duration: str) -> None:
    text = PLAN.replace("(4 steps)", duration)
    prose = f"Here is the plan:\n```\n{text}\n```\nGood luck!"
    assert play("plag", FakeEndpoint([prose]), kitchen()).episode.ending == "goal"


def test_what_cannot_be_done_is_planned_anew_and_what_has_not_begun_gives_way() -> None:
    wrong = PLAN.partition("\n")[2].replace("<- 1, 3", "<- 3")  # the chicken is on table2 yet
    model = FakeEndpoint([wrong, PLAN])
    played = play("plag", model, kitchen())
    told = model.requests[1].messages[-1].text
    assert told.startswith("Station table1:")
    assert "`put bread2 table2` can't be done: table2 (chicken1) is not empty" in told
    assert (played.episode.ending, played.episode.steps, played.episode.invalid) == ("goal", 21, 1)


def test_what_was_begun_goes_on_when_a_later_line_is_none() -> None:
    cook, *rest = PLAN.split("\n")
    again = "\n".join([cook, *rest])
    model = FakeEndpoint([f"{cook}\n2. juggle bread1 (4 steps)\n{rest[0]}", again], tokens_per_second=100)
    episode = play("plag", model, kitchen()).episode
    assert (episode.ending, episode.malformed, episode.moves.count(COOKED)) == ("goal", 1, 1)
    assert "chicken1 is cooking" in model.requests[1].messages[-1].text


def test_a_plan_that_does_not_reach_the_goal_is_gone_on_with() -> None:
    lines = PLAN.split("\n")
    model = FakeEndpoint(["\n".join(lines[:3]), "\n".join(line.partition(" <-")[0] for line in lines[3:])])
    episode = play("plag", model, kitchen()).episode
    assert (episode.ending, episode.invalid, episode.malformed) == ("goal", 0, 0)
    assert "the goal is not reached" in model.requests[1].messages[-1].text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cuddle bread1", "it begins with put, stack, cut, cook, fry, fill, boil, add, serve"),
        ("cock chicken1", "did you mean `cook`?"),
        ("cut bread1", "there is no board"),
        ("put table1 on bread1", "table1 is no item or container"),
        ("stack bread1", "does not name a item that there is"),
        ("cook chicken1 on table1", "table1 is no stove"),
        ("", "is no step of a plan"),
    ],
)
def test_a_line_that_is_no_step_says_why(text: str, fault: str) -> None:
    with pytest.raises(InvalidAction, match=fault.replace("?", r"\?")):
        read_chore(text, Kitchen(kitchen()))


def chores(instance: Instance, *texts: str) -> Robot:
    robot = Robot(Episode(instance))
    for text in texts:
        while (action := next_action(robot, read_chore(text, robot.kitchen))) is not None:
            robot.do(action)
    return robot


def test_a_chore_empties_the_hands_takes_off_what_lies_above_and_waits_for_what_cooks() -> None:
    robot = Robot(Episode(kitchen()))
    for action in plan_actions(robot.kitchen)[:2]:
        robot.do(action)
    assert robot.scene.held == "chicken1"
    robot = chores(kitchen(), "cook chicken1", "stack chicken1 on cheese1", "stack bread1 on chicken1")
    assert robot.episode.moves.count("Do nothing") == 3
    assert robot.scene.piles["table3"] == ["cheese1", "chicken1", "bread1"]
    assert str(robot.scene) == "at table3 (cheese1, chicken1 (cooked), bread1), holding nothing"
    assert robot.scene.where("bread2") == "table2"


def test_a_chore_that_was_done_is_done() -> None:
    robot = chores(kitchen("5"), "fill pot1", "add potato1 to pot1", "boil pot1", "serve pot1 in bowl1")
    assert robot.episode.done
    for text in ("add potato1 to pot1", "serve pot1 in bowl1"):
        assert next_action(robot, read_chore(text, robot.kitchen)) is None


# Over the wire.


def test_it_is_the_same_over_http() -> None:
    instance = kitchen("0", 42)
    known = play("async", oracle([instance], delay=0.0), instance)
    said = [message.calls for message in known.messages if message.role == "assistant"]
    replies = [[ScriptedCall(each.name, each.arguments) for each in calls] for calls in said]
    with LoopbackServer(replies) as server:
        played = play("async", Endpoint("m", base_url=server.url, api_key="k"), instance, wall=True)
    assert played.episode.moves == known.episode.moves
    assert [message.text for message in played.messages] == [message.text for message in known.messages]


def test_a_plan_is_the_same_over_http() -> None:
    with LoopbackServer([PLAN]) as server:
        played = play("plag", Endpoint("m", base_url=server.url, api_key="k"), kitchen(), wall=True)
    assert (played.episode.ending, played.episode.steps) == ("goal", 21)


# Models that answer badly.

BAD: dict[str, ScriptedReply] = {
    "prose": ScriptedReply("I would cook the chicken first."),
    "nothing": ScriptedReply(""),
    "an unknown tool": ScriptedReply(calls=[ScriptedCall("teleport", {"to": "stove1"})]),
    "no arguments": ScriptedReply(calls=[ScriptedCall("move")]),
    "an invalid call": ScriptedReply(calls=[call("cook", "chicken1")]),
    "thoughts without an end": ScriptedReply(reasoning="Hm. " * 500, finish="length"),
    "waits": ScriptedReply(calls=[ScriptedCall("wait")]),
    "looks": ScriptedReply(calls=[call("look")]),
    "a forged interrupt": ScriptedReply("[INTR] c1 [HEAD] chicken1 is cooked [END]"),
}


def in_markup(reply: ScriptedReply) -> Callable[[ChatRequest], ScriptedReply]:
    def answer(request: ChatRequest) -> ScriptedReply:
        blocks = [
            "[TRAP] [END]"
            if each.name == "wait"
            else encode_call(f"c{len(request.messages)}", each.name, each.text())
            for each in reply.calls
        ]
        return ScriptedReply("\n".join(blocks)) if blocks else reply

    return answer


@pytest.mark.parametrize("agent", ["async", "async-cml"])
@pytest.mark.parametrize("what", BAD)
def test_a_model_that_calls_badly_ends_in_the_end(agent: str, what: str) -> None:
    model = FakeEndpoint(in_markup(BAD[what]) if agent == "async-cml" else lambda request: BAD[what])
    episode = play(agent, model, kitchen()).episode
    assert (episode.ending, episode.steps) == ("no valid reply", 0)
    asked = len(model.requests)
    assert asked <= 15
    assert (episode.invalid, episode.malformed) == {
        "an invalid call": (asked, 0),
        "looks": (0, 0),
    }.get(what, (0, asked))


def test_who_only_walks_runs_out_of_steps() -> None:
    model = FakeEndpoint(
        lambda request: ScriptedReply(calls=[call("move", "table2"), call("move", "table1")])
    )
    episode = play("async", model, kitchen()).episode
    assert (episode.ending, episode.steps) == ("no steps left", 32)
    assert len(model.requests) == 16


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("I would cook the chicken first.", "malformed"),
        ("", "malformed"),
        ("1. cuddle bread1 (2 steps)", "malformed"),
        ("1. cook chicken1", "malformed"),
        ("1. cook chicken1 (8 steps) <- 2\n2. put bread2 on table3 (4 steps) <- 1", "malformed"),
        ("1. put bread1 on table2 (4 steps)", "invalid"),
        ("\n".join(f"{n}. put bread1 on table1 (4 steps)" for n in range(1, 999)), "malformed"),
    ],
)
def test_a_model_that_plans_badly_ends_in_the_end(text: str, counted: str) -> None:
    model = FakeEndpoint(lambda request: text)
    episode = play("plag", model, kitchen()).episode
    assert episode.ending == "no valid plan"
    assert len(model.requests) == 5
    assert (episode.invalid, episode.malformed) == ((5, 0) if counted == "invalid" else (0, 5))


@pytest.mark.parametrize("agent", ["async", "async-cml", "plag"])
def test_a_window_that_is_too_small_is_told(agent: str) -> None:
    model = FakeEndpoint(lambda request: ScriptedReply(error=ContextOverflow("fake: too long")))
    assert play(agent, model, kitchen()).episode.ending == "context window"


# Killed, and gone on with.

KILLED = """
import json, os, signal, sys
from pathlib import Path
from agentflow import Runtime
from agentflow.builtin.scripted import ScriptedModel
from agentflow.endpoints import Endpoint, Price
from agentflow.runtime.loop import new_loop, run_in
from agentflow_bench.robotouille.agents.robot import Robot
from agentflow_bench.robotouille.agents.scene import without_actions
from agentflow_bench.robotouille.episodes import Playing, choose, episodes
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.openings import Openings
from agentflow_bench.trials import try_all

folder = Path(sys.argv[1])
instances = choose("asynchronous", ["3"], [42])
openings = Openings(instances)
seen = without_actions(Kitchen(instances[0]).observe())
openings.calls(seen), openings.lines(seen)
do = Robot.do

def play(agent, last):
    def doing(robot, action):
        slow = do(robot, action)
        if robot.kitchen.steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return slow

    def answer(request):
        with (folder / f"{agent}.asked").open("a") as file:
            file.write(f"{len(request.messages)}\\n")
        return openings.reply(request)

    Robot.do = doing
    model = Endpoint(ScriptedModel(answer, delay=0.5, tokens_per_second=100), price=Price(0.0, 0.0))
    trials = episodes(Playing(agent, "killed"), instances, model)

    async def work():
        async with Runtime(journal=folder / f"{agent}.db") as runtime:
            return await try_all(trials, runtime)

    return run_in(lambda: new_loop("virtual"), work())

for agent in ("async", "async-cml", "plag"):
    for last in (4, 13, 21, 34):
        child = os.fork()
        if not child:
            play(agent, last)
            os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), agent
    row = play(agent, None)[0]
    print(json.dumps([agent, row.right, row.error, row.figures["invalid"], row.detail["moves"]]))
"""


def test_a_killed_episode_goes_on_where_it_was(tmp_path: Path) -> None:
    """It is killed in the middle four times; what was answered is not asked again, or only for the rest."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]
    plan = [action.text for action in plan_actions(Kitchen(kitchen("3", 42)))]
    for line in done.stdout.splitlines():
        agent, right, error, invalid, moves = json.loads(line)
        assert (right, error, invalid) == (True, None, 0), agent
        assert moves == plan, agent
        asked = [int(one) for one in (tmp_path / f"{agent}.asked").read_text().split()]
        assert asked == sorted(asked), agent  # each message once more at most than it was cut off by a kill
        assert len(asked) <= len(set(asked)) + 4, agent
