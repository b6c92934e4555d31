"""What a type checker knows of plans: a line that ends in `refused` is an error (test_typing.py)."""

from __future__ import annotations

from typing import assert_type

from agentflow import Agent, Batch, Context, Endpoint, Plan, Team, tool
from agentflow.batch import BatchReport
from agentflow.plan import Outputs, Planner, Step


class Meal:
    """What comes of cooking."""


class Cook:
    """Runs on a number."""

    async def __run__(self, context: Context[object], input: int, /) -> Meal:
        return Meal()


class Bell:
    """Runs on nothing."""

    async def __run__(self, context: Context[object], input: None = None, /) -> bool:
        return True


async def chop(what: str, times: int = 1) -> int:
    return times


def plain(what: str) -> float:
    return 1.0


async def seen(context: Context[object], what: str) -> bytes:
    return b""


@tool
async def boil(pot: str) -> str:
    """Boil."""
    return pot


def checked() -> None:
    """Never run: only read by mypy."""
    agent = Agent(Endpoint("scripted:x"), output=Meal)
    plan = Plan()
    assert_type(plan.step(chop, "x"), Step[int])
    assert_type(plan.step(plain, "x"), Step[float])
    assert_type(plan.step(seen, "x"), Step[bytes])
    assert_type(plan.step(boil, "x"), Step[str])
    assert_type(plan.step(agent, "soup"), Step[Meal])
    assert_type(plan.step(Team(agent, {"a": agent}), "soup"), Step[Meal])
    assert_type(plan.step(Batch.from_file("x.jsonl")), Step[BatchReport])
    assert_type(plan.step(Plan()), Step[Outputs])
    assert_type(plan.step(Plan(), 5), Step[Outputs])
    assert_type(plan.step(Planner("scripted:x"), "soup"), Step[Outputs])
    assert_type(plan.step(Cook(), 5), Step[Meal])
    assert_type(plan.step(Bell()), Step[bool])
    assert_type(plan.map(Cook(), [1, 2]), Step[list[Meal]])
    assert_type(plan.map(agent, ["a"]), Step[list[Meal]])
    assert_type(plan.map(chop, ["a"]), Step[list[int]])
    assert_type(plan.map(Team(agent, {"a": agent}), ["a"]), Step[list[Meal]])
    plan.step(Cook(), "five")  # refused
    plan.step(Cook())  # refused
    plan.map(Cook(), ["five"])  # refused
    plan.step(chop, 5)  # refused
