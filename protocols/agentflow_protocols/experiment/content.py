"""A record's prompt as messages: text, a list of texts, or a list of messages in the api's own words.

Reading and checking are one: what can't be read is a problem, and `Prompt.problems` has them all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from agentflow_protocols.chat.messages import FilePart, ImagePart, Json, Message, Part, TextPart
from agentflow_protocols.experiment.apis import Api
from agentflow_protocols.experiment.media import Media, MediaKind, kind_by_name, media_mark
from agentflow_protocols.experiment.problem import kind_of, nearest, shown
from agentflow_protocols.experiment.record import without_nan

__all__ = ["Prompt", "read_prompt"]

_FILES = "https://generativelanguage.googleapis.com/v1beta/files/"
_ADDRESSES = ("https://", "http://", "data:")
_KINDS: Mapping[str, MediaKind] = {"audio": "audio", "file": "file", "image": "image", "video": "video"}


@dataclass(slots=True)
class Prompt:
    """What was read: the messages that each request adds, and the files they show.

    `as_list` where the prompt is a list of texts, asked one after another.
    """

    turns: list[list[Message]] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)
    as_list: bool = False
    problems: list[str] = field(default_factory=list)

    def mark(self, media: Media) -> str:
        """Add a file, and return its mark."""
        self.media.append(media)
        return media_mark(len(self.media) - 1)

    def bad(self, path: str, problem: str) -> None:
        """Note what is wrong at `path`."""
        self.problems.append(f"{path} {problem}")


def read_prompt(value: Json, name: str, api: Api) -> Prompt:
    """Return the prompt `value` of a record for the api called `name`. Never raises."""
    prompt = Prompt()
    if name == "test":
        text = value if isinstance(value, str) else json.dumps(without_nan(value))
        prompt.turns.append([Message("user", text)])
    elif isinstance(value, str):
        prompt.turns.append([Message("user", value)])
    elif not isinstance(value, list | tuple):
        prompt.bad("`prompt`", f"is {kind_of(value)}; {name} takes {_allowed(api)}")
    elif not value:
        prompt.bad("`prompt`", f"is an empty list; {name} takes {_allowed(api)}")
    elif api.texts and all(isinstance(item, str) for item in value):
        prompt.turns = [[Message("user", str(item))] for item in value]
        prompt.as_list = True
    elif api.roles and all(isinstance(item, Mapping) for item in value):
        messages = [
            _message(cast("Mapping[str, Json]", item), place, name, api, prompt)
            for place, item in enumerate(value)
        ]
        prompt.turns.append([message for message in messages if message is not None])
    else:
        kinds = " and ".join(dict.fromkeys(_of_items(item) for item in value))
        prompt.bad("`prompt`", f"is a list of {kinds}; {name} takes {_allowed(api)}")
    return prompt


def _allowed(api: Api) -> str:
    kinds = ["text"]
    if api.texts:
        kinds.append("a list of texts")
    if api.roles:
        kinds.append(f"a list of messages with `role` and `{api.field}`")
    return ", or ".join(kinds) if len(kinds) < 3 else f"{kinds[0]}, {kinds[1]}, or {kinds[2]}"


def _of_items(item: object) -> str:
    kind = kind_of(item)
    return {"an object": "objects", "a list": "lists", "a number": "numbers"}.get(
        kind, "texts" if isinstance(item, str) else kind
    )


def _message(item: Mapping[str, Json], place: int, name: str, api: Api, prompt: Prompt) -> Message | None:
    path = f"`prompt[{place}]`"
    before = len(prompt.problems)
    for key in ("role", api.field):
        if key not in item:
            prompt.bad(path, f"has no `{key}`")
    for key in item:
        if key not in ("role", api.field):
            prompt.bad(path, f"has a key {shown(key)}; {name} takes only `role` and `{api.field}`")
    role = item.get("role")
    if "role" in item and role not in api.roles:
        prompt.bad(
            path,
            f"has the role {shown(role)}{nearest(role, api.roles)}; {name} takes {', '.join(api.roles)}",
        )
    elif role == "system" and api.system_first and place:
        prompt.bad(path, f"has the role `system`; {name} takes it only in the first message")
    if len(prompt.problems) > before:
        return None
    content = _content(item[api.field], path, name, api, prompt)
    ours: Mapping[str, Literal["system", "user", "assistant"]] = {"system": "system", "user": "user"}
    return Message(ours.get(str(role), "assistant"), content)


def _content(value: Json, path: str, name: str, api: Api, prompt: Prompt) -> str | list[Part]:
    if isinstance(value, str):
        return value
    items: Sequence[Json] = [value] if isinstance(value, Mapping) else []
    if isinstance(value, list | tuple):
        items = value
    elif not items:
        prompt.bad(
            path, f"has {kind_of(value)} as `{api.field}`; text, an object or a list of them must stand there"
        )
    parts: list[Part] = []
    for place, item in enumerate(items):
        at = f"{path[:-1]}.{api.field}[{place}]`"
        if isinstance(item, str):
            parts.append(TextPart(item))
        elif not isinstance(item, Mapping):
            prompt.bad(at, f"is {kind_of(item)}; text or an object with a `type` must stand there")
        elif (part := _part(item, at, name, prompt)) is not None:
            parts.append(part)
    return parts


def _part(item: Mapping[str, Json], path: str, name: str, prompt: Prompt) -> Part | None:
    kind = item.get("type")
    if name in ("gemini", "vertexai"):
        kinds: tuple[str, ...] = ("text", "image", "video", "audio", "file", "uri")
        read = _gemini_part
    elif name == "anthropic":
        kinds, read = ("text", "image"), _anthropic_part
    else:
        kinds, read = ("text", "image_url"), _openai_part
    if kind not in kinds:
        found = "no `type`" if kind is None else f"the type {shown(kind)}{nearest(kind, kinds)}"
        prompt.bad(path, f"has {found}; {name} takes {', '.join(kinds)}")
        return None
    if kind == "text":
        text = item.get("text", item.get("media") if read is _gemini_part else None)
        if not isinstance(text, str):
            prompt.bad(path, f"has no {'`media`' if read is _gemini_part else '`text`'} that is text")
            return None
        return TextPart(text)
    return read(item, path, prompt)


def _openai_part(item: Mapping[str, Json], path: str, prompt: Prompt) -> Part | None:
    image = item.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    if not isinstance(url, str) or not url:
        prompt.bad(path, "has no `image_url`: a path, an address, or an object with `url`")
        return None
    detail = image.get("detail") if isinstance(image, Mapping) else None
    if not url.startswith(_ADDRESSES):
        url = prompt.mark(Media("image", url))
    return ImagePart(url, detail if isinstance(detail, str) and detail else "auto")


def _anthropic_part(item: Mapping[str, Json], path: str, prompt: Prompt) -> Part | None:
    source = item.get("source")
    if not isinstance(source, Mapping):
        prompt.bad(path, "has no `source`: an object with `media` and `media_type`")
        return None
    file, kind = source.get("media"), source.get("media_type")
    for key, value in (("media", file), ("media_type", kind)):
        if not isinstance(value, str) or not value:
            prompt.bad(path, f"has no `source.{key}` that is text")
    if not isinstance(file, str) or not isinstance(kind, str):
        return None
    return ImagePart(file if file.startswith(_ADDRESSES) else prompt.mark(Media("image", file, kind)))


def _gemini_part(item: Mapping[str, Json], path: str, prompt: Prompt) -> Part | None:
    kind, file, told = str(item["type"]), item.get("media"), item.get("mime_type")
    uploaded = item.get("uploaded_filename")
    if not isinstance(file, str) or not file:
        prompt.bad(path, "has no `media`: the path of a file, or an address")
        return None
    media_type = told if isinstance(told, str) and told else kind_by_name(file)
    address = file if "://" in file else None
    if isinstance(uploaded, str) and uploaded:
        address = _file_address(uploaded)
    elif kind in ("file", "uri") and address is None:
        address = _file_address(file)
    if media_type is None and kind in ("audio", "video"):
        prompt.bad(path, "has no `mime_type`, and the ending of `media` tells none")
        return None
    if address is not None:
        return FilePart(file, "", media_type or "application/octet-stream", address)
    media = Media(_KINDS[kind], file, media_type)
    if kind == "image":
        return ImagePart(prompt.mark(media))
    return FilePart(file, prompt.mark(media), media_type or "application/octet-stream")


def _file_address(name: str) -> str:
    """Return the address of a file that was uploaded under `name`."""
    return name if "://" in name else _FILES + name.removeprefix("files/")
