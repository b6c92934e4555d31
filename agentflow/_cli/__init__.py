"""The command line. `main` is the console script; `run_command` the same as a function."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main", "run_command"]


def main() -> None:
    """Run the command line's command and exit with its status."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(args: Sequence[str]) -> int:
    """Run one command and return its exit status: 0 ok, 1 failed, 2 wrong use, 130 interrupted.

    Every error becomes one line on stderr; `AGENTFLOW_DEBUG=1` lets it through.
    """
    import typer.main

    from agentflow._cli.app import make_app

    command = typer.main.get_command(make_app())
    try:
        status = command.main(args=list(args), prog_name="agentflow", standalone_mode=False)
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        if os.environ.get("AGENTFLOW_DEBUG"):
            raise
        return _fail(error, args)
    return status if isinstance(status, int) else 0


def _fail(error: Exception, args: Sequence[str]) -> int:
    """Print what went wrong and return the exit status for it."""
    from agentflow._cli.say import note, print_error
    from agentflow.errors import AgentflowError, UserError

    if isinstance(error, BrokenPipeError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        return 1
    if type(error).__name__ == "Abort":
        return 130
    usage = getattr(error, "format_message", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        note(str(usage() if usage else ""))
        return 2
    text = str(usage() if usage is not None else error) or type(error).__name__
    wrong_use = isinstance(error, UserError) or usage is not None
    if not wrong_use and "--json" in args and args[0] == "run":
        from agentflow._cli.session import failure

        _print_json(failure(error))
    if wrong_use and "--json" in args:
        _print_json({"status": "invalid", "errors": _errors(error, text)})
    for problem in getattr(error, "problems", ()):
        note(str(problem))
    if hasattr(error, "problems"):
        return 2
    if not wrong_use and not isinstance(error, AgentflowError):
        text = f"{type(error).__name__}: {text} (AGENTFLOW_DEBUG=1 shows where)"
    print_error(text)
    return 2 if wrong_use else 1


def _print_json(value: object) -> None:
    from agentflow._cli.say import as_json, print_data

    print_data(as_json(value))


def _errors(error: Exception, text: str) -> list[dict[str, object]]:
    problems = getattr(error, "problems", None)
    if problems is None:
        return [{"file": None, "line": None, "column": None, "message": " ".join(text.split())}]
    return [{"file": p.file, "line": p.line, "column": p.column, "message": p.message} for p in problems]
