"""Which prompts have no answer yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.experiment.completed import Completed
from agentflow_protocols.experiment.record import Record, canonical

__all__ = ["needs_asking"]


def needs_asking(
    records: Iterable[Record], done: Iterable[Completed], *, by: str | None = None
) -> Iterator[Record]:
    """Yield the records without an answer in `done`, in order. An error is no answer.

    A record is known by its key `by` (one answer is enough for all that have the same value),
    else, and where it lacks that key, by its content: of equal records as many are answered as
    there are answers.
    """
    known: set[str] = set()
    answers: Counter[str] = Counter()
    for line in done:
        if not line.failed:
            key = _key(line.values, by)
            if key is None:
                answers[line.record.hash] += 1
            else:
                known.add(key)
    for record in records:
        key = _key(record.values, by)
        if key is not None:
            if key not in known:
                yield record
        elif answers[digest := record.hash] > 0:
            answers[digest] -= 1
        else:
            yield record


def _key(values: Mapping[str, Json], by: str | None) -> str | None:
    value = None if by is None else values.get(by)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None else canonical(value)
