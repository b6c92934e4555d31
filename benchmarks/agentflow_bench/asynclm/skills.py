"""Tools that belong together, for random tasks: each takes what one before it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from agentflow_protocols.chat import Json

__all__ = ["CHAINS", "Skill"]

_CITIES = ("Lisbon", "Oslo", "Kyoto", "Quito", "Leeds", "Turin", "Accra", "Halifax")
_NAMES = ("Ada", "Bruno", "Chandra", "Dmitri", "Eun-ji", "Farah", "Gustav", "Hana")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

Pool: TypeAlias = Sequence[Json]


@dataclass(frozen=True, slots=True)
class Skill:
    """A tool: what it takes (values to draw from, or the key of an earlier result) and gives.

    `wish` is how a user asks for it; `said` how the answer tells its result.
    """

    name: str
    noun: str
    description: str
    takes: Mapping[str, Pool | str]
    gives: Mapping[str, Pool]
    wish: str
    said: str

    def schema(self) -> dict[str, Json]:
        """Return the JSON Schema of its arguments."""
        kinds = {str: "string", int: "integer", float: "number", bool: "boolean"}
        properties: dict[str, Json] = {}
        for name, pool in self.takes.items():
            sample = "" if isinstance(pool, str) else pool[0]
            properties[name] = {"type": kinds[type(sample)]}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


CHAINS: Sequence[Sequence[Skill]] = (
    (
        Skill(
            "find_flight",
            "flight",
            "Find a flight between two cities.",
            {"origin": _CITIES, "destination": _CITIES, "day": _DAYS},
            {"flight": ("LH482", "TP1361", "SK4035", "NH211"), "price": (118, 240, 389)},
            "find a flight from {origin} to {destination} on {day}",
            "flight {flight} for {price} euros",
        ),
        Skill(
            "find_seat",
            "seat",
            "Find a free seat on a flight.",
            {"flight": "flight"},
            {"seat": ("14C", "3A", "27F")},
            "look for a free seat on it",
            "seat {seat}",
        ),
        Skill(
            "book_seat",
            "booking",
            "Book a seat on a flight.",
            {"flight": "flight", "seat": "seat"},
            {"booking": ("K7QPT2", "ZX41LM")},
            "book that seat",
            "booking {booking}",
        ),
    ),
    (
        Skill(
            "locate",
            "place",
            "Return the coordinates of a city.",
            {"city": _CITIES},
            {"place": ("38.7,-9.1", "59.9,10.7", "35.0,135.8")},
            "locate {city}",
            "it lies at {place}",
        ),
        Skill(
            "forecast",
            "weather",
            "Return the weather at coordinates.",
            {"place": "place", "day": _DAYS},
            {"sky": ("rain", "sun", "fog"), "high": (7, 16, 25)},
            "tell the weather there on {day}",
            "{sky} at {high} degrees",
        ),
    ),
    (
        Skill(
            "find_recipe",
            "recipe",
            "Find a recipe.",
            {"dish": ("leek soup", "lentil stew", "apple pie")},
            {"recipe": ("r-31", "r-104", "r-7")},
            "find a recipe for {dish}",
            "recipe {recipe}",
        ),
        Skill(
            "shopping_list",
            "list",
            "Return what a recipe needs.",
            {"recipe": "recipe", "people": (2, 4, 6)},
            {"list": ("l-9", "l-52"), "items": (6, 9, 13)},
            "make its shopping list for {people} people",
            "a list of {items} things",
        ),
        Skill(
            "order_groceries",
            "order",
            "Order what a list names.",
            {"list": "list"},
            {"arrives": ("17:30", "18:45", "20:00")},
            "order what is on it",
            "the groceries come at {arrives}",
        ),
    ),
    (
        Skill(
            "find_contact",
            "contact",
            "Return the address of a person.",
            {"name": _NAMES},
            {"address": ("a17@example.org", "k2@example.org", "r88@example.org")},
            "look up {name}",
            "the address {address}",
        ),
        Skill(
            "send_mail",
            "mail",
            "Send a mail.",
            {
                "address": "address",
                "text": ("The train is late.", "Dinner is at eight.", "Please call back."),
            },
            {"sent": (True,)},
            "send a mail there: {text}",
            "the mail is on its way",
        ),
    ),
    (
        Skill(
            "find_file",
            "file",
            "Find a file by words in it.",
            {"words": ("budget", "minutes of May", "guest list")},
            {"path": ("docs/budget.txt", "notes/may.md", "lists/guests.csv")},
            "find the file about the {words}",
            "the file {path}",
        ),
        Skill(
            "count_lines",
            "lines",
            "Count the lines of a file.",
            {"path": "path"},
            {"lines": (12, 120, 431)},
            "count its lines",
            "{lines} lines",
        ),
    ),
    (
        Skill(
            "search_shop",
            "item",
            "Search the shop.",
            {"words": ("desk lamp", "pair of socks", "kettle")},
            {"item": ("i-42", "i-311", "i-8")},
            "search the shop for a {words}",
            "article {item}",
        ),
        Skill(
            "price_of",
            "price",
            "Return the price of an article.",
            {"item": "item"},
            {"euros": (12.5, 39.0, 7.25)},
            "see what it costs",
            "{euros} euros",
        ),
        Skill(
            "add_to_basket",
            "basket",
            "Put an article into the basket.",
            {"item": "item", "count": (1, 2, 3)},
            {"in_basket": (1, 3, 5)},
            "put {count} into the basket",
            "{in_basket} things in the basket",
        ),
    ),
    (
        Skill(
            "free_slot",
            "slot",
            "Find a free time in the calendar.",
            {"day": _DAYS, "minutes": (30, 45, 90)},
            {"slot": ("09:15", "10:30", "16:00")},
            "find {minutes} free minutes on {day}",
            "free at {slot}",
        ),
        Skill(
            "book_room",
            "room",
            "Book a room at a time.",
            {"slot": "slot", "people": (3, 5, 8)},
            {"room": ("B2", "Elm", "North 4")},
            "book a room for {people} people then",
            "room {room}",
        ),
    ),
    (
        Skill(
            "translate",
            "translation",
            "Translate a text.",
            {
                "text": ("good morning", "one more, please", "where is the station?"),
                "language": ("Portuguese", "Norwegian", "Finnish"),
            },
            {"text": ("bom dia", "en til, takk", "missä asema on?")},
            "translate '{text}' into {language}",
            "'{text}'",
        ),
    ),
)
