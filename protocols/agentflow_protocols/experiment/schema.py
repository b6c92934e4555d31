"""The JSON Schema of an experiment's line, made from the table of apis."""

from __future__ import annotations

from pydantic import JsonValue

from agentflow_protocols.experiment.apis import APIS, Api, api_of
from agentflow_protocols.experiment.check import SAFETY_FILTERS

__all__ = ["record_schema"]

_TEXT: dict[str, JsonValue] = {"type": "string"}
_SAID: dict[str, tuple[str, JsonValue]] = {
    "api": ("Whose model is asked.", {"enum": list(APIS)}),
    "expected_response": ("What scorers compare the answer with.", True),
    "group": ("The queue, where prompts are asked in parallel.", {"type": ["string", "null"]}),
    "id": ("Any value; it comes back in the output.", True),
    "model_name": ("The model, as the api names it.", {"type": "string", "minLength": 1}),
    "multimedia": ("Checked and not sent: media stand in the messages.", {"type": ["object", "array"]}),
    "parameters": ("Go to the api as they are, by its own names.", {"type": ["object", "null"]}),
}


def record_schema() -> dict[str, JsonValue]:
    """Return the schema of one line: an object, of which other keys are carried through."""
    properties: dict[str, JsonValue] = {
        name: {"description": words, **(rule if isinstance(rule, dict) else {})}
        for name, (words, rule) in _SAID.items()
    }
    properties["prompt"] = {"description": "Text, texts that are asked one after another, or messages."}
    return {
        "title": "agentflow experiment, one line",
        "type": "object",
        "properties": properties,
        "required": ["prompt", "api"],
        "allOf": [
            {"if": {"properties": {"api": {"const": name}}, "required": ["api"]}, "then": _rules(name)}
            for name in APIS
        ],
    }


def _rules(name: str) -> dict[str, JsonValue]:
    """Return what holds of the prompts of one api."""
    api = api_of(name)
    properties: dict[str, JsonValue] = {} if name == "test" else {"prompt": {"anyOf": _prompts(api)}}
    if len(api.modes) > 1:
        properties["mode"] = {"enum": [*api.modes, None]}
    if api.safety:
        properties["safety_filter"] = {"enum": [*SAFETY_FILTERS, None]}
    rules: dict[str, JsonValue] = {"properties": properties}
    if name != "test":
        rules["required"] = ["model_name"]
    return rules


def _prompts(api: Api) -> list[JsonValue]:
    kinds: list[JsonValue] = [_TEXT]
    if api.texts:
        kinds.append({"type": "array", "minItems": 1, "items": _TEXT})
    if api.roles:
        message: JsonValue = {
            "type": "object",
            "properties": {
                "role": {"enum": list(api.roles)},
                api.field: {"type": ["string", "object", "array"]},
            },
            "required": ["role", api.field],
            "additionalProperties": False,
        }
        kinds.append({"type": "array", "minItems": 1, "items": message})
    return kinds
