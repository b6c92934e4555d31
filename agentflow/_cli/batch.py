"""`agentflow batch`: an experiment file asked as fast as limits allow, and what belongs to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import typer
import typer.core

from agentflow._cli.batch_options import (
    Budget,
    Concurrency,
    DataFolder,
    EndpointsFile,
    EnvFile,
    Given,
    InOrder,
    InputFile,
    JudgeFolder,
    Judges,
    JudgeTemplates,
    MaxAttempts,
    MaxQueries,
    Move,
    OnlyRephrase,
    Parallel,
    ProviderBatch,
    Rates,
    RemoveOriginal,
    RephraseFolder,
    RephraseModel,
    RephraseParser,
    RephraseTemplates,
    ResumeOrFresh,
    Scorers,
    Table,
    Timeout,
    TokensPerMinute,
)
from agentflow._cli.options import Json, NoColor, Quiet
from agentflow._cli.say import as_json, note, print_data

if TYPE_CHECKING:
    from pydantic import JsonValue

    from agentflow.batch import Endpoints, Environment, JudgeFiles, RephraseFiles


__all__ = ["batch", "check", "judge", "missing", "run", "watch"]


class _Spend(TypedDict, total=False):
    """What may be spent."""

    tokens: float
    usd: float


class _Group(typer.core.TyperGroup):
    """`batch FILE` runs a file; a sub-command's exact name wins."""

    def parse_args(self, ctx, args):  # type: ignore[no-untyped-def]
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx, formatter):  # type: ignore[no-untyped-def]
        run = self.commands["run"]
        run.format_usage(ctx, formatter)
        run.format_help_text(ctx, formatter)
        run.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


batch = typer.Typer(
    name="batch",
    cls=_Group,
    help="Ask the prompts of an experiment file, and resume where it was left.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@batch.command(hidden=True)
def run(
    given: Given = None,
    file: InputFile = None,
    data_folder: DataFolder = Path("data"),
    env_file: EnvFile = Path(".env"),
    move: Move = False,
    max_queries: MaxQueries = None,
    max_attempts: MaxAttempts = 5,
    parallel: Parallel = False,
    rates: Rates = None,
    rephrase_folder: RephraseFolder = None,
    rephrase_templates: RephraseTemplates = "template.txt",
    rephrase_model: RephraseModel = None,
    rephrase_parser: RephraseParser = None,
    remove_original: RemoveOriginal = False,
    only_rephrase: OnlyRephrase = False,
    judge_folder: JudgeFolder = None,
    judge_templates: JudgeTemplates = "template.txt",
    judge: Judges = None,
    scorer: Scorers = None,
    output_as_csv: Table = False,
    tokens_per_minute: TokensPerMinute = None,
    concurrency: Concurrency = None,
    endpoints: EndpointsFile = None,
    budget: Budget = None,
    timeout: Timeout = None,
    in_order: InOrder = False,
    provider_batch: ProviderBatch = False,
    resume: ResumeOrFresh = None,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Ask the prompts of an experiment file. The same command goes on where it was left.

    prompto's flags mean what they mean there, but that limits are learned unless -mq gives one.
    Answers go to DIR/output/NAME. Exit status: 0 all answered, 1 some failed, 2 wrong use.
    """
    from agentflow._cli.batch_session import Show, run_batches
    from agentflow.batch import BatchOptions, Chain

    path, said = _file(given, file), _rates(rates, parallel)
    first: Literal["auto", "resume", "fresh"] = "auto" if resume is None else "resume" if resume else "fresh"
    options = BatchOptions(max_queries, max_attempts, parallel, said, tokens_per_minute, concurrency)
    options = replace(options, timeout=timeout, resume=first, deferred=provider_batch, **_budget(budget))
    options = replace(options, in_order=in_order, table=output_as_csv)
    words = (rephrase_templates, rephrase_parser, remove_original, only_rephrase)
    chain = Chain(
        path, data_folder, options, move=move, environment=_environment(env_file), scorers=_names(scorer)
    )
    chain.endpoints = _endpoints(endpoints, env_file)
    chain.rephrase = _rephrase(rephrase_folder, rephrase_model, *words)
    chain.judging = _judging(judge_folder, judge, judge_templates)
    raise typer.Exit(run_batches(chain, Show(as_data, quiet, no_color)))


@batch.command()
def check(
    given: Given = None,
    file: InputFile = None,
    env_file: EnvFile = Path(".env"),
    log_file: Annotated[
        Path | None, typer.Option("-l", "--log-file", metavar="FILE", help="Also write what is wrong there.")
    ] = None,
    data_folder: DataFolder = Path("data"),
    move: Move = False,
    endpoints: EndpointsFile = None,
    scorer: Scorers = None,
    as_data: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look through an experiment and ask nothing."""
    from agentflow.batch import check_experiment
    from agentflow.batch.place import filing

    path = _file(given, file)
    found = check_experiment(
        path,
        data_folder,
        environment=_environment(env_file),
        endpoints=_endpoints(endpoints, env_file),
        scorers=_names(scorer),
        move=move,
    )
    lines = [
        f"{path}:{problem.line}: {problem.message}" if problem.line else problem.message
        for problem in found.problems
    ]
    remarks = [f"{path}:{remark.line}: note: {remark.message}" for remark in found.notes]
    if log_file is not None:
        with filing():
            log_file.parent.mkdir(parents=True, exist_ok=True)
            log_file.write_text("".join(f"{line}\n" for line in lines or ["no problems"]), encoding="utf-8")
    for line in [*lines, *remarks]:
        note(line, quiet=as_data)
    if as_data:
        print_data(
            as_json(
                {
                    "valid": not found.faulty,
                    "prompts": found.prompts,
                    "faulty": found.faulty,
                    "models": {f"{key.api}:{key.model}": lane.prompts for key, lane in found.lanes.items()},
                    "problems": [{"line": p.line, "message": p.message} for p in found.problems],
                    "notes": [{"line": p.line, "message": p.message} for p in found.notes],
                }
            )
        )
    elif not found.faulty and not quiet:
        print_data(f"{path}: ok, {found.prompts} prompts")
    elif found.faulty > len(found.problems):
        note(f"and {found.faulty - len(found.problems)} more")
    raise typer.Exit(2 if found.faulty else 0)


@batch.command()
def judge(
    input_file: Annotated[Path, typer.Option("-i", "--input-file", metavar="FILE", help="A completed file.")],
    judge_folder: Annotated[
        Path, typer.Option("-jf", "-l", "--judge-folder", metavar="DIR", help="settings.json and templates.")
    ],
    judge: Annotated[
        str, typer.Option("-j", "--judge", metavar="NAMES", help="Judges of settings.json, by commas.")
    ],
    judge_templates: JudgeTemplates = "template.txt",
    output_folder: Annotated[
        Path, typer.Option("-o", "--output-folder", metavar="DIR", help="Where judge-NAME.jsonl is written.")
    ] = Path("."),
    as_data: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the prompts for judges of a completed file."""
    from agentflow.batch import JudgeFiles

    made = JudgeFiles.read(judge_folder, _names(judge_templates), _names(judge))
    path, count = made.write(input_file, output_folder)
    if as_data:
        print_data(as_json({"output": str(path), "prompts": count}))
    else:
        print_data(str(path))
        note(f"{count} prompts for the judges; ask them: agentflow batch {path}", quiet=quiet)


@batch.command()
def missing(
    input_file: Annotated[Path, typer.Option("-i", "--input", metavar="FILE", help="The experiment.")],
    completed: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Its completed file.")],
    new: Annotated[Path, typer.Option("-n", "--new", metavar="FILE", help="Where the rest is written.")],
    key: Annotated[
        str | None, typer.Option("--id", metavar="KEY", help="Compare by this key; default: by content.")
    ] = None,
    as_data: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the prompts that have no answer yet.

    One that ended in an error has none.
    """
    from agentflow.batch import write_missing

    count = write_missing(input_file, completed, new, key)
    if as_data:
        print_data(as_json({"output": str(new), "prompts": count}))
    else:
        print_data(str(new))
        note(f"{count} prompts have no answer", quiet=quiet)


@batch.command()
def watch(
    data_folder: DataFolder = Path("data"),
    env_file: EnvFile = Path(".env"),
    max_queries: MaxQueries = None,
    max_attempts: MaxAttempts = 5,
    parallel: Parallel = False,
    rates: Rates = None,
    endpoints: EndpointsFile = None,
    once: Annotated[bool, typer.Option("--once", help="End when the input folder is empty.")] = False,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Run what comes into the input folder.

    The oldest comes first; Ctrl-C ends it.

    What an earlier watch left unfinished is gone on with first. A file that can't be run is set aside.
    """
    from agentflow._cli.batch_session import Show, run_batches
    from agentflow.batch import BatchOptions, Watch

    options = BatchOptions(
        max_queries=max_queries, max_attempts=max_attempts, parallel=parallel, rates=_rates(rates, parallel)
    )
    watching = Watch(
        data_folder,
        options,
        environment=_environment(env_file),
        endpoints=_endpoints(endpoints, env_file),
        once=once,
    )
    raise typer.Exit(run_batches(watching, Show(as_data, quiet, no_color)))


def _rephrase(
    folder: Path | None, model: str | None, templates: str, parser: str | None, remove: bool, only: bool
) -> RephraseFiles | None:
    """Return what the rephrasing flags say, None without them. Raises `UserError`."""
    from agentflow.batch import RephraseFiles
    from agentflow.errors import UserError

    if folder is None and model is None:
        return None
    if folder is None or model is None:
        raise UserError("rephrasing needs both --rephrase-folder and --rephrase-model")
    return RephraseFiles.read(folder, templates, _names(model), parser, remove, only)


def _judging(folder: Path | None, judge: str | None, templates: str) -> JudgeFiles | None:
    """Return what the judging flags say, None without them. Raises `UserError`."""
    from agentflow.batch import JudgeFiles
    from agentflow.errors import UserError

    if folder is None and judge is None:
        return None
    if folder is None or judge is None:
        raise UserError("judging needs both --judge-folder and --judge")
    return JudgeFiles.read(folder, _names(templates), _names(judge))


def _file(given: Path | None, file: Path | None) -> Path:
    from agentflow.errors import UserError

    if (given is None) == (file is None):
        raise UserError("name one experiment: agentflow batch FILE.jsonl")
    path = given or file
    assert path is not None
    return path


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _environment(file: Path) -> Environment:
    from agentflow.batch import Environment

    return Environment(file)


def _endpoints(file: Path | None, env_file: Path) -> Endpoints | None:
    if file is None:
        return None
    from agentflow.workflow import load_endpoints

    return load_endpoints(file, _environment(env_file))


def _rates(file: Path | None, parallel: bool) -> dict[str, JsonValue]:
    """Return the limits of --max-queries-json. Raises `UserError`."""
    import json

    from agentflow.errors import UserError

    if file is None:
        return {}
    try:
        rates = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"--max-queries-json {file}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"--max-queries-json {file}: no JSON: {error}") from None
    if not isinstance(rates, dict):
        raise UserError(f"--max-queries-json {file}: an object of queries a minute is wanted")
    if not parallel:
        note("--max-queries-json holds with --parallel alone; it is not used")
        return {}
    return rates


def _budget(text: str | None) -> _Spend:
    """Return what --budget allows. Raises `UserError`."""
    from agentflow.errors import UserError

    if text is None:
        return {}
    plain = text.strip().lower().replace("_", "").removeprefix("$")
    for ending, name in (("tokens", "tokens"), ("tok", "tokens"), ("usd", "usd"), ("", "usd")):
        if plain.endswith(ending):
            try:
                value = float(plain.removesuffix(ending).strip())
            except ValueError:
                break
            if 0 < value < float("inf"):
                return {"tokens": value} if name == "tokens" else {"usd": value}
            break
    raise UserError(f"--budget {text!r}: write 2.50 for USD, or 100000tokens")
