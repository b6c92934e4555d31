"""A grammar (GBNF, as llama.cpp reads it) of what a model may write in the markup.

Free text is a chain of rules, one a state of the automaton that searches for all tokens at
once: the characters that would complete a token lead into its block, or nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agentflow_protocols.chat.messages import Json, ToolSpec
from agentflow_protocols.cml.gbnf_arguments import argument_rules, literal
from agentflow_protocols.cml.markup import Markup

__all__ = ["grammar"]

_JSON = r"""
object ::= "{" ws (pair ("," ws pair)*)? "}"
pair ::= string ws ":" ws value
array ::= "[" ws (value ("," ws value)*)? "]"
value ::= (object | array | string | number | boolean | null) ws
boolean ::= "true" | "false"
null ::= "null"
"""
_PYTHON = r"""
arguments ::= "(" ws (argument ("," ws argument)*)? ")"
argument ::= id ws "=" ws value
object ::= "{" ws (string ws ":" ws value ("," ws string ws ":" ws value)*)? "}"
array ::= "[" ws (value ("," ws value)*)? "]"
value ::= (object | array | string | number | boolean | null) ws
boolean ::= "True" | "False"
null ::= "None"
"""
_COMMON = r"""
string ::= "\"" string-0
hex ::= [0-9a-fA-F]
integer ::= "-"? ("0" | [1-9] [0-9]{0,15})
number ::= integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?
reference ::= "\"$" id ("." id | "[" [0-9]{1,6} "]")* "\""
id ::= [a-zA-Z_] [a-zA-Z0-9_]{0,63}
ws ::= [ \t\n]{0,4}
"""


def grammar(
    markup: Markup,
    tools: Mapping[str, Mapping[str, Json]] | Sequence[ToolSpec],
    output: Mapping[str, Json] | None = None,
) -> str:
    """Return the grammar of a reply: free text, calls of `tools`, traps, reasoning; never an interrupt.

    With `output`, in place of the free text stands one JSON object that follows this schema,
    after any calls; only where bodies are JSON.

    Arguments follow the tools' schemas as far as `argument_rules` reads them. The grammar is
    narrower than what the parser reads (little white space, numbers of usual length, arguments
    in the schema's order), and does not know which ids are in use or reserved.
    """
    given = tools if isinstance(tools, Mapping) else {tool.name: tool.parameters for tool in tools}
    held = output is not None and markup.body == "json"
    rules = list(_held_rules(markup, bool(given)) if held else _text_rules(markup, bool(given)))
    end = literal(markup.end)
    if given:
        blank = "ws " if markup.body == "json" else ""
        bodies = [f"{literal(name)} {blank}tool-{index}" for index, name in enumerate(given)]
        rules += [
            f"call ::= ws (id ws {literal(markup.head)} ws)? body ws {end}",
            f"body ::= {' | '.join(bodies)}",
            *(_JSON if markup.body == "json" else _PYTHON).strip().splitlines(),
            *_string_rules(markup),
        ]
        for index, schema in enumerate(given.values()):
            rules += argument_rules(f"tool-{index}", schema, markup)
    if output is not None and held:
        if not given:
            rules += [*_JSON.strip().splitlines(), *_string_rules(markup)]
        rules += argument_rules("output", output, markup, references=False)
    rules += [
        f'trap ::= ws (id ([ ,] " "? id)* ws)? {end}',
        *(_COMMON if given or held else "\n".join(_COMMON.splitlines()[-2:])).strip().splitlines(),
    ]
    return "\n".join(rules) + "\n"


def _text_rules(markup: Markup, calls: bool) -> Iterator[str]:
    yield "root ::= text-0"
    goals = dict.fromkeys(markup.tokens, "")
    goals[markup.trap] = "trap text-0"
    if calls:
        goals[markup.call] = "call text-0"
    if markup.reasoning is not None:
        goals[markup.reasoning[0]] = "reasoning-0"
        yield from _rules("reasoning", {markup.reasoning[1]: "text-0"}, "", ['""'])
    yield from _rules("text", goals, "", ['""'])


def _held_rules(markup: Markup, calls: bool) -> Iterator[str]:
    """Yield the rules of a reply whose text is one object: blocks, then a trap or the object."""
    ways = [f"{literal(markup.trap)} trap", "output ws"]
    if calls:
        ways.append(f"{literal(markup.call)} call root")
    if markup.reasoning is not None:
        ways.append(f"{literal(markup.reasoning[0])} reasoning-0")
        yield from _rules("reasoning", {markup.reasoning[1]: "root"}, "", ['""'])
    yield f"root ::= ws ({' | '.join(ways)})"


def _string_rules(markup: Markup) -> Iterator[str]:
    """Yield the rules of what follows a string's opening quote; no token may stand in it."""
    escapes = '"\\"\\\\/bfnrt' if markup.body == "json" else '"\\\\bfnrt'
    quoted = "".join(_sign(sign) for sign in dict.fromkeys(escapes))
    extra = ['"\\""', f'"\\\\" ([{quoted}] | "u" hex hex hex hex) string-0']
    goals = dict.fromkeys((token for token in markup.tokens if '"' not in token), "")
    yield from _rules("string", goals, '"\\', extra, r"\x00-\x1F")


def _rules(
    name: str, goals: Mapping[str, str], banned: str, extra: Sequence[str], unseen: str = ""
) -> Iterator[str]:
    """Yield a rule for each state of the search for the keys of `goals`.

    A key that is completed goes on with its goal, or may not be completed where that is empty.
    `extra` alternatives stand in each rule; the characters in `banned` and those of the range
    `unseen` in none but those.
    """
    states = list(dict.fromkeys(key[:n] for key in goals for n in range(len(key))))
    letters = sorted({letter for key in goals for letter in key} - set(banned))
    for number, state in enumerate(states):
        ways: dict[str, list[str]] = {}
        for letter in letters:
            text = state + letter
            done = next((key for key in goals if text.endswith(key)), None)
            if done is not None:
                ways.setdefault(goals[done], []).append(letter)
                continue
            longest = next(text[cut:] for cut in range(len(text) + 1) if text[cut:] in states)
            if longest:
                ways.setdefault(f"{name}-{states.index(longest)}", []).append(letter)
        special = "".join(letter for some in ways.values() for letter in some) + banned
        parts = [f"[^{unseen}{''.join(map(_sign, sorted(set(special))))}] {name}-0"]
        parts += [f"[{''.join(map(_sign, some))}] {goal}" for goal, some in ways.items() if goal]
        yield f"{name}-{number} ::= {' | '.join([*parts, *extra])}"


def _sign(sign: str) -> str:
    return literal(sign)[1:-1]
