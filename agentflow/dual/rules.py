"""Rule and RulePolicy: a policy as data, an ordered list of what to do when.

It is the first choice for what a model writes: only the conditions are code, one expression each;
what is done is JSON that never enters the sandbox; and two versions can be told apart rule by rule.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import ClassVar, cast

import pydantic

from agentflow.dual.sandbox import MOST_SOURCE, LoadedPolicy, PolicyFault, PolicySandbox
from agentflow.tools.faults import fault_line
from agentflow_protocols.chat import Json

__all__ = ["LoadedRules", "Rule", "RulePolicy", "unfenced"]

_MOST_RULES = 64
_LONGEST_WHEN = 1000
_LARGEST_DO = 4096
_BEGINS = re.compile(r"^[ \t]*[\[{]", re.MULTILINE)
_FENCED = re.compile(r"```[\w+-]*[ \t]*\r?\n(.*?)```", re.DOTALL)


_DIALECT = """\
Write a JSON list of rules, the most important first: each tick the first rule that holds is done. A rule is \
an object: "when", one Python expression over state (JSON data) and tick (a number); "do", the action; \
"once": true, when it shall be done one time only; "expires", the tick from which it no longer holds. \
Example: [{"when": "state['pot'] == 'ready'", "do": "serve"}, {"when": "tick > 40", "do": "wait"}]. \
An expression that raises stops the list, so ask for what may be absent by state.get(name). An empty list \
takes all rules back."""


class Rule(pydantic.BaseModel):
    """When `when` holds, do `do`.

    `when` is one Python expression over `state` and `tick`, such as `state["pot"] == "ready"`. With
    `once` the rule fires one time; `expires` is the tick from which it does not hold any more.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    when: str = pydantic.Field(min_length=1, max_length=_LONGEST_WHEN)
    do: Json
    once: bool = False
    expires: int | None = pydantic.Field(default=None, ge=0)

    @pydantic.field_validator("when")
    @classmethod
    def _one_expression(cls, when: str) -> str:
        text = when.strip()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text, mode="eval")
                ast.parse(f"(\n{text}\n)", mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            told = error.msg if isinstance(error, SyntaxError) else type(error).__name__
            raise ValueError(f"is no Python expression: {told}") from None
        if any(isinstance(part, ast.Yield | ast.YieldFrom | ast.Await) for part in ast.walk(tree)):
            raise ValueError("waits or yields: a condition is true or false at once")
        return text

    @pydantic.field_validator("do")
    @classmethod
    def _small(cls, do: Json) -> Json:
        try:
            size = len(json.dumps(do, allow_nan=False))
        except (ValueError, RecursionError):
            raise ValueError("is not JSON") from None
        if size > _LARGEST_DO:
            raise ValueError(f"has {size} characters of JSON; at most {_LARGEST_DO}")
        return do


class RulePolicy:
    """An ordered list of rules: the first that holds says what to do. Without rules it says nothing.

    It never changes; what has fired is known to the `LoadedRules` that `load` returns. `dialect` is
    what to tell a model that shall write rules.
    """

    dialect: ClassVar[str] = _DIALECT

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        if len(rules) > _MOST_RULES:
            raise PolicyFault("syntax", f"{len(rules)} rules; at most {_MOST_RULES}")
        self.rules = tuple(rules)

    @classmethod
    def from_text(cls, text: str) -> RulePolicy:
        """Return the rules of a model's JSON: a list, or `{"rules": [...]}`, in a fence or bare.

        Prose may stand before and after it. Raises `PolicyFault` (`syntax`), which says where and what
        is wrong.
        """
        if len(text) > MOST_SOURCE:
            raise PolicyFault("syntax", f"{len(text)} characters; a policy has at most {MOST_SOURCE}")
        try:
            value = _first_value(unfenced(text))
        except json.JSONDecodeError as error:
            raise PolicyFault("syntax", f"no JSON: {error.msg}", line=error.lineno) from None
        except RecursionError:
            raise PolicyFault("syntax", "nested too deep") from None
        except ValueError as error:
            raise PolicyFault("syntax", str(error)) from None
        return cls.from_json(value)

    @classmethod
    def from_json(cls, value: object) -> RulePolicy:
        """Return the rules of a JSON value or of `Rule` objects. Raises `PolicyFault` (`syntax`)."""
        if isinstance(value, dict) and set(value) == {"rules"}:
            value = value["rules"]
        if not isinstance(value, list | tuple):
            raise PolicyFault(
                "syntax", f"rules are a list of objects with `when` and `do`, not {type(value).__name__}"
            )
        if len(value) > _MOST_RULES:
            raise PolicyFault("syntax", f"{len(value)} rules; at most {_MOST_RULES}")
        rules = []
        for number, one in enumerate(value, 1):
            try:
                rules.append(Rule.model_validate(one))
            except pydantic.ValidationError as error:
                names = list(Rule.model_fields)
                told = fault_line(f"rule {number}", cast("list[dict[str, object]]", error.errors()), names)
                raise PolicyFault("syntax", told) from None
        return cls(rules)

    def to_json(self) -> str:
        """Return the rules as JSON, a rule a line. What is default is left out."""
        lines = [_line(rule) for rule in self.rules]
        return "[" + ",\n ".join(lines) + "]\n"

    def diff(self, other: RulePolicy) -> list[str]:
        """Return how `other` differs: `- rule` for what it lacks, `+ rule` for what is new, in order."""
        mine, theirs = [_line(rule) for rule in self.rules], [_line(rule) for rule in other.rules]
        told: list[str] = []
        for what, a, b, c, d in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
            if what != "equal":
                told += [f"- {line}" for line in mine[a:b]]
                told += [f"+ {line}" for line in theirs[c:d]]
        return told

    @property
    def source(self) -> str:
        """The one program that all conditions are; it answers with a rule's index, or what it raised."""
        parts = [f"def _when_{i}(state, tick): return (\n{rule.when}\n)" for i, rule in enumerate(self.rules)]
        names = ", ".join(f"_when_{i}" for i in range(len(self.rules)))
        parts.append(f"_RULES = [{names}]\n{_PROGRAM}")
        return "\n".join(parts)

    async def load(self, sandbox: PolicySandbox) -> LoadedRules:
        """Return the rules, ready to be called. Raises `PolicyFault`, which names the rule."""
        if not self.rules:
            return LoadedRules(self, None)
        try:
            return LoadedRules(self, await sandbox.load(self.source))
        except PolicyFault as fault:
            number = self._rule_at(fault.line)
            raise PolicyFault(fault.kind, f"rule {number}: {fault.told}" if number else fault.told) from None

    def _rule_at(self, line: int | None) -> int | None:
        """Return the number of the rule that stands in a line of `source`."""
        last = 0
        for number, rule in enumerate(self.rules, 1):
            last += 3 + rule.when.count("\n")
            if line is not None and line <= last:
                return number
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RulePolicy) and self.rules == other.rules

    def __hash__(self) -> int:
        return hash(self.to_json())


_PROGRAM = """def policy(given):
    state = given["state"]
    tick = given["tick"]
    for index in given["live"]:
        try:
            if _RULES[index](state, tick):
                return index
        except Exception as error:
            return [index, f"{type(error).__name__}: {error}"]
    return None
"""


class LoadedRules:
    """Rules in a sandbox, and which of those that fire once have fired."""

    def __init__(self, policy: RulePolicy, loaded: LoadedPolicy | None) -> None:
        self.policy = policy
        self._loaded = loaded
        self._fired: set[int] = set()

    async def call(self, state: Json, tick: int, *, seconds: float, dry: bool = False) -> Json:
        """Return what the first rule that holds says; None when none does.

        A rule that fires once has fired then, unless the call is `dry`. Raises `PolicyFault`, which
        names the rule whose condition raised.
        """
        rules = self.policy.rules
        live = [
            index
            for index, rule in enumerate(rules)
            if index not in self._fired and (rule.expires is None or tick < rule.expires)
        ]
        if self._loaded is None or not live:
            return None
        given: Json = {"state": state, "tick": tick, "live": live}
        answer = await self._loaded.call(given, seconds=seconds)
        match answer:
            case None:
                return None
            case [int(index), str(error)] if index in live:
                raise PolicyFault("raised", f"rule {index + 1}, `{rules[index].when[:80]}`: {error}")
            case int(index) if index in live and not isinstance(index, bool):
                if rules[index].once and not dry:
                    self._fired.add(index)
                return rules[index].do
            case _:
                raise PolicyFault("result", "a condition has changed the program of the rules")

    async def aclose(self) -> None:
        """Give back the sandbox's worker."""
        if self._loaded is not None:
            await self._loaded.aclose()


def unfenced(text: str) -> str:
    """Return what stands in the fence of a model's answer that holds a policy, or the whole text."""
    fenced = [str(found[1]).strip() for found in _FENCED.finditer(text)]
    for found in fenced:
        if found.startswith(("[", "{")) or "def policy" in found:
            return found
    return fenced[0] if fenced else text.strip()


def _first_value(text: str) -> object:
    """Return the JSON that begins the text, or a line of it. Raises `ValueError`."""
    found = _BEGINS.search(text)
    start = found.end() - 1 if found else 0
    value, end = json.JSONDecoder(object_pairs_hook=_without_twins).raw_decode(text, start)
    if _BEGINS.search(text, end):
        raise ValueError("more than one JSON value: give one list of rules")
    return cast("object", value)


def _line(rule: Rule) -> str:
    return json.dumps(rule.model_dump(exclude_defaults=True), ensure_ascii=False)


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key `{key[:40]}` stands twice in one object")
        found[key] = value
    return found
