"""`agentflow new`: a small project that works as it is, without a key."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from agentflow._cli.options import Json, NoColor, Quiet
from agentflow._cli.say import as_json, note, print_data

__all__ = ["new"]

_WORKFLOW = """\
# Run it:  agentflow run workflow.yaml --virtual-time -i city=Kyoto
agentflow: 1
name: {name}
inputs:
  city: {{type: string, default: Oslo, description: Where the trip goes.}}
endpoints:
  # Replies that were written beforehand, so that this runs without a key. For a real
  # model write, for example:  main: {{model: "openai:gpt-5-mini", requests_per_minute: 500}}
  main: {{model: "scripted:replies.yaml"}}
tools:
  weather: {{python: "tools:weather"}}
  events: {{python: "tools:events", timeout: 30s, retries: 1}}
agents:
  guide:
    endpoint: main
    instructions: |
      You plan a day in {{{{ inputs.city }}}}. Ask for the weather and the events at once,
      and answer in two sentences.
    tools: [weather, events]
agent: {{use: guide, input: "Plan a day in {{{{ inputs.city }}}}."}}
limits: {{turns: 10, time: 10m}}
"""
_TOOLS = '''\
"""Tools that the agent may call. Calls that are under way run side by side."""

import asyncio

from agentflow import tool


@tool(estimate="4s", idempotent=True)
async def weather(city: str) -> str:
    """Return the weather of a city.

    Args:
        city: The city's name.
    """
    await asyncio.sleep(4)
    return f"{city}: dry, 18 degrees"


@tool(estimate="6s", idempotent=True)
async def events(city: str) -> list[str]:
    """Return what is on in a city today.

    Args:
        city: The city's name.
    """
    await asyncio.sleep(6)
    return ["market at ten", "concert at eight"]
'''
_REPLIES = """\
# What the scripted model of workflow.yaml says: no language model is asked.
# Replies are used in order; one with `when: REGEX` answers each message that it matches.
- text: "I look both up at once."
  calls:
    - {name: weather, arguments: {city: Oslo}}
    - {name: events, arguments: {city: Oslo}}
  delay: 0.3
  tokens_per_second: 60
- when: "concert"
  text: "It stays dry: begin at the market at ten, and end with the concert at eight."
  delay: 0.3
- text: "I wait for the rest."
  delay: 0.3
"""
_TEST = '''\
"""Run with pytest: no key, no network, no waiting."""

from pathlib import Path

import agentflow
from agentflow.workflow import load


def test_the_calls_run_side_by_side():
    workflow = load(Path(__file__).parent / "workflow.yaml")
    result = agentflow.run(workflow, {"city": "Oslo"}, clock="virtual")
    assert "concert" in result.output
    assert result.virtual_s is not None and 6 <= result.virtual_s < 9  # 10 s one after another
'''
_README = """\
# {name}

A workflow of one agent with two tools, made by `agentflow new`.

    agentflow check workflow.yaml
    agentflow run workflow.yaml --speed 5      # watch it, five seconds a second
    agentflow run workflow.yaml --virtual-time # the same, at once
    pytest

`replies.yaml` stands in for a model, so that all of this runs without a key: its
replies were written beforehand. For a real model, change `endpoints:` in
`workflow.yaml` (`model: "openai:gpt-5-mini"`) and set the key that it names
(`OPENAI_API_KEY`).

| file | what it is |
|---|---|
| workflow.yaml | the agent, its tools, endpoint and limits |
| tools.py | the tools, plain Python |
| replies.yaml | what the scripted model says |
| test_workflow.py | a test that needs no key |
"""


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The folder to make.")],
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Make a small working project: a workflow, its tools, and a test that needs no key."""
    from agentflow.errors import UserError

    folder = Path(name)
    title = re.sub(r"[^a-z0-9]+", "_", folder.absolute().name.lower()).strip("_")
    if not re.match("[a-z]", title):
        title = f"flow_{title}".rstrip("_")
    files = {
        "workflow.yaml": _WORKFLOW.format(name=title[:64]),
        "tools.py": _TOOLS,
        "replies.yaml": _REPLIES,
        "test_workflow.py": _TEST,
        "README.md": _README.format(name=folder.absolute().name),
    }
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} is there and not empty; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't make {folder}: {error.strerror}") from None
    if as_data:
        print_data(as_json({"folder": str(folder), "files": sorted(files)}))
    else:
        print_data("\n".join(str(folder / file) for file in sorted(files)))
        note(
            f"try: {shlex.join(['agentflow', 'run', str(folder / 'workflow.yaml'), '--speed', '5'])}",
            quiet=quiet,
        )
