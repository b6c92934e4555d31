"""A conversation in markup, as chat messages or as one text that a model goes on with.

What the model wrote and the blocks that were put in are one turn of the assistant: the
next text begins with the one before, so that a prompt cache serves all but the new part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentflow.errors import LocalProtocolError, UserError
from agentflow.session.blocks import placeholder
from agentflow_protocols.chat import ChatRequest, Message, TextPart, ToolCall, ToolSpec
from agentflow_protocols.cml import (
    InterruptRead,
    Markup,
    Parser,
    encode_call,
    encode_interrupt,
    encode_trap,
    escape,
)
from agentflow_protocols.cml.markup import id_fault

__all__ = ["CHATML", "PLAIN", "Template", "chat_messages", "instructions", "prompt_text"]

_USUAL = Markup()
GO_ON = "Go on from where you stopped; do not repeat what you have written."


@dataclass(slots=True, frozen=True)
class Template:
    """How a model's training wrote a conversation as text; `{}` is a message's text.

    `stop` ends a turn of the assistant. `marks` are the texts that only the template may
    write: in a message's text a backslash breaks them up.
    """

    system: str
    user: str
    assistant: str
    stop: str
    marks: tuple[str, ...] = ()

    def clean(self, text: str) -> str:
        """Return `text` without anything that a tokeniser would take for a mark."""
        for mark in self.marks:
            text = text.replace(mark, f"{mark[:1]}\\{mark[1:]}")
        return text


CHATML = Template(
    "<|im_start|>system\n{}<|im_end|>\n",
    "<|im_start|>user\n{}<|im_end|>\n",
    "<|im_start|>assistant\n",
    "<|im_end|>",
    ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
)
PLAIN = Template("{}\n\n", "User: {}\n\n", "Assistant: ", "\n\nUser:")


def instructions(markup: Markup, tools: Sequence[ToolSpec]) -> str:
    """Return what a model must be told to speak the markup and to know its tools."""
    if not tools:
        return ""
    call = encode_call("c1", "tool_name", '{"argument": 1}', markup)
    result = encode_interrupt("c1", "its result", markup)
    lines = [
        f"Tools run beside you while you write. To call one, write {call}",
        "with a new id (c1, c2, …) for each call, and go on writing: you need not wait.",
        f"Its result comes later as {result}",
        f"Only the system writes {markup.intr}; never write it yourself. Others, such as user, may interrupt"
        " you in the same way. When you can write nothing more without a result, write"
        f" {encode_trap((), markup)} and stop there. Start independent calls at once, the one with the"
        " longest way still to go first. Do not repeat a call that runs. A call without an id"
        f" ({encode_call(None, 'tool_name', '{}', markup)}) never reports.",
    ]
    lines.append("Tools:")
    for tool in tools:
        about = " ".join(tool.description.split())
        schema = json.dumps(tool.parameters, ensure_ascii=False, separators=(",", ":"), default=dict)
        lines.append(f"- {tool.name}: {about} Arguments: {schema}")
    return "\n".join(lines)


def prompt_text(request: ChatRequest, markup: Markup, template: Template, system: str) -> str:
    """Return the text that a completing model goes on with. Raises UserError for what is no text."""
    parts: list[str] = []
    turns = _turns(request.messages, markup, system)
    for index, turn in enumerate(turns):
        if not isinstance(turn.content, str) and any(not isinstance(p, TextPart) for p in turn.content):
            raise UserError("a completing model takes text only: leave images and files out of its input")
        text = template.clean(turn.text)
        if turn.role == "assistant":
            parts += [template.assistant, text]
            if index < len(turns) - 1:
                parts.append(template.stop if template.stop.startswith("\n") else template.stop + "\n")
        else:
            form = template.system if turn.role == "system" else template.user
            parts.append(form.replace("{}", text, 1))
    if not turns or turns[-1].role != "assistant":
        parts.append(template.assistant)
    return "".join(parts)


def chat_messages(request: ChatRequest, markup: Markup, system: str, prefill: bool) -> list[Message]:
    """Return the messages of a chat API that the model answers by going on.

    Where the endpoint continues a trailing assistant message (`prefill`), the blocks stand
    in the model's own turn; else a user tells them, with the wish to go on.
    """
    if not prefill:
        told = [
            Message("user", f"{m.text}\n{GO_ON}") if m.interrupt else m
            for m in _shown(request.messages, markup)
        ]
        if told and told[-1].role == "assistant":
            told.append(Message("user", GO_ON))
        return _merged([*_told_first(told, system)])
    turns = _turns(request.messages, markup, system)
    if turns and turns[-1].role == "assistant":
        turns[-1].content = turns[-1].text.rstrip()
    return turns


def _turns(messages: Sequence[Message], markup: Markup, system: str) -> list[Message]:
    """Return the conversation in turns: all that is the model's own text in a row is one."""
    turns: list[Message] = []
    for message in _told_first(_shown(messages, markup), system):
        if message.role != "assistant" and not message.interrupt:
            turns.append(message)
            continue
        if not turns or turns[-1].role != "assistant":
            turns.append(Message("assistant", ""))
        own = turns[-1]
        if message.interrupt:
            gap = "" if not own.text or own.text.endswith("\n") else "\n"
            own.content = f"{own.text}{gap}{message.text}\n"
        else:
            own.content = own.text + message.text
    return _merged(turns)


def _shown(messages: Sequence[Message], markup: Markup) -> list[Message]:
    """Return messages in which only the session and the model have written control tokens.

    What an agent with tool calls has said and heard before is told in markup.
    """
    shown: list[Message] = []
    waits: set[str | None] = set()
    for message in messages:
        if message.role == "user":
            shown.append(_put_in(message, markup) if message.interrupt else _escaped(message, markup))
        elif message.calls:
            waits |= {call.id for call in message.calls if call.name == "wait"}
            blocks = [_written(call, markup) for call in message.calls if call.id not in waits]
            blocks += [encode_trap((), markup)] if any(call.id in waits for call in message.calls) else []
            shown.append(Message("assistant", message.text + "".join(blocks)))
        elif message.role == "tool":
            id = message.call_id or ""
            if id not in waits and message.text != placeholder(id):
                block = encode_interrupt(_name(id), message.text, markup)
                if shown and shown[-1].interrupt:
                    block = f"{shown.pop().text}\n{block}"
                shown.append(Message("user", block, interrupt=True))
        else:
            shown.append(message)
    return shown


def _escaped(message: Message, markup: Markup) -> Message:
    if isinstance(message.content, str):
        return Message("user", escape(message.content, markup))
    parts = [
        TextPart(escape(part.text, markup)) if isinstance(part, TextPart) else part
        for part in message.content
    ]
    return replace(message, content=parts)


def _put_in(message: Message, markup: Markup) -> Message:
    """Return blocks in the forms of `markup`; those in other forms but the usual ones are no blocks."""
    if message.text.startswith(markup.intr):
        return message
    if not message.text.startswith(_USUAL.intr):
        return _escaped(message, markup)
    parser = Parser(_USUAL, transcript=True)
    events = [*parser.feed(message.text), *parser.end()]
    read = [event for event in events if isinstance(event, InterruptRead)]
    blocks = "\n".join(encode_interrupt(block.source, block.value, markup) for block in read)
    return Message("user", blocks, interrupt=True)


def _written(call: ToolCall, markup: Markup) -> str:
    """Return the block of a call that was made as a tool call."""
    try:
        return encode_call(_name(call.id), call.name, call.arguments or "{}", markup)
    except LocalProtocolError:  # it was refused for what it was
        name = escape(f"{call.name} {call.arguments}", markup)
        return f"{markup.call} {_name(call.id)} {markup.head} {name} {markup.end}"


def _name(id: str) -> str:
    """Return a foreign id as one that a call in markup can have."""
    return id if id_fault(id) is None else "c_" + re.sub(r"\W", "_", id, flags=re.ASCII)[:60]


def _told_first(messages: Sequence[Message], system: str) -> list[Message]:
    """Return `messages` with one system message: what they say, and `system` after it."""
    own = [message.text for message in messages if message.role == "system"]
    text = "\n\n".join(part for part in [*own, system] if part)
    rest = [message for message in messages if message.role != "system"]
    return [Message("system", text, cache=True), *rest] if text else rest


def _merged(messages: Sequence[Message]) -> list[Message]:
    """Join texts of one role in a row, which some templates refuse."""
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else None
        if last is None or last.role != message.role or not isinstance(last.content, str):
            merged.append(message)
        elif isinstance(message.content, str):
            gap = "" if message.role == "assistant" else "\n\n"  # a text that was cut goes on
            merged[-1] = Message(message.role, f"{last.content}{gap}{message.content}")
        else:
            merged.append(message)
    return merged
