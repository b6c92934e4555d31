"""Tools on a local model whose chat template shows them.

SmolLM2's own template does not, so a copy of it is given one that does; three calls
in the conversation are enough for so small a model to make the fourth.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentflow import Settings, tool
from agentflow.local import LocalModel, store
from agentflow.runtime.resources import Resources
from agentflow.testing import assert_nothing_left
from agentflow_protocols.chat import ChatRequest, Message, ToolCall

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or not store.installed(),
    reason="needs pip install 'agentflow-async[local]' and agentflow models pull smollm2-135m",
)

TEMPLATE = r"""
{%- macro turn(role, text) %}{{- '<|im_start|>' + role + '\n' + text + '<|im_end|>\n' }}{%- endmacro %}
{%- if tools %}{{- '<|im_start|>system\nYou may call functions: <tools>' }}
{%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\n</tools>\nFor each call, return a json object within <tool_call></tool_call>:\n<tool_call>\n' }}
{{- '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n' }}{%- endif %}
{%- for message in messages %}{%- if message.role == 'assistant' and message.tool_calls %}
{{- '<|im_start|>assistant' }}{%- if message.content %}{{- '\n' + message.content }}{%- endif %}
{%- for call in message.tool_calls %}
{{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}{{- '}\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\n' }}
{%- elif message.role == 'tool' %}
{{- turn('user', '<tool_response>\n' + message.content + '\n</tool_response>') }}
{%- else %}{{- turn(message.role, message.content) }}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
""".strip()


@tool
async def boil(pot: str, litres: int) -> str:
    """Boil water in a pot."""
    return f"{pot} boils"


@pytest.fixture
def model_with_tools(tmp_path: Path) -> Iterator[Path]:
    """SmolLM2 with another chat template; the header grows by whole blocks of its alignment, 32 bytes."""
    data = store.installed()[0].path.read_bytes()
    key = b"tokenizer.chat_template"
    value = data.index(struct.pack("<Q", len(key)) + key) + 8 + len(key) + 4
    (length,) = struct.unpack_from("<Q", data, value)
    template = TEMPLATE.encode()
    template += b"{#%s#}" % (b" " * ((length - len(template) - 4) % 32))
    path = tmp_path / "tools.gguf"
    with path.open("wb") as file:
        file.write(data[:value] + struct.pack("<Q", len(template)) + template)
        file.write(memoryview(data)[value + 8 + length :])
    yield path
    path.unlink()


async def test_a_model_that_is_shown_its_tools_calls_them(model_with_tools: Path) -> None:
    messages: list[Message] = []
    for pot, litres in (("a", 1), ("b", 2), ("c", 3)):
        call = ToolCall(f"call-{pot}", "boil", f'{{"pot": "{pot}", "litres": {litres}}}')
        messages += [
            Message("user", f"Boil {litres} litres in pot {pot}."),
            Message("assistant", "", calls=[call]),
            Message("tool", f"{pot} boils", call_id=call.id),
            Message("assistant", "Done."),
        ]
    messages.append(Message("user", "Boil 5 litres in pot d."))
    request = ChatRequest(messages, tools=[boil.spec], settings=Settings(temperature=0, max_tokens=60))
    resources = Resources()
    async with assert_nothing_left():
        stream = LocalModel(str(model_with_tools), slots=1, context=2048).open(request, resources)
        async for _ in stream:
            pass
        await stream.aclose()
        await resources.aclose()
    (call,) = stream.reply.message.calls
    assert (call.name, call.arguments) == ("boil", '{"pot": "d", "litres": 5}')
