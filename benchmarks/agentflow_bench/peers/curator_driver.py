"""Asks by bespokelabs-curator: `curator_driver.py URL COUNT AT_ONCE RPM` (0: none); prints figures."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from pathlib import Path

from meter import peak_mb, used  # type: ignore[import-not-found]

__all__ = ["main"]

_MANY = 1_000_000


def main() -> None:
    """Ask, and print the figures."""
    url, *numbers = sys.argv[1:]
    count, at_once, rpm = map(int, numbers)
    # It counts tokens by a table that it would fetch; litellm, which it needs, brings that along.
    found = importlib.util.find_spec("litellm")
    if found is not None and found.origin is not None:
        tables = Path(found.origin).parent / "litellm_core_utils" / "tokenizers"
        os.environ["TIKTOKEN_CACHE_DIR"] = str(tables)
    from bespokelabs import curator  # type: ignore[import-not-found]

    class Asker(curator.LLM):  # type: ignore[misc]
        def prompt(self, input: dict[str, str]) -> str:
            return input["prompt"]

        def parse(self, input: dict[str, str], response: str) -> dict[str, str]:
            return {"prompt": input["prompt"], "response": response}

    asker = Asker(
        model_name="gpt-4o-mini",
        backend="openai",
        backend_params={
            "base_url": url,
            "api_key": "sk-none",
            "max_requests_per_minute": rpm or _MANY,
            "max_tokens_per_minute": _MANY * 1000,
            "max_concurrent_requests": at_once,
            "max_retries": 10,
        },
    )
    start, cpu, began = peak_mb("VmRSS"), used(), time.monotonic()
    answers = asker([{"prompt": f"p{n}"} for n in range(count)])
    rows = getattr(answers, "dataset", answers)
    right = sum(row["response"] == f"answer to {row['prompt']}" for row in rows)
    figures = {
        "cpu_s": used() - cpu,
        "whole_cpu_s": used(),
        "grown_mb": peak_mb() - start,
        "right": right,
        "wall_s": time.monotonic() - began,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
