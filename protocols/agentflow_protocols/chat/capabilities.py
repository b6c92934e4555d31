"""What a model endpoint can do, as data that a user may override."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Capabilities", "Prefill"]

Prefill: TypeAlias = Literal["none", "continue", "prefix", "trailing"]


@dataclass(slots=True, frozen=True)
class Capabilities:
    """What may be asked of an endpoint.

    `prefill`: how it is made to continue the last assistant message: by
    `continue_final_message` (vLLM, SGLang), by `prefix: true` on that message (Mistral,
    DeepSeek), `trailing` for no mark at all, `none` when it can't. `parallel_tool_calls`:
    several calls in one reply. `late_tool_results`: it accepts a second result for
    a call that was answered by a placeholder. `grammar`: its `/completions` takes a GBNF
    grammar, as llama.cpp's server does. `tells_stop`: it says which stop text ended a
    reply, as vLLM and SGLang do. `images`, `files`, `json_schema`:
    such parts and such outputs. `stream`: replies can be streamed; `stream_usage`:
    it takes `stream_options.include_usage`. `max_tokens_field`: the name of that
    setting on its wire. `developer_role`: system text has the role `developer`.
    `cache_control`: prompt-cache marks are taken. `strict_tools`: tool schemas may
    be marked `strict`. `reserves_tokens`: its limit of tokens counts what a reply may have, and
    gives nothing back for a shorter one. `context_window`: tokens, None when unknown.
    """

    prefill: Prefill = "none"
    parallel_tool_calls: bool = True
    late_tool_results: bool = False
    grammar: bool = False
    images: bool = True
    files: bool = True
    json_schema: bool = True
    stream: bool = True
    stream_usage: bool = True
    max_tokens_field: str = "max_tokens"
    developer_role: bool = False
    cache_control: bool = False
    strict_tools: bool = True
    tells_stop: bool = False
    reserves_tokens: bool = False
    context_window: int | None = None
