"""Examples in the documentation and in docstrings are tests: fenced `python` blocks are run.

The blocks of one document share a namespace and an empty working folder. Pytest runs
them all beside the other tests; `<!--- skip: next -->` above a block leaves it out.
"""

from __future__ import annotations

import ast
import asyncio
import os
import shutil
import tempfile
from collections.abc import Mapping

from sybil import Example, Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import CodeBlockParser, SkipParser


class AsyncPython(CodeBlockParser):
    """Run a block; one that awaits at its top level gets an event loop of its own."""

    language = "python"

    def evaluate(self, example: Example) -> None:
        """Run the example, with its own line numbers in a traceback."""
        source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
        code = compile(source, example.path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        waits = eval(code, example.namespace)
        if waits is not None:
            asyncio.run(waits)


def _enter_folder(namespace: dict[str, object]) -> None:
    namespace.update(_before=os.getcwd(), _folder=tempfile.mkdtemp(prefix="agentflow-docs-"))
    namespace["__name__"] = "__example__"
    os.chdir(str(namespace["_folder"]))


def _leave_folder(namespace: Mapping[str, object]) -> None:
    os.chdir(str(namespace["_before"]))
    shutil.rmtree(str(namespace["_folder"]), ignore_errors=True)


pytest_collect_file = Sybil(
    parsers=[AsyncPython(), SkipParser()],
    patterns=["*.md", "agentflow/**/*.py", "protocols/**/*.py", "benchmarks/agentflow_bench/**/*.py"],
    document_types={".py": PythonDocStringDocument},
    setup=_enter_folder,
    teardown=_leave_folder,
).pytest()
