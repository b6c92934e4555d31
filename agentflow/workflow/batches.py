"""Batches in workflow files: the `batch:` section, and endpoints for the batch command."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import cast

from agentflow.batch import Batch, BatchOptions, Endpoints, Environment
from agentflow.batch.apis import Options, endpoint_of, provider_of
from agentflow.batch.place import Beside, Folder, Site
from agentflow.endpoints import Endpoint
from agentflow.errors import UserError
from agentflow.workflow.build import build_endpoints, endpoint_options
from agentflow.workflow.check import WorkflowError, folder_of
from agentflow.workflow.templates import render
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow import BatchUse, EndpointSection, Parsed, Workflow, parse_file

__all__ = ["build_batch", "load_endpoints"]

_OPTIONS = (
    *("max_queries", "max_attempts", "parallel", "rates", "tokens_per_minute", "concurrency", "timeout"),
    *("in_order", "resume"),
)


def build_batch(
    parsed: Parsed, batch: BatchUse, endpoints: Mapping[str, Endpoint], inputs: Mapping[str, Json]
) -> Batch:
    """Return the batch of a workflow file, its file's name rendered with `inputs`. Raises `UserError`."""
    folder = folder_of(parsed)
    name = render(batch.file, {"inputs": inputs}, "batch.file")
    if not isinstance(name, str):
        raise UserError("batch.file: a file's name is text")
    file = folder / name
    if batch.data_folder is not None:
        site: Site = Folder(folder / batch.data_folder, file)
    else:
        site = Beside(file, folder / (batch.output or f"{file.stem}-completed.jsonl"))
    options = BatchOptions(table=batch.csv, **{key: getattr(batch, key) for key in _OPTIONS})
    assert parsed.workflow is not None
    return Batch(
        site,
        options,
        endpoint=None if batch.endpoint is None else endpoints[batch.endpoint],
        endpoints=None if batch.endpoint is not None else _chosen(parsed.workflow, parsed, Environment()),
        scorers=batch.scorers,
    )


def load_endpoints(file: str | PathLike[str], environment: Environment) -> Endpoints:
    """Return the endpoints of a file with an `endpoints:` section, as a batch chooses among them.

    An endpoint serves the prompts whose api and model its `model` names, `openai:*` all models of an
    api, and one that is called as a group is, that group. Raises `WorkflowError`.
    """
    path = Path(file)
    main = f"agentflow: 1\ninclude: [{str(path.name)!r}]\nbatch: {{file: x.jsonl}}\n"
    parsed = parse_file(main, str(path.parent / "--endpoints"), read=lambda _: path.read_bytes())
    if parsed.workflow is None:
        raise WorkflowError(parsed.problems)
    return _chosen(parsed.workflow, parsed, environment)


def _chosen(workflow: Workflow, parsed: Parsed, environment: Environment) -> Endpoints:
    built = build_endpoints(workflow, parsed, None)

    def choose(api: str, model: str, group: str | None, told: Options) -> Endpoint | None:
        sections = workflow.endpoints
        provider = provider_of(api)
        if group is not None and group in sections:
            name: str | None = group
        else:
            wanted = (f"{provider}:{model}", f"{provider}:*")
            name = next((n for w in wanted for n, section in sections.items() if section.model == w), None)
        if name is None:
            return None
        return _endpoint(sections[name], built[name], api, model, told, environment)

    return choose


def _endpoint(
    section: EndpointSection, built: Endpoint, api: str, model: str, told: Options, environment: Environment
) -> Endpoint:
    """Return a section's endpoint for a batch: what the section says wins over the batch's own options."""
    own: Options = {"fallback": built.fallback, "pool": built.pool}
    if built.allowance is not None:
        own["allowance"] = built.allowance  # of all models that the section serves
    options = cast("Options", {**told, **endpoint_options(section), **own})
    if section.base_url is None and section.api_key_env is None:
        return endpoint_of(api, model, environment, **options)
    named = model if section.model.endswith(":*") else section.model.partition(":")[2] or section.model
    provider = section.model.partition(":")[0] if ":" in section.model else None
    return Endpoint(
        f"{provider}:{named}" if provider else named,
        base_url=section.base_url,
        api_key_env=section.api_key_env,
        stream=False,
        **options,
    )
