"""Proximity: how alike hypotheses are, which of them say the same, and how they fall into groups."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from agentflow.tournament.agents import Board, Reject
from agentflow.tournament.report import Standing
from agentflow.tournament.scientist.hypothesis import Hypothesis
from agentflow.tournament.scientist.library import words

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from agentflow.endpoints import Endpoint
    from agentflow.runtime.context import Context

__all__ = ["Proximity"]

_SIZE = 256  # of vectors made of words
_GROUP = 0.6  # how alike two have to be for one group, of how alike they have to be to be the same


class Proximity:
    """Vectors of hypotheses, by a model that makes embeddings, or by their words.

    `same` is the cosine from which two are one: the later one is turned away. A vector goes into the
    journal as its hypothesis' note, so that it is known after a crash. `known` returns all hypotheses,
    those included that do not play yet, or no more.
    """

    def __init__(
        self, embed: Endpoint | None, same: float, known: Callable[[], Iterable[Standing[Hypothesis]]] = list
    ) -> None:
        self._embed = embed
        self._same = same
        self._known = known
        self._sought: set[str] = set()
        self._vectors: dict[str, NDArray[numpy.float32]] = {}

    async def look(
        self, context: Context[object], one: Standing[Hypothesis], board: Board[Hypothesis]
    ) -> str | Reject:
        """Let a hypothesis in by its vector, or turn it away as one that is there already."""
        self.learn(self._known())
        vector = await self._vector(context, f"{board.goal}\n\n{one.item.as_text()}", one.item)
        alike = {other: float(vector @ known) for other, known in self._vectors.items() if other != one.id}
        nearest = max(sorted(alike), key=alike.__getitem__, default="")
        if alike.get(nearest, 0.0) >= self._same:
            return Reject(f"it says the same as {nearest}")
        self._vectors[one.id] = vector
        return base64.b64encode(vector.astype("float16").tobytes()).decode()

    def learn(self, standings: Iterable[Standing[Hypothesis]]) -> None:
        """Read the vectors that the journal has."""
        import numpy as np

        for standing in standings:
            note = standing.note("proximity")
            if note is not None and standing.id not in self._vectors:
                data = base64.b64decode(note.text)
                self._vectors[standing.id] = np.frombuffer(data, "float16").astype("float32")

    async def _vector(self, context: Context[object], text: str, item: Hypothesis) -> NDArray[numpy.float32]:
        import numpy as np

        if self._embed is not None:
            made = await self._embed.embed([text], resources=context.resources)
            vector = np.asarray(made.vectors[0], "float32")
        else:
            vector = np.zeros(_SIZE, "float32")
            for word, times in words(item.as_text()).items():
                place = sum(ord(letter) * pow(31, at, 2 * _SIZE) for at, letter in enumerate(word)) % (
                    2 * _SIZE
                )
                vector[place % _SIZE] += (1 if place < _SIZE else -1) * (1 + math.log(times))
        length = float(np.sqrt(vector @ vector))
        scaled: NDArray[numpy.float32] = (vector / (length or 1.0)).astype("float16").astype("float32")
        return scaled

    def near(self, one: Hypothesis, other: Hypothesis) -> float:
        """Return how alike two are, from 0 to 1; 0 while that is not known."""
        first, second = self._known_of(one.id), self._known_of(other.id)
        return 0.0 if first is None or second is None else max(0.0, float(first @ second))

    def _known_of(self, id: str) -> NDArray[numpy.float32] | None:
        if id not in self._vectors and id not in self._sought:
            self._sought.add(id)
            self.learn(self._known())
        return self._vectors.get(id)

    def groups(self, ranking: Sequence[Standing[Hypothesis]]) -> list[list[str]]:
        """Return ids in groups of what is alike, each led by its best; the groups in the order of these."""
        groups: list[list[Standing[Hypothesis]]] = []
        for standing in ranking:
            for group in groups:
                if self.near(group[0].item, standing.item) >= _GROUP * self._same:
                    group.append(standing)
                    break
            else:
                groups.append([standing])
        return [[each.id for each in group] for group in groups]
