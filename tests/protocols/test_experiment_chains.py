"""What stands round the records: bodies of providers, media, errors, rates, settings."""

from __future__ import annotations

import base64
import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from agentflow_protocols.chat.anthropic import messages_body
from agentflow_protocols.chat.gemini import content_body
from agentflow_protocols.chat.messages import ChatRequest, FilePart, ImagePart, Message
from agentflow_protocols.chat.openai import request_body
from agentflow_protocols.experiment import (
    ADDED,
    TIMESTAMP,
    Completed,
    ExperimentError,
    Record,
    ask_of,
    completed,
    data_url,
    doubts,
    error_text,
    is_error_text,
    judge_lines,
    judge_settings,
    needs_asking,
    original_line,
    problems,
    rate_problems,
    read_completed,
    read_line,
    scorer,
    template_name,
    to_line,
    with_media,
)

PNG = b"\x89PNG\r\n\x1a\n\0\0"


def prompto() -> Path:
    """Return the folder of prompto's own examples."""
    given = os.environ.get("AGENTFLOW_PROMPTO")
    folder = Path(given) if given else Path(__file__).parents[3] / "shared/data/prompto"
    if not (folder / "openai").exists():
        pytest.skip("prompto's examples are not here: set AGENTFLOW_PROMPTO to their folder")
    return folder


def read(path: Path) -> list[Record]:
    lines = path.read_bytes().splitlines(keepends=True)
    records = [read_line(raw, number, first=number == 1) for number, raw in enumerate(lines, 1)]
    assert all(isinstance(record, Record) for record in records)
    return [record for record in records if isinstance(record, Record)]


def test_prompto_s_examples_are_asked():
    files = [file for file in prompto().rglob("*.jsonl") if "-completed-" not in file.name]
    assert len(files) == 17
    for file in files:
        for record in read(file):
            assert problems(record) == doubts(record) == []
            ask = ask_of(record)
            assert ask.turns
            assert (ask.api, ask.model) == (record.values["api"], record.values["model_name"])
            assert bool(ask.media) == ("pantani" in str(record.values) or "mortadella" in str(record.values))


def test_prompto_s_answers_are_written_as_prompto_wrote_them():
    """EX-6.1, EX-1.6: the same keys in the same order, byte for byte."""
    failed = 0
    for file in prompto().rglob("*-completed-*.jsonl"):
        inputs = {record.id: record for record in read(Path(str(file).replace("-completed-", "-input-")))}
        lines = file.read_bytes().splitlines(keepends=True)
        done: list[Completed] = []
        for number, raw in enumerate(lines, 1):
            line = read_completed(raw, number)
            assert isinstance(line, Completed)
            record = inputs[line.values["id"]]
            assert line.record.hash == record.hash
            assert to_line(completed(record.values, line.added)) == raw
            done.append(line)
        missing = {line.record.id for line in done if line.failed}
        assert {record.id for record in needs_asking(inputs.values(), done)} == missing
        assert {record.id for record in needs_asking(inputs.values(), done, by="id")} == missing
        failed += len(missing)
    assert failed == 2  # a deployment and a model that were not there


def test_error_texts():
    """EX-6.2."""
    once, retried = error_text("KeyError", "'a'", None), error_text("APITimeoutError", "timed out.", 5)
    assert once == "KeyError - 'a'"
    assert retried == (
        "An unexpected error occurred when querying the API: "
        "(APITimeoutError - timed out.) after maximum 5 attempts"
    )
    assert is_error_text(once)
    assert is_error_text(retried)
    assert datetime(2024, 6, 25, 18, 28, 3).strftime(TIMESTAMP) == "25-06-2024-18-28-03"
    assert "error" in ADDED


@pytest.mark.parametrize("line", [b"", b"\n", b'{"prompt": "a"}', b'{"prompt": "a", "respon', b"[]"])
def test_what_is_no_completed_line(line):
    """EX-6.5."""
    assert not isinstance(read_completed(line, 4), Completed)


def asked(values: dict, **more: object) -> ChatRequest:
    ask = ask_of(Record(1, {"model_name": "m", **values, **more}))
    return ChatRequest([message for turn in ask.turns for message in turn], settings=ask.settings)


def test_parameters_reach_the_body_once():
    """EX-4.2, EX-4.3."""
    body = request_body(asked({"api": "openai", "prompt": "a", "parameters": {"max_tokens": 5, "n": 2}}), "m")
    assert {key: body[key] for key in body if key not in ("messages", "stream", "stream_options")} == {
        "model": "m",
        "max_tokens": 5,
        "n": 2,
    }
    body = messages_body(
        asked(
            {
                "api": "anthropic",
                "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}],
                "parameters": {"max_tokens": 5, "top_k": 3},
            }
        ),
        "m",
        stream=False,
    )
    assert body == {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        "system": "s",
        "top_k": 3,
    }
    body = content_body(
        asked(
            {
                "api": "gemini",
                "prompt": [{"role": "system", "parts": ["s"]}, {"role": "user", "parts": "a"}],
                "parameters": {"max_output_tokens": 5},
                "safety_filter": "none",
            }
        ),
        "gemini-2.5-flash",
    )
    assert body["generationConfig"] == {"maxOutputTokens": 5}
    assert body["systemInstruction"] == {"parts": [{"text": "s"}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "a"}]}]
    assert [setting["threshold"] for setting in body["safetySettings"]] == ["BLOCK_NONE"] * 4


@pytest.mark.parametrize(
    ("path", "data", "kind"),
    [
        ("a.jpg", PNG, "image/png"),
        ("a", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a", b"GIF89a", "image/gif"),
        ("a", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        ("a", b"RIFF\0\0\0\0WAVE", "audio/wav"),
        ("a", b"\0\0\0\x18ftypisom", "video/mp4"),
        ("a", b"\0\0\0\x18ftypheic", "image/heic"),
        ("a.bin", b"%PDF-1.7", "application/pdf"),
        ("a", b"\xff\xfb\x90", "audio/mpeg"),
        ("a", b"ID3\x04", "audio/mpeg"),
        ("b/a.CSV", b"x,y", "text/csv"),
        ("a.unknown", b"x", "application/octet-stream"),
        ("a", b"", "application/octet-stream"),
    ],
)
def test_the_type_of_a_file(path, data, kind):
    """EX-5.2."""
    assert data_url(path, data) == f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_media_are_put_in():
    """EX-5.1, EX-5.2."""
    parts = [
        {"type": "image", "media": "a.jpg"},
        "what is it?",
        {"type": "video", "media": "b", "mime_type": "video/x-own"},
        {"type": "file", "media": "files/c", "mime_type": "text/plain"},
    ]
    ask = ask_of(
        Record(1, {"api": "gemini", "model_name": "g", "prompt": [{"role": "user", "parts": parts}]})
    )
    loaded = [data_url("a.jpg", PNG), data_url("b", b"??")]
    (message,) = with_media(ask.turns[0], loaded)
    assert message.content[0] == ImagePart(loaded[0])
    assert message.content[2] == FilePart("b", base64.b64encode(b"??").decode(), "video/x-own")
    assert message.content[3].file_id.endswith("/files/c")
    assert ask.turns[0][0].content[0] == ImagePart("media:0")  # the ask is as it was
    content_body(ChatRequest([message]), "gemini-2.5-flash")
    for wrong in ([], loaded[:1], [loaded[0], "https://example.org/b"]):
        with pytest.raises(ExperimentError, match="media"):
            with_media(ask.turns[0], wrong)
    assert with_media([Message("user", "media:0")], []) == [Message("user", "media:0")]


def test_rates_that_fit():
    """EX-7.3."""
    seen = {(None, "openai", "gpt-4o"), ("g", "openai", "gpt-4o"), (None, "gemini", "gemini-2.5-pro")}
    assert rate_problems({"openai": 5, "g": {"gpt-4o": 3, "default": 1.5}}, seen) == []
    assert rate_problems({}, seen) == []
    assert rate_problems({"anything": 5}, ()) == []
    (found,) = rate_problems({"opnai": 5}, seen)
    assert found.startswith(
        "the rate of `opnai` fits no prompt (did you mean `openai`?); there are `g`, `gem"
    )
    (found,) = rate_problems({"openai": {"gpt4o": 5}}, seen)
    assert "`gpt4o` in `openai` fits no prompt (did you mean `gpt-4o`?)" in found
    assert len(rate_problems({"openai": 0, "g": {"gpt-4o": -1, "default": "5"}, "gemini": True}, seen)) == 4
    assert "is null" in rate_problems({"openai": None}, seen)[0]
    assert "are a list" in rate_problems([], seen)[0]


def test_settings_of_judges():
    """EX-8.1."""
    one = {"api": "openai", "model_name": "m", "parameters": {}}
    assert list(judge_settings({"a": one, "b": one}, ["b", "a"])) == ["b", "a"]
    assert judge_settings({"a": one | {"mode": "chat"}}) == {"a": one | {"mode": "chat"}}
    assert judge_settings({"a": one, "unused": 3}, ["a"]) == {"a": one}
    for data, wanted, words in [
        ([], None, "are a list"),
        ({"a": 3}, None, "`a` is a number"),
        (
            {"a": {}},
            None,
            "has no `api`; the judge `a` has no `model_name`; the judge `a` has no `parameters`",
        ),
        ({"a": one | {"api": "opnai"}}, None, r"unknown api `opnai` \(did you mean `openai`"),
        ({"a": one | {"model_name": 3, "parameters": []}}, None, "a number as `model_name`; .* a list as"),
        ({"gpt-4": one}, ["gpt4"], r"no judge `gpt4` \(did you mean `gpt-4`\?\); there are gpt-4"),
    ]:
        with pytest.raises(ExperimentError, match=words):
            judge_settings(data, wanted)


def test_what_can_t_be_judged():
    with pytest.raises(ExperimentError, match="no `response`"):
        list(judge_lines({"prompt": "a"}, {"t": ""}, {}))
    assert template_name("template.v2.txt") == "template"


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("{OUTPUT_RESPONSE!r}", "'b'"),
        ("{{{OUTPUT_RESPONSE}}}", "{b}"),
        ("{OUTPUT_RESPONSE} {}", "b {}"),
        ("{OUTPUT_RESPONSE} }", "b }"),
        ("{OUTPUT_RESPONSE.__class__} {INPUT_PROMPT}", "{OUTPUT_RESPONSE.__class__} {a}"),
        ("{OUTPUT_RESPONSE!x} {INPUT_PROMPT}", "{OUTPUT_RESPONSE!x} {a}"),
        ("{OUTPUT_RESPONSE:>5} {INPUT_PROMPT}", "{OUTPUT_RESPONSE:>5} {a}"),
    ],
)
def test_templates(template, prompt):
    """EX-8.2."""
    (line,) = judge_lines({"prompt": "{a}", "response": "b"}, {"t": template}, {"j": {}})
    assert line["prompt"] == prompt


def test_an_unknown_scorer():
    with pytest.raises(ExperimentError, match=r"no scorer `mach` \(did you mean `match`\?\)"):
        scorer("mach")


def test_the_original_beside_its_rephrased_forms():
    """EX-8.5."""
    assert json.dumps(original_line({"id": 3, "prompt": "a"})) == '{"id": 3, "prompt": "a", "input-id": 3}'
