"""Media of a prompt: files that the caller loads, and their data URLs."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Literal

from agentflow_protocols.chat.messages import FilePart, ImagePart, Message, Part
from agentflow_protocols.experiment.problem import ExperimentError

__all__ = ["Media", "MediaKind", "data_url", "kind_by_name", "media_mark", "with_media"]

MediaKind = Literal["audio", "file", "image", "video"]

_UNKNOWN = "application/octet-stream"
_MARK = re.compile(r"media:(\d+)", re.ASCII)
_DATA = re.compile(r"data:([^;,]*)(?:;[^;,]*)*;base64,(.*)", re.DOTALL)
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3\x02", "audio/mpeg"),
    (b"ID3\x03", "audio/mpeg"),
    (b"ID3\x04", "audio/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"avif": "image/avif",
    b"M4A ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
_BY_NAME = {
    "aac": "audio/aac", "aiff": "audio/aiff", "avi": "video/x-msvideo", "avif": "image/avif",
    "bmp": "image/bmp", "css": "text/css", "csv": "text/csv", "flac": "audio/flac",
    "flv": "video/x-flv", "gif": "image/gif", "heic": "image/heic", "heif": "image/heif",
    "htm": "text/html", "html": "text/html", "jpeg": "image/jpeg", "jpg": "image/jpeg",
    "js": "text/javascript", "json": "application/json", "m4a": "audio/mp4", "md": "text/markdown",
    "mov": "video/quicktime", "mp3": "audio/mpeg", "mp4": "video/mp4", "mpeg": "video/mpeg",
    "mpg": "video/mpeg", "ogg": "audio/ogg", "pdf": "application/pdf", "png": "image/png",
    "py": "text/x-python", "rtf": "text/rtf", "tif": "image/tiff", "tiff": "image/tiff",
    "txt": "text/plain", "wav": "audio/wav", "webm": "video/webm", "webp": "image/webp",
    "wmv": "video/x-ms-wmv", "xml": "text/xml", "3gp": "video/3gpp",
}  # fmt: skip


@dataclass(slots=True, frozen=True)
class Media:
    """A file that a prompt shows. `path` is relative to the folder of media; `media_type` is
    what the record says of it, None where it does not."""

    kind: MediaKind
    path: str
    media_type: str | None = None


def media_mark(number: int) -> str:
    """Return what stands in a message for media `number`, until it is loaded."""
    return f"media:{number}"


def data_url(path: str, data: bytes) -> str:
    """Return the `data:` URL of a file: its type by its first bytes, else by its name."""
    kind = _sniffed(data) or kind_by_name(path) or _UNKNOWN
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def kind_by_name(path: str) -> str | None:
    """Return the media type that a file's name tells; None for an unknown ending."""
    return _BY_NAME.get(PurePath(path).suffix.lower()[1:])


def with_media(messages: Sequence[Message], loaded: Sequence[str]) -> list[Message]:
    """Return `messages` with `loaded[N]`, a `data:` URL, in place of each mark of media N.

    Raises ExperimentError where media are missing, or are no `data:` URL.
    """
    return [
        message
        if isinstance(message.content, str)
        else replace(message, content=[_filled(part, loaded) for part in message.content])
        for message in messages
    ]


def _filled(part: Part, loaded: Sequence[str]) -> Part:
    if isinstance(part, ImagePart) and (mark := _MARK.fullmatch(part.url)):
        return replace(part, url=_loaded(mark, loaded)[0])
    if isinstance(part, FilePart) and (mark := _MARK.fullmatch(part.data)):
        _, kind, data = _loaded(mark, loaded)
        told = part.media_type
        return replace(part, data=data, media_type=told if kind in ("", _UNKNOWN) else kind)
    return part


def _loaded(mark: re.Match[str], loaded: Sequence[str]) -> tuple[str, str, str]:
    number = int(mark[1])
    url = loaded[number] if number < len(loaded) else ""
    found = _DATA.fullmatch(url)
    if found is None:
        raise ExperimentError(f"media {number} is not loaded: a data: URL is needed")
    return url, found[1], found[2]


def _sniffed(data: bytes) -> str | None:
    for start, kind in _STARTS:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "video/mp4")
    if len(data) > 1 and data[0] == 0xFF and data[1] in (0xFB, 0xF3, 0xF2):
        return "audio/mpeg"
    return None
