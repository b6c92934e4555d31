"""Tools: what a model may call.

Example:
    from agentflow import tool

    @tool(timeout=30, estimate="5s")
    async def weather(city: str, days: int = 1) -> str:
        \"\"\"Return the forecast.

        Args:
            city: Name of the city, in English.
            days: How many days ahead.
        \"\"\"
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
