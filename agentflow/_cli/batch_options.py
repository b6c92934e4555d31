"""The options of `agentflow batch`: prompto's flags, and more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = [
    "Budget",
    "Concurrency",
    "DataFolder",
    "EndpointsFile",
    "EnvFile",
    "Given",
    "InOrder",
    "InputFile",
    "JudgeFolder",
    "JudgeTemplates",
    "Judges",
    "MaxAttempts",
    "MaxQueries",
    "Move",
    "OnlyRephrase",
    "Parallel",
    "ProviderBatch",
    "Rates",
    "RemoveOriginal",
    "RephraseFolder",
    "RephraseModel",
    "RephraseParser",
    "RephraseTemplates",
    "ResumeOrFresh",
    "Scorers",
    "Table",
    "Timeout",
    "TokensPerMinute",
]

DataFolder: TypeAlias = Annotated[
    Path, typer.Option("-d", "--data-folder", metavar="DIR", help="The folder with input, output and media.")
]
EnvFile: TypeAlias = Annotated[
    Path, typer.Option("-e", "--env-file", metavar="FILE", help="Variables that the environment lacks.")
]
MaxQueries: TypeAlias = Annotated[
    float | None,
    typer.Option("-mq", "--max-queries", metavar="N", help="Requests a minute; default: learn the limits."),
]
MaxAttempts: TypeAlias = Annotated[
    int, typer.Option("-ma", "--max-attempts", metavar="N", help="How often a request is sent at most.")
]
Parallel: TypeAlias = Annotated[
    bool, typer.Option("-p", "--parallel", help="A queue and a limit for each group or api.")
]
Rates: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "-mqj", "--max-queries-json", metavar="FILE", help="Requests a minute by group or api, and model."
    ),
]
EndpointsFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--endpoints",
        metavar="FILE",
        help="Endpoints of a workflow file: limits, prices, fallbacks, budgets.",
    ),
]
JudgeFolder: TypeAlias = Annotated[
    Path | None,
    typer.Option("-jf", "-l", "--judge-folder", metavar="DIR", help="settings.json and templates."),
]
JudgeTemplates: TypeAlias = Annotated[
    str,
    typer.Option(
        "-jt", "-t", "--judge-templates", "--templates", metavar="NAMES", help="Template files, by commas."
    ),
]
Judges: TypeAlias = Annotated[
    str | None, typer.Option("-j", "--judge", metavar="NAMES", help="Judges of settings.json, by commas.")
]
InputFile: TypeAlias = Annotated[
    Path | None, typer.Option("-f", "--file", metavar="FILE", help="The experiment, as prompto names it.")
]
Given: TypeAlias = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="An experiment: .jsonl or .csv.", show_default=False)
]
Move: TypeAlias = Annotated[
    bool, typer.Option("-m", "--move-to-input", help="Move the file into the data folder; default: copy.")
]
RephraseFolder: TypeAlias = Annotated[
    Path | None, typer.Option("-rf", "--rephrase-folder", metavar="DIR", help="settings.json and templates.")
]
RephraseTemplates: TypeAlias = Annotated[
    str, typer.Option("-rt", "--rephrase-templates", metavar="FILE", help="A file with a template a line.")
]
RephraseModel: TypeAlias = Annotated[
    str | None, typer.Option("-r", "--rephrase-model", metavar="NAMES", help="Models of settings.json.")
]
RephraseParser: TypeAlias = Annotated[
    str | None, typer.Option("-rp", "--rephrase-parser", metavar="NAME", help="How an answer is split.")
]
RemoveOriginal: TypeAlias = Annotated[
    bool, typer.Option("-ro", "--remove-original", help="Ask the rephrased prompts alone.")
]
OnlyRephrase: TypeAlias = Annotated[
    bool, typer.Option("-or", "--only-rephrase", help="Write the rephrased prompts, and ask none.")
]
Scorers: TypeAlias = Annotated[
    str | None, typer.Option("-s", "--scorer", metavar="NAMES", help="match, includes; by commas.")
]
Table: TypeAlias = Annotated[bool, typer.Option("--output-as-csv", help="Also write the output as CSV.")]
TokensPerMinute: TypeAlias = Annotated[
    float | None, typer.Option("--tokens-per-minute", metavar="N", help="Tokens a minute, for each model.")
]
Concurrency: TypeAlias = Annotated[
    int | None,
    typer.Option("--concurrency", metavar="N", help="Requests in flight at once, for each model."),
]
Budget: TypeAlias = Annotated[
    str | None,
    typer.Option("--budget", metavar="AMOUNT", help="What may be spent: 2.50 (USD) or 100000tokens."),
]
Timeout: TypeAlias = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="For one answer; default: learned."),
]
InOrder: TypeAlias = Annotated[
    bool, typer.Option("--in-order", help="Also write the output in the order of the input.")
]
ProviderBatch: TypeAlias = Annotated[
    bool, typer.Option("--provider-batch", help="By the provider's batch API: cheaper, within a day.")
]
ResumeOrFresh: TypeAlias = Annotated[
    bool | None,
    typer.Option("--resume/--fresh", help="Go on though the input has changed, or begin anew."),
]
