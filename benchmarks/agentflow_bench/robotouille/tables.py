"""The domain of the benchmark as tables: a line a predicate, a few lines an action."""

from __future__ import annotations

from agentflow_bench.robotouille.domain import (
    ActionRule,
    Creation,
    Domain,
    EffectRule,
    Literal,
    Predicate,
    literals,
)

__all__ = ["action_rule", "domain"]

TYPES = ("station", "item", "player", "container", "meal")

# name, types, and for each position what is said of the object there
PREDICATES = """
istable         station           {0} is a table
isstove         station           {0} is a stove
isboard         station           {0} is a cutting board
isfryer         station           {0} is a fryer
issink          station           {0} is a sink
isrobot         player            {0} is a robot
istopbun        item              {0} is a top bun
isbottombun     item              {0} is a bottom bun
isbread         item              {0} is a bread slice
islettuce       item              {0} is a head of lettuce
isonion         item              {0} is an onion
istomato        item              {0} is a tomato
ispatty         item              {0} is a hamburger patty
ischicken       item              {0} is a chicken breast
ischeese        item              {0} is a cheese slice
ispotato        item              {0} is a potato
isfryable       item              {0} can be fried in a fryer
isfryableifcut  item              {0} can be fried in a fryer after being cut
isfried         item              {0} is fried
iscookable      item              {0} can be cooked on a stove
iscooking       item              {0} is cooking
iscooked        item              {0} is cooked
iscuttable      item              {0} can be cut on a cutting board
iscut           item              {0} is cut
ispot           container         {0} is a pot
isbowl          container         {0} is a bowl
iswater         meal              {0} is water
isboiling       meal              {0} is boiling
loc             player,station    {0} is at {1} | {1} is occupied by {0}
item_at         item,station      {0} is at {1} | {1} has {0}
nothing         player            {0} is holding nothing
station_empty   station           {0} has nothing on it
container_empty container         {0} has nothing inside it
item_on         item,station      {0} is directly on top of {1} | {1} has {0} directly on top of it
vacant          station           {0} has no players at it
clear           item              {0} has nothing above it
atop            item,item         {0} is directly on top of {1} | {1} is directly under {0}
has_item        player,item       {0} is holding {1} | {1} is held by {0}
has_container   player,container  {0} is holding {1} | {1} is held by {0}
in              meal,container    {0} is inside of {1} | {1} contains {0}
addedto         item,meal         {0} is added to {1} | {1} has {0} added to it
container_at    container,station {0} is at {1} | {1} has {0}
"""

# name and the order of its parameters: text, what must hold, what is then so
ACTIONS = """
move s1 s2 p1: Move {p1} from {s1} to {s2}
    loc(p1,s1) vacant(s2)
    loc(p1,s2) !loc(p1,s1) vacant(s1) !vacant(s2)
pick-up-item s1 i1 p1: Pick up {i1} from {s1} using {p1}
    nothing(p1) item_on(i1,s1) loc(p1,s1) clear(i1)
    has_item(p1,i1) station_empty(s1) !nothing(p1) !item_at(i1,s1) !clear(i1) !item_on(i1,s1)
place-item s1 i1 p1: Place {i1} on {s1} using {p1}
    has_item(p1,i1) loc(p1,s1) station_empty(s1)
    nothing(p1) item_at(i1,s1) clear(i1) item_on(i1,s1) !has_item(p1,i1) !station_empty(s1)
pick-up-container s1 c1 p1: Pick up {c1} from {s1} using {p1}
    nothing(p1) container_at(c1,s1) loc(p1,s1)
    has_container(p1,c1) !container_at(c1,s1) !nothing(p1) station_empty(s1)
place-container s1 c1 p1: Place {c1} on {s1} using {p1}
    has_container(p1,c1) loc(p1,s1) station_empty(s1)
    nothing(p1) container_at(c1,s1) !has_container(p1,c1) !station_empty(s1)
cook s1 p1 i1: Cook {i1} on {s1} using {p1}
    isstove(s1) iscookable(i1) !iscooking(i1) item_on(i1,s1) loc(p1,s1) clear(i1) nothing(p1)
    -
cut s1 p1 i1: Cut {i1} on {s1} using {p1}
    isboard(s1) iscuttable(i1) item_on(i1,s1) loc(p1,s1) clear(i1) nothing(p1)
    -
fry s1 p1 i1: Fry {i1} on {s1} using {p1}
    isfryer(s1) isfryable(i1) item_on(i1,s1) loc(p1,s1) clear(i1) nothing(p1)
    -
fill-pot c1 p1 s1: Fill {c1} with water from {s1} using {p1}
    ispot(c1) issink(s1) loc(p1,s1) container_at(c1,s1) container_empty(c1) nothing(p1)
    -
boil-water s1 c1 p1 m1: Boil {c1}'s contents on {s1} using {p1}
    ispot(c1) iswater(m1) in(m1,c1) isstove(s1) container_at(c1,s1) loc(p1,s1) nothing(p1)
    -
add-to s1 c1 m1 p1 i1: Add {i1} into {c1} using {p1}
    ispot(c1) !addedto(i1,m1) in(m1,c1) loc(p1,s1) container_at(c1,s1) has_item(p1,i1)
    addedto(i1,m1) !has_item(p1,i1) nothing(p1)
fill-bowl c1 m1 s1 p1 c2: Fill {c1} with {c2}'s contents using {p1}
    isbowl(c1) ispot(c2) container_at(c1,s1) in(m1,c2) loc(p1,s1) container_empty(c1) has_container(p1,c2)
    in(m1,c1) !in(m1,c2) !container_empty(c1) container_empty(c2)
stack s1 i2 i1 p1: Stack {i1} on top of {i2} using {p1}
    has_item(p1,i1) clear(i2) loc(p1,s1) item_at(i2,s1)
    nothing(p1) item_at(i1,s1) atop(i1,i2) clear(i1) !clear(i2) !has_item(p1,i1)
unstack s1 i2 i1 p1: Unstack {i1} from {i2} using {p1}
    nothing(p1) clear(i1) atop(i1,i2) loc(p1,s1) item_at(i1,s1) item_at(i2,s1)
    has_item(p1,i1) clear(i2) !nothing(p1) !atop(i1,i2) !clear(i1) !item_at(i1,s1)
wait: Do nothing
    -
    -
"""


def _delayed(about: str, then: str = "", *nested: EffectRule) -> EffectRule:
    return EffectRule("delayed", about, literals(then), nested=nested)


def _while(about: str, conditions: str, then: str = "", *nested: EffectRule) -> EffectRule:
    return EffectRule("conditional", about, literals(then), literals(conditions), nested)


_WATER = EffectRule(
    "creation",
    "c1",
    literals("iswater(m1) in(m1,c1) !container_empty(c1)"),
    creates=Creation("water", "meal", "m1"),
)
SPECIAL: dict[str, tuple[EffectRule, ...]] = {
    "cook": (_while("i1", "item_on(i1,s1)", "iscooking(i1)", _delayed("i1", "iscooked(i1) !iscooking(i1)")),),
    "cut": (
        EffectRule("repetitive", "i1", literals("iscut(i1)")),
        _while("i1", "isfryableifcut(i1) iscut(i1)", "isfryable(i1)"),
    ),
    "fry": (_while("i1", "item_on(i1,s1)", "", _delayed("i1", "isfried(i1)")),),
    "fill-pot": (_while("c1", "container_at(c1,s1)", "", _delayed("c1", "", _WATER)),),
    "boil-water": (_while("m1", "container_at(c1,s1)", "", _delayed("m1", "isboiling(m1)")),),
}


def domain() -> Domain:
    """Return what the tables say."""
    predicates: dict[str, Predicate] = {}
    for line in PREDICATES.strip().splitlines():
        name, types, texts = line.split(None, 2)
        predicates[name] = Predicate(name, tuple(types.split(",")), tuple(texts.split(" | ")))
    actions: list[ActionRule] = []
    lines = ACTIONS.strip().splitlines()
    for head, before, after in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        words, _, text = head.partition(": ")
        name, *order = words.split()
        special = SPECIAL.get(name, ())
        actions.append(action_rule(predicates, name, text, order, literals(before), literals(after), special))
    return Domain(TYPES, tuple(predicates.values()), tuple(actions))


def action_rule(
    predicates: dict[str, Predicate],
    name: str,
    description: str,
    order: list[str],
    preconditions: tuple[Literal, ...],
    effects: tuple[Literal, ...],
    special: tuple[EffectRule, ...],
) -> ActionRule:
    """Return an action whose parameters have the types of the predicates that they stand in."""
    types = {
        parameter: kind
        for literal in (*preconditions, *effects)
        for parameter, kind in zip(literal.parameters, predicates[literal.predicate].types, strict=True)
    }
    parameters = tuple((parameter, types[parameter]) for parameter in order)
    return ActionRule(name, description, parameters, preconditions, effects, special)
