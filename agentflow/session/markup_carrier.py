"""Models reached by text in markup: over a chat API, over completions, or in this process.

An interrupt goes in outside a block: the stream is left, the blocks are put behind what
was written, and the model goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agentflow.endpoints import Endpoint, OnEvent
from agentflow.runtime.resources import Resources
from agentflow.session.markup_stream import MarkupStream
from agentflow.session.prompt import CHATML, Template, chat_messages, instructions, prompt_text
from agentflow_protocols.chat import ChatRequest, Json, ToolSpec
from agentflow_protocols.cml import Markup, encode_trap, grammar

__all__ = ["CmlChat", "CmlText", "InFlight"]


class CmlChat:
    """A chat API with any model that follows instructions; it learns the markup from the prompt.

    `request_cost` is the seconds that putting something in costs; None learns them.
    """

    def __init__(
        self, endpoint: Endpoint, markup: Markup | None = None, *, request_cost: float | None = None
    ) -> None:
        self.endpoint = endpoint
        self.name = endpoint.name
        self.markup = markup or Markup()
        self.cost = request_cost
        self.parallel = True
        self.late_results = False

    def stream(self, request: ChatRequest, resources: Resources, on_event: OnEvent) -> MarkupStream:
        """Return the reply, from where the conversation stopped."""
        system = instructions(self.markup, request.tools)
        prefill = self.endpoint.capabilities.prefill != "none"
        asked = replace(
            request, messages=chat_messages(request, self.markup, system, prefill), tools=(), output=None
        )
        inner = self.endpoint.stream(asked, resources=resources, on_event=on_event)
        return MarkupStream(inner, self.markup)


class CmlText:
    """A model that goes on with a text: `/completions` of vLLM, SGLang or llama.cpp's server.

    The text only grows, so the server's prompt cache makes going on cheap. `template` is
    how the model's training wrote a conversation. Where the endpoint takes a grammar, the
    model can write valid markup only, and never an interrupt.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        markup: Markup | None = None,
        *,
        template: Template = CHATML,
        request_cost: float | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.name = endpoint.name
        self.markup = markup or Markup()
        self.template = template
        self.cost = request_cost
        self.parallel = True
        self.late_results = False
        self._grammar: tuple[tuple[Sequence[ToolSpec], Mapping[str, Json] | None], str] = (((), None), "")

    def stream(self, request: ChatRequest, resources: Resources, on_event: OnEvent) -> MarkupStream:
        """Return the reply, from where the text stopped."""
        system = instructions(self.markup, request.tools)
        settings = request.settings
        stop = (*(settings.stop or ()), self.template.stop)
        if request.tools and self.endpoint.capabilities.tells_stop:
            stop += (encode_trap((), self.markup),)  # nothing is written behind a trap
        asked = replace(
            request,
            messages=(),
            tools=(),
            output=None,
            prompt=prompt_text(request, self.markup, self.template, system),
            banned=(self.markup.intr,),
            grammar=self._grammar_of(request),
            settings=replace(settings, stop=stop),
        )
        inner = self.endpoint.stream(asked, resources=resources, on_event=on_event)
        return MarkupStream(inner, self.markup)

    def _grammar_of(self, request: ChatRequest) -> str | None:
        if not (request.tools or request.output) or not self.endpoint.capabilities.grammar:
            return None
        asked = (request.tools, request.output)
        if self._grammar[0] != asked:
            self._grammar = (asked, grammar(self.markup, *asked))
        return self._grammar[1]


class InFlight(CmlText):
    """A model in this process: interrupts are evaluated between two of its tokens.

    The endpoint's model keeps what it has evaluated (`in-flight:NAME` does), so going on
    costs no more than the new tokens, and everything is put in as soon as it comes.
    """

    def __init__(
        self, endpoint: Endpoint, markup: Markup | None = None, *, template: Template = CHATML
    ) -> None:
        super().__init__(endpoint, markup, template=template, request_cost=0.0)
