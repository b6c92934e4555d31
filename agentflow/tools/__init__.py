"""Tools: what a model may call.

```python
from agentflow.tools import tool

@tool(timeout=30, estimate="5s")
async def weather(city: str, days: int = 1) -> str:
    \"""Return the forecast.

    Args:
        city: Name of the city, in English.
        days: How many days ahead.
    \"""
    return f"rain in {city}"

assert weather.spec.parameters["required"] == ["city"]
assert weather.validate('{"city": "Oslo"}') == {"city": "Oslo", "days": 1}
```
"""

from __future__ import annotations

from agentflow.tools.options import OptionValues, Progress, ReplyMode, ToolOptions
from agentflow.tools.schema import schema_faults
from agentflow.tools.tool import Tool, ToolMaker, from_function, render, tool, tools_by_name

__all__ = [
    "OptionValues",
    "Progress",
    "ReplyMode",
    "Tool",
    "ToolMaker",
    "ToolOptions",
    "from_function",
    "render",
    "schema_faults",
    "tool",
    "tools_by_name",
]
