"""A model that plays all roles of a co-scientist: hypotheses have a number, and the greater is better."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

from agentflow.testing import FakeEndpoint
from agentflow.tournament.scientist.lab import ROLES
from agentflow_protocols.chat import ChatRequest

_NUMBER = re.compile(r"Leek (\d+)")


class ScriptedLab:
    """Answers by role; `asked` counts by role, `told` has the prompts of each."""

    def __init__(self, *, best: int = 60, refuse: str = "forbidden") -> None:
        self.asked: Counter[str] = Counter()
        self.told: dict[str, list[str]] = {role: [] for role in ROLES}
        self._best = best
        self._refuse = refuse
        self.model = FakeEndpoint(self._answer, delay=1.0)

    def _answer(self, request: ChatRequest) -> str:
        system = next(message.text for message in request.messages if message.role == "system")
        role = next(role for role, text in ROLES.items() if system.startswith(text[:40]))
        text = request.messages[-1].text
        self.asked[role] += 1
        self.told[role].append(text)
        chance = random.Random(f"{role} {text}")
        answer = getattr(self, f"_{role}")(text, chance)
        return answer if isinstance(answer, str) else json.dumps(answer)

    def _safety(self, text: str, chance: random.Random) -> object:
        return {
            "safe": self._refuse not in text,
            "why": f"it says {self._refuse}" if self._refuse in text else "fine",
        }

    def _planning(self, text: str, chance: random.Random) -> object:
        return {"objective": "the best leek", "criteria": ["it is a greater number"]}

    def _generation(self, text: str, chance: random.Random) -> object:
        if "Give the next turn" in text:
            return {"argument": "A botanist doubts it.", "settled": "botanist" in text}
        if "assumptions" in text and "hypotheses, or fewer" not in text:
            return {"assumptions": ["Leeks grow.", "Soup is wet."]}
        return {"hypotheses": [self._idea(chance.randrange(30)) for _ in range(2)]}

    def _evolution(self, text: str, chance: random.Random) -> object:
        parents = [int(number) for number in _NUMBER.findall(text.split("There already")[0])]
        return {
            "hypotheses": [
                self._idea(min(self._best, max(0, max(parents, default=0) + chance.randrange(-4, 6))))
            ]
        }

    def _idea(self, number: int) -> object:
        statement = f"Leek {number} is the best, by {'very ' * (number % 7)}much, as {number * 7919} says."
        return {"title": f"Leek {number}", "statement": statement, "sources": ["a cook"]}

    def _reflection(self, text: str, chance: random.Random) -> object:
        if "Is it worth a closer look?" in text:
            return {"viable": "Leek 13 " not in text, "why": "it has a number"}
        if "Which assumptions does it rest on?" in text:
            return {"assumptions": ["Leeks are counted.", "Greater is better."]}
        if "An assumption of a hypothesis" in text:
            return {"holds": "unsure", "fundamental": True, "why": "nobody knows"}
        if "Which findings" in text:
            return {"observations": [{"finding": "Soup.", "explained": True, "how": "by leeks"}]}
        if "Step through" in text:
            return {"steps": ["cut", "boil"], "failures": ["burnt"], "summary": "it boils"}
        return {"summary": "a sound leek", "weaknesses": ["it is green"]}

    def _ranking(self, text: str, chance: random.Random) -> object:
        if "Give the next turn of the debate" in text:
            return "An expert finds it hard to say."
        first, second = (int(number) for number in re.findall(r"(?m)^(?:First|Second): Leek (\d+)", text))
        return f"By its number.\n{'first' if first - second + chance.gauss(0, 6) > 0 else 'second'}"

    def _meta(self, text: str, chance: random.Random) -> object:
        if "again and again" in text and "Advise those" in text:
            return {"recurring": ["greenness"], "advice": "Mind the greenness."}
        if "Write this in the form" in text:
            return "Aim 1: leeks."
        return {
            "summary": "Leeks are <b>good</b>.",
            "directions": [{"title": "Soup", "why": "it is warm", "experiments": ["boil"], "hypotheses": []}],
            "contacts": [{"expertise": "cooking", "why": "they know"}],
        }
