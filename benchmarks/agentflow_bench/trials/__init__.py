"""Trials: many cases tried by a model or an agent, kept as they end, and told with how sure they are.

```python
import asyncio

from agentflow import Context, Runtime
from agentflow_bench.trials import Case, Score, Trials, summary, try_all

async def add(context: Context[object], task: tuple[int, int]) -> Score:
    answer = 0 if task == (2, 2) else sum(task)      # an agent or a model answers here
    return Score(right=answer == sum(task), figures={"digits": len(str(answer))})

cases = [Case(f"{a}+{b}", (a, b), {"first": a}) for a in range(3) for b in range(3)]
trials = Trials("sums", {"agent": "carefree"}, cases, add)

async def main() -> dict[str, object]:
    async with Runtime() as runtime:
        return summary(trials, await try_all(trials, runtime))

told = asyncio.run(main())
assert (told["n"], told["right"]) == (9, 8)
```
"""

from __future__ import annotations

from agentflow_bench.trials.row import Row
from agentflow_bench.trials.run import run_trials, try_all
from agentflow_bench.trials.summary import summary
from agentflow_bench.trials.trial import Case, Published, Score, Trials

__all__ = ["Case", "Published", "Row", "Score", "Trials", "run_trials", "summary", "try_all"]
