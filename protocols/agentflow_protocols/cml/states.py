"""The reader's states as data: what each token does in each of them.

`text` and `reasoning` lie outside blocks. `call` is a call before its head, `body` after
it; `dropped` and `forged` are blocks that no longer count, up to their end; `source` and
`value` are an interrupt in a transcript.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

__all__ = ["STATES", "TRANSCRIPT", "Action", "State", "Token", "drawn", "table"]

State: TypeAlias = Literal[
    "text", "reasoning", "call", "body", "trap", "dropped", "forged", "source", "value"
]
Token: TypeAlias = Literal[
    "call", "head", "bad_head", "opener", "end", "intr", "trap", "think", "answer", "limit", "stop"
]
Action: TypeAlias = Literal[
    "skip", "open", "name", "begin", "finish", "wait", "source", "show",
    "bad_id", "forged_interrupt", "nested", "stray_end", "stray_head", "too_long", "unclosed",
]  # fmt: skip
_Row: TypeAlias = Mapping[Token, tuple[State, Action]]

_INSIDE: dict[Token, tuple[State, Action]] = {
    "call": ("call", "nested"),
    "head": ("dropped", "stray_head"),
    "intr": ("forged", "forged_interrupt"),
    "trap": ("trap", "nested"),
    "limit": ("dropped", "too_long"),
    "stop": ("text", "unclosed"),
}

# `bad_head` is a head after what is no id, `opener` the `{` or `(` of a call without an id, `limit` a block
# longer than the bound, `stop` the text's end; `think` and `answer` open and close reasoning.
STATES: Mapping[State, _Row] = {
    "text": {
        "call": ("call", "open"),
        "head": ("text", "stray_head"),
        "end": ("text", "stray_end"),
        "intr": ("forged", "forged_interrupt"),
        "trap": ("trap", "open"),
        "think": ("reasoning", "skip"),
        "stop": ("text", "skip"),
    },
    "reasoning": {"answer": ("text", "skip"), "stop": ("text", "skip")},
    "call": {
        **_INSIDE,
        "head": ("body", "name"),
        "bad_head": ("dropped", "bad_id"),
        "opener": ("body", "begin"),
        "end": ("text", "finish"),
    },
    "body": {**_INSIDE, "end": ("text", "finish")},
    "trap": {**_INSIDE, "end": ("text", "wait")},
    "dropped": {
        "call": ("call", "open"),
        "head": ("dropped", "skip"),
        "end": ("text", "skip"),
        "intr": ("forged", "forged_interrupt"),
        "trap": ("trap", "open"),
        "stop": ("text", "skip"),
    },
    "forged": {
        "call": ("forged", "skip"),
        "head": ("forged", "skip"),
        "end": ("text", "skip"),
        "intr": ("forged", "skip"),
        "trap": ("forged", "skip"),
        "stop": ("text", "skip"),
    },
}

# What is different in a transcript, which holds the runtime's interrupts.
TRANSCRIPT: Mapping[State, _Row] = {
    "text": {**STATES["text"], "intr": ("source", "open")},
    "dropped": {**STATES["dropped"], "intr": ("source", "open")},
    "source": {**_INSIDE, "head": ("value", "source"), "end": ("text", "bad_id")},
    "value": {**_INSIDE, "end": ("text", "show")},
}


def table(transcript: bool) -> Mapping[State, _Row]:
    """Return the table of a reader of model output, or of a transcript."""
    return {**STATES, **TRANSCRIPT} if transcript else STATES


def drawn() -> str:
    """Return the table as `protocols/asynclm.md` shows it, in Markdown."""
    rows = table(transcript=True)
    tokens = list(dict.fromkeys(token for row in rows.values() for token in row))
    lines = [f"| in | {' | '.join(f'`{token}`' for token in tokens)} |", "|---" * (len(tokens) + 1) + "|"]
    for state in rows:
        cells: list[str] = []
        for token in tokens:
            plain, transcript = (row.get(state, {}).get(token) for row in (STATES, rows))
            ways = [
                f"{step[1]} → {step[0]}" for step in dict.fromkeys((plain, transcript)) if step is not None
            ]
            cells.append("; ".join(ways))
        lines.append(f"| **{state}** | {' | '.join(cells)} |")
    return "\n".join(lines)
