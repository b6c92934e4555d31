"""What a model may call in a kitchen: a table of tools, each one or several actions of the domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.agents.scene import kind_of
from agentflow_bench.robotouille.agents.slow import SLOW
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_protocols.chat import Json

__all__ = ["CALLS", "LOOK", "Form", "called", "calls_of", "form_of"]


@dataclass(frozen=True, slots=True)
class Form:
    """A tool: the actions that it can be, and for each argument what it names and which parameter it is.

    `needs` is a kind of station without which there is no such tool.
    """

    name: str
    actions: tuple[str, ...]
    arguments: Mapping[str, tuple[str, tuple[str, ...]]]
    about: str
    needs: str = ""

    @property
    def slow(self) -> bool:
        """Whether it only starts something."""
        return any(action in SLOW for action in self.actions)

    def fits(self, action: Action, given: Mapping[str, Json]) -> bool:
        """Return whether an action is one of its own, with these arguments."""
        objects = dict(action.arguments)
        return action.name in self.actions and all(
            given[name] in [objects.get(parameter) for parameter in parameters]
            for name, (_, parameters) in self.arguments.items()
        )

    def schema(self, kitchen: Kitchen) -> dict[str, Json] | None:
        """Return its arguments as a JSON Schema with the names that there are; None where there is none."""
        names = dict(kitchen.objects)
        if self.needs and not any(kind_of(name) == self.needs for name in names):
            return None
        properties: dict[str, Json] = {}
        for argument, (what, _) in self.arguments.items():
            known: list[Json] = [name for name, type_ in names.items() if _is(what, name, type_)]
            if not known:
                return None
            properties[argument] = {"type": "string", "enum": known}
        required: list[Json] = list(properties)
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }


def _is(what: str, name: str, type_: str) -> bool:
    if what == "thing":
        return type_ in ("item", "container")
    return what in (type_, kind_of(name))


_ITEM = ("item", ("i1",))
LOOK = "look"
"""The name of the tool that takes no step: it tells what the kitchen is like."""

CALLS = (
    Form("move", ("move",), {"station": ("station", ("s2",))}, "Walk to a station."),
    Form(
        "pick_up",
        ("pick-up-item", "pick-up-container"),
        {"thing": ("thing", ("i1", "c1"))},
        "Take an item that lies alone on the station where you are, or a container.",
    ),
    Form(
        "place",
        ("place-item", "place-container"),
        {"thing": ("thing", ("i1", "c1")), "station": ("station", ("s1",))},
        "Put what you hold on the empty station where you are.",
    ),
    Form(
        "stack",
        ("stack",),
        {"item": _ITEM, "onto": ("item", ("i2",))},
        "Put the item that you hold on the top item of the station where you are.",
    ),
    Form("unstack", ("unstack",), {"item": _ITEM}, "Take the top item of a stack."),
    Form("cut", ("cut",), {"item": _ITEM}, "Cut an item on the board where you are: three steps.", "board"),
    Form("cook", ("cook",), {"item": _ITEM}, "Start to cook an item on the stove where you are.", "stove"),
    Form("fry", ("fry",), {"item": _ITEM}, "Start to fry an item in the fryer where you are.", "fryer"),
    Form(
        "fill_pot",
        ("fill-pot",),
        {"pot": ("pot", ("c1",))},
        "Start to fill the pot on the sink where you are.",
        "sink",
    ),
    Form(
        "boil",
        ("boil-water",),
        {"pot": ("pot", ("c1",))},
        "Start to boil what is in the pot on the stove where you are.",
        "stove",
    ),
    Form(
        "add",
        ("add-to",),
        {"item": _ITEM, "pot": ("pot", ("c1",))},
        "Put the item that you hold into the water in the pot where you are.",
    ),
    Form(
        "fill_bowl",
        ("fill-bowl",),
        {"bowl": ("bowl", ("c1",)), "pot": ("pot", ("c2",))},
        "Pour what is in the pot that you hold into the bowl where you are.",
    ),
    Form(LOOK, (), {}, "Tell what the kitchen is like. Takes no step."),
)
"""The tools, in the order in which a model sees them. All but `look` are steps of the kitchen."""


def form_of(name: str) -> Form:
    """Return the tool of a name."""
    return next(form for form in CALLS if form.name == name)


def calls_of(kitchen: Kitchen) -> list[tuple[Form, dict[str, Json]]]:
    """Return the tools that make sense in a kitchen, each with the schema of its arguments."""
    made = [(form, form.schema(kitchen)) for form in CALLS]
    return [(form, schema) for form, schema in made if schema is not None]


def called(action: Action) -> tuple[str, dict[str, str]]:
    """Return the tool and the arguments that are an action."""
    form = next(form for form in CALLS if action.name in form.actions)
    objects = dict(action.arguments)
    return form.name, {
        name: next(objects[one] for one in parameters if one in objects)
        for name, (_, parameters) in form.arguments.items()
    }
