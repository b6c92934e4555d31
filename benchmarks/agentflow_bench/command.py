"""`agentflow bench`: a sub-command a suite, and `list` and `compare`."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from agentflow.errors import UserError
from agentflow_bench.measure import Setting, Suite
from agentflow_bench.overcooked import cli as overcooked
from agentflow_bench.robotouille import cli as robotouille
from agentflow_bench.suite_file import is_suite_file

if TYPE_CHECKING:
    from agentflow_bench.runner import Outcome

__all__ = ["SUITES", "app", "load_suite"]

SUITES = {
    "asynchow": "AsyncHow: a model plans everyday tasks; without --model, what is proved without one.",
    "asynclm": "AsyncLM: how soon tasks are done on every carrier, and what the markup stands.",
    "batch": "Experiments: killed, limited, failed and long, next to other programs that do the same.",
    "dual": "Fast loops and slow thinking: the sandbox for policies that models write.",
    "endpoints": "Endpoints: how much of a rate limit is used, how often it is hit, what faults cost.",
    "robotouille": "Robotouille: agents in a kitchen; without --agent, what is proved without a model.",
    "overcooked": "Overcooked: slow thinking beside a fast loop; without --agent, what is proved without it.",
    "plans": "Plans: what a step costs, how good a schedule is, what a crash leaves.",
    "review": "Reviews: rounds of reviewers over a table of records, without a barrier.",
    "tournament": "Tournaments: matches needed to know who is best, and no round that waits.",
    "foundation": "The foundation: start-up, agents, endpoints, the journal, AsyncHow.",
}

# The variable that names a suite's data where --data does not.
_DATA = {
    "asynchow": "AGENTFLOW_ASYNCHOW",
    "asynclm": "AGENTFLOW_ASYNCLM",
    "batch": "AGENTFLOW_PROMPTO",
    "foundation": "AGENTFLOW_ASYNCHOW",
    "robotouille": "AGENTFLOW_ROBOTOUILLE",
}

Data = Annotated[Path | None, typer.Option(metavar="PATH", help="Where data lies that is not shipped.")]
Only = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this measure. Repeatable.")]
_RESULTS = Path("benchmarks/results")

Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the report.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer repeats: rough figures.")]
BaseUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="The server of a model that is no provider's.")
]
KeyVariable = Annotated[str | None, typer.Option(metavar="NAME", help="The variable that holds its key.")]
Temperature = Annotated[str, typer.Option(metavar="T", help="0, or none for a model that takes none.")]
MaxTokens = Annotated[int | None, typer.Option(metavar="N", help="The most tokens of one answer.")]
WordingFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A template that words the questions.")
]


def load_suite(name: str) -> Suite:
    """Return the suite `name`; its module is imported here. Raises `UserError` for an unknown one."""
    if name not in SUITES:
        near = get_close_matches(name, SUITES, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"allowed: {', '.join(SUITES)}"
        raise UserError(f"no suite `{name}` ({hint})")
    suite: Suite = importlib.import_module(f"agentflow_bench.{name}").suite()
    return suite


def _suite_command(name: str) -> Callable[..., None]:
    def command(
        only: Only = None,
        data: Data = None,
        out: Out = _RESULTS,
        as_json: Json = False,
        quick: Quick = False,
    ) -> None:
        _measure(name, Setting(_found(name, data), quick), only or [], out, as_json)

    command.__doc__ = SUITES[name]
    return command


def _asynclm(
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Ask it: openai:NAME, …; `simulated` on the virtual clock."),
    ] = None,
    carrier: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="With --model: native, sync, cml_chat, cml_text, … Repeatable."),
    ] = None,
    n: Annotated[int | None, typer.Option("--n", metavar="N", help="Only the first N tasks.")] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", help="So many tasks at once.")] = 8,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask all again, also what was answered.")] = False,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    temperature: Temperature = "0",
    max_tokens: MaxTokens = None,
    only: Only = None,
    data: Data = None,
    setting: Annotated[str | None, typer.Option(help="Only this: ideal, local or chat_api.")] = None,
    tps: Annotated[int | None, typer.Option(metavar="N", help="Its speed in tokens a second.")] = None,
    make_sft: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write training data instead: JSON lines.")
    ] = None,
    samples: Annotated[int, typer.Option(metavar="N", help="So many traces of it.")] = 200,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same traces.")] = 1,
    out: Out = _RESULTS,
    as_json: Json = False,
    quick: Quick = False,
) -> None:
    from agentflow_bench.asynclm import report
    from agentflow_bench.trials.run import Keeping

    found = _found("asynclm", data)
    if make_sft is not None:
        _print(report.make_traces(make_sft, samples, seed, tps))
    elif model is not None:
        from agentflow_bench.trials.asked import AskedModel

        asked = AskedModel.of(model, base_url, api_key_env, temperature, max_tokens)
        wish = report.Wish(found, asked, carrier or [], setting, tps, n, concurrency)
        raise typer.Exit(report.ask_model(wish, Keeping(out, fresh=fresh), as_data=as_json))
    elif setting is not None or tps is not None:
        if setting is None or tps is None:
            raise UserError("--setting and --tps go together: --setting chat_api --tps 100")
        _print(report.one_setting(found, setting, tps, as_text=not as_json))
    else:
        _measure_asynclm(Setting(found, quick), only or [], out, as_json)


_asynclm.__doc__ = SUITES["asynclm"]


def _measure_asynclm(given: Setting, only: list[str], out: Path, as_json: bool) -> None:
    from agentflow_bench import report
    from agentflow_bench.asynclm import suite
    from agentflow_bench.asynclm.latency import Latencies
    from agentflow_bench.asynclm.report import chart_and_tables

    latencies = Latencies()
    if given.data is not None:
        latencies.tasks(given)  # a file that holds none is told at once
    result, outcomes = _measured(suite(latencies), given, only, as_json)
    paths = [] if only else report.write_results(out, result, outcomes)
    if paths and given.data is not None:
        paths += chart_and_tables(out, result, latencies, given)
    _end(result, paths)


def _asynchow(
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Ask it: openai:NAME, builtin:planner, scripted:FILE, oracle, …"),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="io, cot, few_shot(K), few_shot_cot(K), plag_explicit, … Repeatable."
        ),
    ] = None,
    form: Annotated[
        str, typer.Option(metavar="NAME", help="adjacency_list, adjacency_matrix, csr or edge_list.")
    ] = "adjacency_list",
    n: Annotated[
        int | None, typer.Option("--n", metavar="N", help="So many questions; default: all.")
    ] = None,
    data: Data = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch the original's data first, once.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask all again, also what was answered.")] = False,
    concurrency: Annotated[int, typer.Option(metavar="N", help="So many questions at once.")] = 32,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    temperature: Temperature = "0",
    max_tokens: MaxTokens = None,
    wording: WordingFile = None,
    only: Only = None,
    out: Out = _RESULTS,
    as_json: Json = False,
    quick: Quick = False,
) -> None:
    found = _found("asynchow", data)
    if model is not None:
        from agentflow_bench.asynchow.command import ask_model, asking_of
        from agentflow_bench.trials.asked import AskedModel
        from agentflow_bench.trials.run import Keeping

        asked = AskedModel.of(model, base_url, api_key_env, temperature, max_tokens)
        methods = dict.fromkeys(method or ["plag_bag"])
        askings = [asking_of(asked, one, form, concurrency, wording=wording) for one in methods]
        keeping = Keeping(out, fresh=fresh)
        status = ask_model(askings, found, keeping, count=n, fetched=fetch, as_data=as_json)
        raise typer.Exit(status)
    if fetch:
        from agentflow_bench.asynchow.original import fetch as fetch_data

        found = fetch_data()
    _measure("asynchow", Setting(found, quick), only or [], out, as_json)


_asynchow.__doc__ = SUITES["asynchow"]


def _robotouille(
    agent: robotouille.Agents = None,
    model: robotouille.Models = None,
    suite: robotouille.Suites = None,
    task: robotouille.TaskNames = None,
    seeds: robotouille.Seeds = None,
    tasks: robotouille.TaskFiles = None,
    n: Annotated[int | None, typer.Option("--n", metavar="N", help="Only the first N episodes.")] = None,
    prior: robotouille.Prior = None,
    mishaps: robotouille.Mishaps = False,
    concurrency: Annotated[int, typer.Option(metavar="N", help="So many episodes at once.")] = 200,
    fresh: Annotated[bool, typer.Option("--fresh", help="Play all again, also what was played.")] = False,
    traces: robotouille.Traces = False,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    temperature: Temperature = "0.7",
    max_tokens: MaxTokens = None,
    replay: robotouille.Replay = None,
    watch: robotouille.Watch = None,
    case: robotouille.CaseName = None,
    speed: robotouille.Speed = 2.0,
    data: Data = None,
    only: Only = None,
    out: Out = _RESULTS,
    as_json: Json = False,
    quick: Quick = False,
) -> None:
    found = _found("robotouille", data)
    if replay is not None:
        from agentflow_bench.robotouille.replay import replay_command

        raise typer.Exit(replay_command(replay, found))
    if watch is not None:
        from agentflow_bench.robotouille.watch import watch as show

        show(watch, case, speed)
    elif agent or model:
        from agentflow_bench.robotouille.command import Wish, play
        from agentflow_bench.trials.asked import AskedModel
        from agentflow_bench.trials.run import Keeping

        wish = Wish(
            tuple(dict.fromkeys(suite or ["asynchronous"])),
            tuple(dict.fromkeys(task or [])),
            seeds,
            tasks,
            tuple(dict.fromkeys(agent or ["react"])),
            tuple(
                AskedModel.of(name, base_url, api_key_env, temperature, max_tokens) for name in model or []
            ),
            prior,
            mishaps,
            concurrency,
            n,
        )
        raise typer.Exit(play(wish, Keeping(out, fresh=fresh, traces=traces), as_data=as_json))
    else:
        _measure("robotouille", Setting(found, quick), only or [], out, as_json)


_robotouille.__doc__ = SUITES["robotouille"]


def _overcooked(
    agent: overcooked.Agents = None,
    model: overcooked.Models = None,
    layout: overcooked.Layouts = None,
    partner: overcooked.Partners = None,
    seeds: overcooked.Seeds = 10,
    latency: overcooked.Latency = None,
    tokens_per_tick: overcooked.PerTick = None,
    every: overcooked.Every = 20,
    rules: overcooked.Rules = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Play all again, also what was played.")] = False,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    temperature: Temperature = "0",
    max_tokens: MaxTokens = None,
    watch: overcooked.Watch = None,
    case: overcooked.CaseName = None,
    speed: overcooked.Speed = 8.0,
    only: Only = None,
    out: Out = _RESULTS,
    as_json: Json = False,
    quick: Quick = False,
) -> None:
    if watch is not None:
        from agentflow_bench.overcooked.watch import watch as show

        show(watch, case, speed)
    elif agent or model:
        from agentflow_bench.overcooked.command import Wish, play
        from agentflow_bench.trials.asked import AskedModel
        from agentflow_bench.trials.run import Keeping

        models = [AskedModel.of(name, base_url, api_key_env, temperature, max_tokens) for name in model or []]
        lists = {"layouts": layout, "partners": partner}
        wish = Wish(
            tuple(agent or ["dual"]),
            models,
            seeds=seeds,
            latency=latency,
            per_tick=tokens_per_tick,
            every=every,
            rules=rules,
            **{name: tuple(dict.fromkeys(each)) for name, each in lists.items() if each},
        )
        raise typer.Exit(play(wish, Keeping(out, fresh=fresh), as_data=as_json))
    else:
        _measure("overcooked", Setting(None, quick), only or [], out, as_json)


_overcooked.__doc__ = SUITES["overcooked"]


def _measure(name: str, setting: Setting, only: list[str], out: Path, as_json: bool) -> None:
    """Run a suite's measures, print what came of them, and write the report of a whole suite."""
    from agentflow_bench import report

    result, outcomes = _measured(load_suite(name), setting, only, as_json)
    _end(result, [] if only else report.write_results(out, result, outcomes))


def _found(name: str, data: Path | None) -> Path | None:
    """Return where a suite's data lies, None when nobody says it."""
    variable = _DATA.get(name, "")
    return data or (Path(os.environ[variable]) if os.environ.get(variable) else None)


def _measured(
    suite: Suite, setting: Setting, only: list[str], as_json: bool
) -> tuple[dict[str, object], list[Outcome]]:
    """Run a suite, print what came of it, and return that."""
    from agentflow_bench import report
    from agentflow_bench.runner import run_suite

    _check_names(suite, only)
    outcomes = run_suite(suite, setting, only=only, said=_say)
    result = report.as_json(suite, outcomes, report.command_line())
    _print(json.dumps(result, indent=2, ensure_ascii=False) if as_json else report.as_table(outcomes))
    return result, outcomes


def _end(result: dict[str, object], paths: list[Path]) -> None:
    for path in paths:
        _say(f"wrote {path}")
    if not result["ok"]:
        raise SystemExit(1)


def _list() -> None:
    """List the suites and their measures."""
    for name in SUITES:
        suite = load_suite(name)
        _print(f"{name}: {suite.what}")
        for measure in suite.measures:
            _print(f"  {measure.name}: {measure.what}")


def _compare(before: Path, after: Path, as_json: Json = False) -> None:
    """Compare two results of a bench: two rows files case by case, or the figures of two JSON results."""
    from agentflow_bench.report import compare
    from agentflow_bench.trials.compare import compare_rows

    if before.suffix == after.suffix == ".jsonl":
        told = compare_rows(before, after)
        _print(json.dumps(told.as_json(), indent=2) if as_json else told.as_text())
    else:
        _print(compare(before, after, as_data=as_json))


def _check_names(suite: Suite, names: list[str]) -> None:
    known = [measure.name for measure in suite.measures]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"allowed: {', '.join(known)}"
            raise UserError(f"suite {suite.name} has no measure `{name}` ({hint})")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class _Group(TyperGroup):
    """Takes a suite file where a bench is named: `agentflow bench suites/kitchens.yaml --n 10`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put a file's bench and options in its place. Raises `UserError` for one that is no suite."""
        if args and is_suite_file(args[0]):
            from agentflow_bench.suite_file import read_suite

            options = {
                name: [option for parameter in command.params for option in parameter.opts]
                for name, command in self.commands.items()
                if name in SUITES
            }
            args = [*read_suite(Path(args[0]), options), *args[1:]]
        return super().parse_args(ctx, args)


def _make_app() -> typer.Typer:
    made = typer.Typer(
        cls=_Group,
        help="Measure agentflow against its bars.",
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=False,
    )
    own: dict[str, Callable[..., None]] = {
        "asynchow": _asynchow,
        "asynclm": _asynclm,
        "overcooked": _overcooked,
        "robotouille": _robotouille,
    }
    for name in SUITES:
        made.command(name)(own.get(name) or _suite_command(name))
    made.command("list")(_list)
    made.command("compare")(_compare)
    return made


app = _make_app()
