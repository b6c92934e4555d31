"""Teams: a leader that any worker wakes, and workers who never wait for one another."""

import asyncio
import json
import random

import pytest
from carriers import CARRIERS, Turn, spoken
from virtual import virtual

from agentflow import Agent, Context, LimitExceeded, Limits, Runtime, Team, UserError, tool
from agentflow.team.crew import Crew
from agentflow.testing import FakeEndpoint, ScriptedCall, ScriptedReply
from agentflow_protocols.trace import Interrupted, RunFinished, RunStarted


def assign(task: str, **arguments: object) -> ScriptedCall:
    return ScriptedCall("assign", {"task": task, **arguments})


def boss(script, **options) -> Agent[object, str]:
    return Agent(FakeEndpoint(script), name="boss", **options)


async def nap(context: Context[object], task: str) -> str:
    """Do a task that says how many seconds it takes."""
    await asyncio.sleep(float(task.split()[0]))
    return f"did {task}"


WAIT = ScriptedCall("wait")


def told(agent: Agent[object, str], number: int = -1) -> str:
    """Return the last message of a request to an agent."""
    return agent.carrier.endpoint.requests[number].messages[-1].text


@virtual
async def test_the_leader_wakes_at_each_result_and_no_worker_waits_for_another():
    leader = boss(
        [[assign("10"), assign("1"), WAIT], [assign("5"), WAIT], WAIT, WAIT, "All done."], grace=0.0
    )
    team = Team(leader, {"a": nap, "b": nap})
    woken = []
    async with Runtime() as runtime, runtime.start(team, "Go.") as run:
        async for event in run:
            if isinstance(event, RunStarted) and event.parent:
                woken.append((event.time, event.run.partition("/")[2]))
        result = await run.result()
    assert result.output == "All done."
    assert result.virtual_s == 10
    assert woken == [(0, "a-c00000001"), (0, "b-c00000002"), (1, "b-c00000004")]
    assert '{"worker": "b", "output": "did 1"}' in leader.carrier.endpoint.requests[1].messages[-2].text


@virtual
async def test_tasks_wait_by_priority_then_age_and_for_whom_they_are():
    order = []

    async def note(context: Context[object], task: str) -> str:
        order.append((task, context.run_id.partition("/")[2][0]))
        await asyncio.sleep(10)
        return ""

    tasks = [assign("1"), assign("2"), assign("low", priority=-1), assign("first"), assign("second")]
    tasks += [assign("urgent", priority=5), assign("for a", worker="a"), WAIT]
    leader = boss([tasks, "Done."], trap="all")
    async with Runtime() as runtime:
        result = await runtime.run(Team(leader, {"a": note, "b": note}), "Go.")
    assert result.virtual_s == 40
    assert order == [
        *[("1", "a"), ("2", "b"), ("urgent", "a"), ("first", "b")],
        *[("second", "a"), ("low", "b"), ("for a", "a")],
    ]


@virtual
async def test_a_task_moves_to_another_worker_and_who_did_it_stops():
    stopped = []

    async def slow(context: Context[object], task: str) -> str:
        try:
            await asyncio.sleep(1000)
        finally:
            stopped.append(context.clock.time())
        return "slow"

    calls = [assign("900", worker="slow"), assign("5", worker="quick"), assign("3", worker="slow"), WAIT]

    def script(request):
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn == 0:
            return ScriptedReply(calls=calls)
        if turn == 1:
            move = {"task": "c00000003", "worker": "quick"}
            return ScriptedReply(calls=[ScriptedCall("reassign", move), ScriptedCall("board")])
        if turn == 2:
            assert '"quick": {"task": "c00000003"' in request.messages[-1].text
            move = {"task": "c00000001", "worker": "quick"}
            return ScriptedReply(calls=[ScriptedCall("reassign", move), WAIT])
        done = sum("did 3" in message.text for message in request.messages)
        return ScriptedReply(text="Done.") if done else ScriptedReply(calls=[WAIT])

    leader = boss(script, on_finish="cancel", grace=0.0)
    async with Runtime() as runtime:
        result = await runtime.run(Team(leader, {"slow": slow, "quick": nap}), "Go.")
    assert stopped == [5]
    assert result.virtual_s == 8


@virtual
async def test_reports_and_questions_interrupt_the_leader_at_once():
    worker = Agent(
        FakeEndpoint(
            [
                ScriptedCall("report", {"text": "half is done"}),
                [ScriptedCall("ask", {"question": "Salt?"}), WAIT],
                "Salted.",
            ]
        )
    )
    leader = boss(
        [
            [assign("Soup.", worker="cook"), WAIT],
            WAIT,
            [ScriptedCall("tell", {"task": "c00000001", "text": "A little."}), WAIT],
            WAIT,
            "Served.",
        ]
    )
    heard = []
    async with Runtime() as runtime, runtime.start(Team(leader, {"cook": worker}), "Go.") as run:
        async for event in run:
            if isinstance(event, Interrupted) and event.source == "agent.cook":
                heard.append(json.loads(event.text))
        assert (await run.result()).output == "Served."
    assert heard == [
        {"task": "c00000001", "report": "half is done"},
        {"task": "c00000001", "question": "Salt?"},
    ]
    assert "A little." in worker.carrier.endpoint.requests[-1].messages[-2].text
    assert '{"worker": "cook", "output": "Salted."}' in told(leader)


@virtual
async def test_the_leader_tells_a_worker_something():
    worker = Agent(
        FakeEndpoint(["one two three four five six", "Short."], tokens_per_second=1), name="writer"
    )
    leader = boss(
        [
            [assign("Write."), ScriptedCall("board")],
            ScriptedCall("tell", {"task": "c00000001", "text": "Shorter."}),
            WAIT,
            "Done.",
        ],
        grace=0.0,
    )
    async with Runtime() as runtime:
        await runtime.run(Team(leader, {"w": worker}), "Go.")
    assert told(worker) == "[INTR] agent.boss [HEAD] Shorter. [END]"


@virtual
async def test_what_comes_after_waits_and_is_given_the_results():
    seen = []

    async def note(context: Context[object], task: str) -> str:
        seen.append((context.clock.time(), task))
        return await nap(context, task)

    leader = boss(
        [
            [
                assign("4 buy"),
                assign("2 cook", after=["$c1"]),
                assign("1 serve", after=["c00000001", "$c2"]),
                WAIT,
            ],
            "Done.",
        ],
        trap="all",
    )
    async with Runtime() as runtime:
        result = await runtime.run(Team(leader, {"a": note, "b": note}), "Go.")
    assert result.virtual_s == 7
    assert [time for time, _ in seen] == [0, 4, 6]
    assert seen[1][1].startswith("2 cook\n\nResults of the tasks before it:\n- {")
    assert "did 4 buy" in seen[1][1]
    assert '- {"worker": "b", "output": "did 2 cook' in seen[2][1]
    assert "- c00000001: did 4 buy" in seen[2][1]


@virtual
async def test_a_worker_that_raises_is_told_and_what_hangs_on_it_is_not_begun():
    async def broken(context: Context[object], task: str) -> str:
        if task != "fine":
            raise KeyError("no\npot")
        return task

    leader = boss(
        [
            [assign("x"), assign("then", after=["c00000001"]), assign("again", after=["$c1"]), WAIT],
            [assign("fine"), WAIT],
            "Over.",
        ],
        trap="all",
    )
    async with Runtime() as runtime:
        result = await runtime.run(Team(leader, {"a": broken}), "Go.")
    whole = "\n".join(message.text for message in result.messages)
    assert "error: worker a failed: KeyError: 'no\\npot'" in whole
    assert "task c00000001 was failed, so this one was not begun" in whole
    assert "the call c1 has no result" in whole
    assert '{"worker": "a", "output": "fine"}' in whole
    assert result.output == "Over."


@virtual
async def test_what_a_leader_says_wrong_is_told_in_one_line():
    calls = [
        assign("x", worker="coook"),
        ScriptedCall("reassign", {"task": "c9", "worker": "cook"}),
        ScriptedCall("tell", {"task": "c00000001", "text": "x"}),
        assign("x", after=["c77777777"]),
        assign(""),
        assign("1"),
    ]
    more = [
        ScriptedCall("reassign", {"task": "c00000006", "worker": "cook"}),
        ScriptedCall("reassign", {"task": "c00000006", "worker": "coook"}),
        ScriptedCall("tell", {"task": "c00000006", "text": "x"}),
    ]
    leader = boss([[*calls, WAIT], WAIT, more, "Sorry."], references=False)
    async with Runtime() as runtime:
        result = await runtime.run(Team(leader, {"cook": nap}), "Go.")
    errors = [m.text for m in result.messages if m.role == "tool" and m.text.startswith("error")]
    text = "\n".join(errors)
    assert all("\n" not in error for error in errors)
    for part in (
        'must be one of "cook", found "coook"',
        "there is no task 'c9'",
        "there is no task 'c00000001'",
        "there is no task 'c77777777'",
        "task c00000006 is over: it was done",
    ):
        assert part in text, text
    assert len(errors) == 8


@virtual
async def test_a_leader_may_answer_without_a_task_or_leave_tasks_by_its_policy():
    async with Runtime() as runtime:
        assert (await runtime.run(Team(boss(["Myself."]), {"a": nap}), "Go.")).output == "Myself."
        done = []

        async def work(context: Context[object], task: str) -> str:
            await asyncio.sleep(5)
            done.append(task)
            return task

        for policy, seconds, finished in (("wait", 15, 3), ("cancel", 0, 0), ("detach", 0, 3)):
            done.clear()
            script = [ScriptedReply(text="Bye.", calls=[assign("1"), assign("2"), assign("3")]), "Bye."]
            leader = boss([*script, "Bye.", "Bye.", "Bye."], on_finish=policy, grace=0.0)
            result = await runtime.run(Team(leader, {"a": work}), "Go.")
            assert result.output == "Bye."
            assert result.virtual_s == pytest.approx(seconds, abs=1), policy
            await asyncio.sleep(20)
            assert len(done) == finished, policy


@virtual
async def test_a_team_may_be_a_worker_and_nobody_commands_upwards():
    inner = boss([[assign("2", worker="x"), WAIT], ScriptedCall("report", {"text": "nearly"}), "Inner."])
    plain = Agent(FakeEndpoint(["plain"]))
    team = Team(
        boss([[assign("Do it.", worker="sub"), WAIT], WAIT, "Outer."]), {"sub": Team(inner, {"x": nap})}
    )
    async with Runtime() as runtime:
        result = await runtime.run(team, "Go.")
        await runtime.run(Team(boss([[assign("x"), WAIT], "Done."]), {"w": plain}), "Go.")
    assert result.output == "Outer."
    assert result.virtual_s == 2
    whole = "\n".join(message.text for message in result.messages)
    assert '[INTR] agent.sub [HEAD] {"task": "c00000001", "report": "nearly"} [END]' in whole
    offered = {spec.name for spec in plain.carrier.endpoint.requests[0].tools}
    assert offered == {"report", "ask", "wait", "cancel", "progress"}
    assert inner.tools == {}
    with pytest.raises(TypeError):
        team.workers["self"] = team


def test_what_is_no_team():
    good = boss(["x"])

    @tool(name="assign")
    async def mine() -> str:
        return ""

    @tool
    async def report() -> str:
        return ""

    for leader, workers, match in (
        (nap, {"a": nap}, "the leader must be an Agent"),
        (good, {}, "it has no workers"),
        (good, {"a b": nap}, "a worker can't be named 'a b'"),
        (good, {"a": 3}, "worker a: int can't be run"),
        (boss(["x"], tools=[mine]), {"a": nap}, "the leader has a tool `assign`"),
        (good, {"a": boss(["x"], tools=[report])}, "worker a has a tool `report`"),
    ):
        with pytest.raises(UserError, match=match):
            Team(leader, workers)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_leader_over_every_carrier(carrier):
    @virtual
    async def run_it():
        turns = [
            Turn("On.", calls=[("assign", {"task": "5 a"}), ("assign", {"task": "9 b"})], wait=True),
            Turn(wait=True),
            Turn(wait=True),
            Turn("Served."),
        ]
        leader = Agent(spoken(carrier, turns).carrier, name="boss")
        async with Runtime() as runtime, runtime.start(Team(leader, {"x": nap, "y": nap}), "Go.") as run:
            await asyncio.sleep(2)
            await run.interrupt("Hurry up.")
            result = await run.result()
        assert result.output == "Served."
        assert result.virtual_s == pytest.approx(9, abs=1)
        whole = "\n".join(message.text for message in result.messages)
        for part in ("Hurry up.", '"output": "did 5 a"', '"output": "did 9 b"'):
            assert whole.count(part) == 1, part

    run_it()


@virtual
async def test_a_task_that_is_cancelled_or_moved_as_it_is_taken_holds_nobody_up():
    def script(request):
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn == 0:  # the first ends in the moment in which the second is cancelled
            return ScriptedReply(calls=[assign("5"), assign("50"), assign("5 more"), ScriptedCall("wait")])
        if turn == 1:
            calls = [ScriptedCall("cancel", {"call": "c00000002"}), assign("1 last", worker="a")]
            calls.append(ScriptedCall("reassign", {"task": "c00000003", "worker": "b"}))
            return ScriptedReply(calls=[*calls, ScriptedCall("wait")])
        done = "did 1 last" in str(request.messages) and "did 5 more" in str(request.messages)
        return ScriptedReply(text="Done.") if done else ScriptedReply(calls=[ScriptedCall("wait")])

    async with Runtime() as runtime:
        result = await runtime.run(Team(boss(script), {"a": nap, "b": nap}), "Go.")
        alone = await runtime.run(Team(boss(script), {"a": nap, "b": nap}, limits=Limits(turns=30)), "Go.")
    assert result.output == alone.output == "Done."
    assert result.virtual_s < 20


async def test_a_turn_that_is_cancelled_as_it_is_taken_frees_the_worker():
    async def job(context: Context[object], text: str) -> object:
        crew = Crew(context, ["a"])
        first, second, third = (crew.add(f"c{n}", "x", None, 0) for n in range(3))
        await crew.take_turn(first)
        waiting = asyncio.create_task(crew.take_turn(second))
        await asyncio.sleep(0)
        crew.give_back(first)  # the second takes the worker now, and is cancelled before it knows
        waiting.cancel()
        await asyncio.wait((waiting,))
        return await crew.take_turn(third)

    async with asyncio.timeout(5), Runtime() as runtime:
        assert (await runtime.run(job, "x")).output == "a"


@virtual
async def test_a_thousand_tasks_keep_every_worker_busy():
    rng = random.Random(3)
    seconds = [min(rng.paretovariate(1.5), 300) for _ in range(1000)]
    leader = boss([[*(assign(f"{s}") for s in seconds), WAIT], "Done."], trap="all")
    team = Team(leader, {f"w{n}": nap for n in range(8)})
    begun, ended = [], []
    async with Runtime(
        sinks=[
            lambda e: (
                (begun if isinstance(e, RunStarted) else ended).append(e.time)
                if "/" in e.run and isinstance(e, RunStarted | RunFinished)
                else None
            )
        ]
    ) as runtime:
        result = await runtime.run(team, "Go.")
    assert len(begun) == len(ended) == 1000
    assert result.virtual_s < sum(seconds) / 8 + max(seconds)
    # While tasks wait, a worker begins one in the moment in which it ended another.
    assert sorted(begun)[8:] == sorted(ended)[: 1000 - 8]


@virtual
async def test_limits_hold_for_all_together():
    worker = Agent(FakeEndpoint(lambda request: "ok"))
    leader = boss([[*(assign(str(n)) for n in range(9)), WAIT], "Done."], trap="all")
    async with Runtime() as runtime:
        with pytest.raises(LimitExceeded, match="limit of 4 turns"):
            await runtime.run(Team(leader, {"a": worker}, limits=Limits(turns=4)), "Go.")
