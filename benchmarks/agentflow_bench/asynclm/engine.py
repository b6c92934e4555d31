"""What an interrupt costs a real model in this process, counted in evaluated tokens and in time."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence

from agentflow.local import store
from agentflow.local.engine import EngineModel
from agentflow.runtime.resources import Resources
from agentflow_bench.measure import Bar, Figure, Measure, Setting, Skipped
from agentflow_protocols.chat import ChatRequest, Settings

__all__ = ["ENGINE"]

_NAME = "smollm2-135m"
_BLOCK = "\n[INTR] user [HEAD] Only one pot, please. [END]\n"


async def _measure(setting: Setting) -> Sequence[Figure]:
    if importlib.util.find_spec("ik_llama_cpp") is None:
        raise Skipped("ik-llama-cpp-python is not installed: pip install 'agentflow-async[inflight]'")
    if _NAME not in {model.name for model in store.installed()}:
        raise Skipped(f"the model is not here: agentflow models pull {_NAME}")
    from agentflow.local.llama import LlamaEngine

    words = 100 if setting.quick else 700
    prompt = "<|im_start|>user\n" + "Tell me more of the soup, please. " * (words // 7) + "<|im_end|>\n"
    prompt += "<|im_start|>assistant\n"
    engine = LlamaEngine(store.path_of(_NAME), context=4096, sequences=1)
    other = LlamaEngine(store.path_of(_NAME), context=4096, sequences=1)
    resources = Resources()
    try:
        model, anew = EngineModel(engine), EngineModel(other)
        written = await _read(model, prompt, 12, resources)
        before = engine.evaluated
        went_on = prompt + written + _BLOCK
        began = time.perf_counter()
        await _read(model, went_on, 1, resources)
        seconds = time.perf_counter() - began
        evaluated = engine.evaluated - before
        block = len(engine.tokenize(_BLOCK, False))
        await _read(anew, "warm", 1, resources)
        fresh = other.evaluated
        began = time.perf_counter()
        await _read(anew, went_on, 1, resources)
        whole = time.perf_counter() - began
        fresh = other.evaluated - fresh
    finally:
        await resources.aclose()
    return [
        Figure("tokens of the context", fresh),
        Figure("tokens of the block", block),
        Figure(
            "evaluated beyond the block", evaluated - block, "tokens", Bar("<=", 1), "the last one before it"
        ),
        Figure("put in / evaluated anew", seconds / whole, "x", Bar("<=", 0.2)),
        Figure("put in, to the next token", seconds * 1000, "ms"),
        Figure("evaluated anew", whole * 1000, "ms"),
    ]


async def _read(model: EngineModel, prompt: str, tokens: int, resources: Resources) -> str:
    request = ChatRequest([], prompt=prompt, settings=Settings(temperature=0, max_tokens=tokens))
    stream = model.open(request, resources)
    text = ""
    async for delta in stream:
        text += getattr(delta, "text", "")
    await stream.aclose()
    return text


ENGINE = Measure("engine", "An interrupt put into a real model's text, in this process.", _measure)
