"""The grammar of model output, run by a small reader of GBNF that keeps a set of stacks as llama.cpp does."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow_protocols.chat import ToolSpec
from agentflow_protocols.cml import (
    CallReady,
    Markup,
    Parser,
    ProtocolViolation,
    encode_call,
    encode_trap,
    grammar,
)

SCHEMA = {
    "type": "object",
    "properties": {
        "pot": {"type": "string"},
        "litres": {"type": "number"},
        "kind": {"enum": ["big", 'q"', None, 3]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "deep": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
        "some": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    },
    "required": ["pot", "kind"],
}
TOOLS = {"boil": {}, "model.Fit": {}, "chop": SCHEMA, "rest": {"type": "object", "properties": {}}}
GENERIC = ["boil", "model.Fit"]
XML = Markup(call="<call>", head="<do>", end="</call>", intr="<intr>", trap="<trap>")
LEXEME = re.compile(
    r'\s*("(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[a-zA-Z][a-zA-Z0-9-]*|\(|\)|\||\*|\+|\?|\{\d+,\d+\})'
)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def plain(text: str) -> list[str]:
    """Return the characters that a literal or a class is written with."""
    out = []
    for found in re.finditer(r"\\x(..)|\\u(....)|\\U(.{8})|\\(.)|(.)", text, re.DOTALL):
        code = found[1] or found[2] or found[3]
        out.append(chr(int(code, 16)) if code else ESCAPES.get(found[4], found[4]) if found[4] else found[5])
    return out


class Grammar:
    """GBNF: a rule is a list of alternatives, these of character sets and names of rules."""

    def __init__(self, text: str) -> None:
        self.rules: dict[str, list[tuple]] = {}
        for line in text.splitlines():
            name, _, body = line.partition(" ::= ")
            self.tokens = [found[1] for found in LEXEME.finditer(body)]
            assert "".join(self.tokens).replace(" ", "") == body.replace(" ", ""), line
            self.rules[name] = self.alternatives(name)
        for ways in self.rules.values():
            for way in ways:
                assert all(item in self.rules for item in way if isinstance(item, str)), way

    def fresh(self, ways: list[tuple]) -> str:
        name = f"+{len(self.rules)}"
        self.rules[name] = ways
        return name

    def alternatives(self, name: str) -> list[tuple]:
        ways: list[tuple] = [()]
        while self.tokens and self.tokens[0] != ")":
            token = self.tokens.pop(0)
            if token == "|":
                ways.append(())
                continue
            if token == "(":
                items: tuple = (self.fresh(self.alternatives(name)),)
                assert self.tokens.pop(0) == ")"
            elif token[0] == '"':
                items = tuple((False, ((c, c),)) for c in plain(token[1:-1]))
            elif token[0] == "[":
                items = (self.characters(token[1:-1]),)
            else:
                items = (token,)
            if self.tokens and (self.tokens[0] in ("*", "+", "?") or self.tokens[0][0] == "{"):
                items = self.repeated(items, self.tokens.pop(0))
            ways[-1] += items
        return ways

    def repeated(self, items: tuple, sign: str) -> tuple:
        if sign[0] == "{":
            low, high = map(int, sign[1:-1].split(","))
            rest: tuple = ()
            for _ in range(high - low):
                rest = (self.fresh([(*items, *rest), ()]),)
            return items * low + rest
        if sign == "?":
            return (self.fresh([items, ()]),)
        name = self.fresh([])
        self.rules[name] = [(*items, name), ()]
        return (name,) if sign == "*" else (*items, name)

    @staticmethod
    def characters(text: str) -> tuple:
        negated = text.startswith("^")
        signs = [
            "".join(plain(found[0])) for found in re.finditer(r"\\x..|\\u....|\\U.{8}|\\.|.", text[negated:])
        ]
        ranges, raw = [], re.findall(r"\\x..|\\u....|\\U.{8}|\\.|.", text[negated:])
        at = 0
        while at < len(signs):
            if at + 2 < len(signs) and raw[at + 1] == "-":
                ranges.append((signs[at], signs[at + 2]))
                at += 3
            else:
                ranges.append((signs[at], signs[at]))
                at += 1
        return negated, tuple(ranges)

    def opened(self, stacks: set[tuple]) -> set[tuple]:
        """Return the stacks with a character set on top, and the empty one where all may end."""
        out: set[tuple] = set()
        todo, seen = list(stacks), set(stacks)
        while todo:
            stack = todo.pop()
            if not stack or not isinstance(stack[0], str):
                out.add(stack)
                continue
            for way in self.rules[stack[0]]:
                new = (*way, *stack[1:])
                if new not in seen:
                    seen.add(new)
                    todo.append(new)
        return out

    def fed(self, stacks: set[tuple], sign: str) -> set[tuple]:
        return self.opened({stack[1:] for stack in stacks if stack and allows(stack[0], sign)})

    def after(self, text: str) -> set[tuple]:
        stacks = self.opened({("root",)})
        for sign in text:
            stacks = self.fed(stacks, sign)
        return stacks

    def follows(self, text: str) -> tuple[bool, bool]:
        """Return whether `text` is the beginning of an output, and whether it is a whole one."""
        stacks = self.after(text)
        return bool(stacks), () in stacks


def allows(characters: tuple, sign: str) -> bool:
    negated, ranges = characters
    return any(a <= sign <= b for a, b in ranges) is not negated


GRAMMARS = {
    markup: Grammar(grammar(markup, TOOLS))
    for markup in (Markup(), XML, Markup(body="python", reasoning=None))
}
values = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.sampled_from(["x", "[END]", "[\\CALL]", 'a"\n']),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["a", "[END]"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@given(
    st.sampled_from(list(GRAMMARS)),
    st.lists(
        st.sampled_from(["Now ", "[", "[C", "<", "<ca", "e\n", "[x]", "é", ""])
        | st.tuples(st.none() | st.just("c1"), st.sampled_from(GENERIC), values)
        | st.lists(st.just("c1"), max_size=2),
        max_size=5,
    ),
)
def test_what_is_written_follows_the_grammar(markup, parts):
    """AL-8.4."""
    text = ""
    for part in parts:
        if isinstance(part, tuple):
            text += " " + encode_call(part[0], part[1], json.dumps({"a": part[2]}), markup)
        else:
            text += part if isinstance(part, str) else encode_trap(part, markup)
    assert GRAMMARS[markup].follows(text) == (True, True)


@pytest.mark.parametrize(
    "text",
    [
        "[INTR]", "a [INTR]", "[[INTR]", "[END]", "[HEAD]", "[CALL] c1 [HEAD] fry {} [END]", "[CALL] [END]",
        "[CALL] c1 [HEAD] boil {[END]", '[CALL] c1 [HEAD] boil {"a": "[END]', "[CALL] c1 [CALL]",
        '[CALL] c1 [HEAD] boil {"a": NaN', "[CALL] 1 [HEAD]", "[TRAP] 1", "[TRAP] c1 [HEAD]",
        '[CALL] boil {"a": "\n', "[CALL] boil {} {}", "<think>[INTR]</think>[INTR]",
    ],
)  # fmt: skip
def test_what_breaks_the_protocol_is_not_in_the_grammar(text):
    """AL-8.4: the last character of each is the one that may not come."""
    rules = GRAMMARS[Markup()]
    assert not rules.follows(text)[0]


def test_a_block_that_is_open_is_no_whole_output():
    """AL-8.4."""
    rules = GRAMMARS[Markup()]
    assert rules.follows("a [CALL] c1 [HEAD] boil {") == (True, False)
    assert rules.follows("<think>[CALL] x [END] [INTR]") == (True, True)
    assert rules.follows("<think>[INTR]</think>[CALL] boil {} [END]") == (True, True)


@settings(max_examples=40)
@given(st.sampled_from(list(GRAMMARS)), st.data())
def test_whatever_the_grammar_allows_is_read_without_a_violation(markup, data):
    """AL-8.4: walk through the grammar at random; the reader finds nothing wrong."""
    rules = GRAMMARS[markup]
    text = data.draw(st.sampled_from(["", f"{markup.call} c1 {markup.head} chop"]))
    stacks = rules.after(text)
    pool = sorted({*"".join(markup.forms), *'c1 boil{}()"\\=:,ua0[]xpqk$', "\n"})
    for _ in range(data.draw(st.integers(0, 250))):
        ways = [sign for sign in pool if any(stack and allows(stack[0], sign) for stack in stacks)]
        if not ways:
            break
        closing = [sign for sign in ways if sign in '"})]:,="']
        sign = data.draw(st.sampled_from(closing if closing and data.draw(st.booleans()) else ways))
        text += sign
        stacks = rules.fed(stacks, sign)
    for event in (parser := Parser(markup)).feed(text) + parser.end():
        if isinstance(event, CallReady) and event.name == "chop":
            arguments = json.loads(event.arguments)
            assert {"pot", "kind"} <= arguments.keys() <= SCHEMA["properties"].keys()
        elif isinstance(event, ProtocolViolation):
            assert event.kind in ("bad_id", "unclosed"), (text, event)


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"pot": "x", "kind": "big"}, True),
        ({"pot": "", "litres": -1.5e3, "kind": None, "tags": [], "deep": {"x": 1}, "some": None}, True),
        ({"pot": "x", "kind": 3, "tags": ["a", "[END]"], "some": True}, True),
        ({"pot": "$c1", "litres": "$c1.litres", "kind": "$c2.kinds[0]", "deep": "$c3"}, True),
        ({"kind": "big"}, False),
        ({"pot": "x"}, False),
        ({}, False),
        ({"pot": "x", "kind": "small"}, False),
        ({"pot": 1, "kind": "big"}, False),
        ({"pot": "x", "litres": "much", "kind": "big"}, False),
        ({"pot": "x", "kind": "big", "deep": {}}, False),
        ({"pot": "x", "kind": "big", "deep": {"x": 1.5}}, False),
        ({"pot": "x", "kind": "big", "tags": [1]}, False),
        ({"pot": "x", "kind": "big", "more": 1}, False),
        ({"pot": "x", "kind": "big", "some": 1}, False),
    ],
)
def test_arguments_follow_the_tool_s_schema(arguments, fits):
    """AL-8.4."""
    for markup, rules in GRAMMARS.items():
        block = encode_call("c1", "chop", json.dumps(arguments), markup)
        assert rules.follows(block) == (fits, fits), block


def test_tools_may_be_specs_or_none():
    """AL-8.4."""
    spec = ToolSpec("boil", "Boil.", {})
    assert grammar(Markup(), [spec]) == grammar(Markup(), {"boil": {}})
    bare = Grammar(grammar(Markup(), []))
    assert bare.follows("a [TRAP] [END]") == (True, True)
    assert bare.follows("[CALL]") == (False, False)


ANSWER = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "minutes": {"type": "integer"}},
    "required": ["name", "minutes"],
}


@pytest.mark.parametrize("tools", [{}, {"boil": {}}])
def test_with_an_output_the_text_is_one_object_of_its_schema(tools):
    """AL-8.4."""
    rules = Grammar(grammar(Markup(), tools, ANSWER))
    assert rules.follows('{"name": "leek soup", "minutes": 25}') == (True, True)
    assert rules.follows('<think>[CALL] hm</think> {"name": "", "minutes": 0}') == (True, True)
    assert rules.follows("[TRAP] [END]") == (True, True)
    assert rules.follows("Here is")[0] is False
    assert rules.follows('{"name": "$c1", "minutes": "$c1.x"}')[0] is False
    assert rules.follows('{"name": "leek soup", "minutes": 25} and')[0] is False
    call = "[CALL] c1 [HEAD] boil {} [END]\n"
    assert rules.follows(call + '{"name": "x", "minutes": 1}')[0] is bool(tools)
