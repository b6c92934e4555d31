"""Scripted models: the file, its faults, and the time that a reply takes."""

from __future__ import annotations

import asyncio

import pytest

from agentflow.builtin.scripted import ScriptedCall, ScriptedModel, ScriptedReply, pieces, read_script
from agentflow.endpoints import Endpoint
from agentflow.errors import RateLimited, UserError
from agentflow.runtime.resources import Resources
from agentflow.testing import VirtualClock
from agentflow_protocols.chat import CallReady, ChatRequest, Message, ReasoningPiece, TextPiece

SCRIPT = """
- text: First.
- when: "^boil(ed|ing)"
  text: It boils.
- calls: [{name: boil, arguments: {pot: a, litres: 2}}, {name: chop, arguments: "{bad", id: mine}]
  text: Both.
  delay: 2
  tokens_per_second: 10
- error: 429
  retry_after: 1
- text: Last.
"""


def test_replies_are_used_in_order_and_rules_answer_always(tmp_path):
    path = tmp_path / "replies.yaml"
    path.write_text(SCRIPT)

    async def main():
        endpoint = Endpoint(f"scripted:{path}", retry=1)
        assert (await endpoint.complete("Hi.")).message.text == "First."
        assert (await endpoint.complete("boiling?")).message.text == "It boils."
        assert (await endpoint.complete("boiled?")).message.text == "It boils."
        reply = await endpoint.complete("Go on.")
        assert reply.message.text == "Both."
        calls = [(c.name, c.arguments) for c in reply.message.calls]
        assert calls == [("boil", '{"pot": "a", "litres": 2}'), ("chop", "{bad")]
        assert reply.message.calls[1].id == "mine"
        assert reply.finish == "tool_calls"
        with pytest.raises(RateLimited) as caught:
            await endpoint.complete("Again.")
        assert caught.value.retry_after == 1
        assert (await endpoint.complete("Again.")).message.text == "Last."
        with pytest.raises(UserError, match=r"replies.yaml: no reply is left .* all 4 replies are used"):
            await endpoint.complete("More.")

    with VirtualClock() as clock:
        clock.run(main())
        # 2 s to the first token; then five and a half, seven and a quarter … characters / 4 at 10 a second.
        assert clock.time() == pytest.approx(2 + (len("Both.boil") + 25 + len("chop{bad")) / 4 / 10)


def test_a_reply_is_written_as_fast_as_it_says():
    async def main():
        model = ScriptedModel(
            [ScriptedReply("one two", [ScriptedCall("f")], "Hm hm")], delay=1, tokens_per_second=1
        )
        loop = asyncio.get_running_loop()
        stream = model.open(ChatRequest([Message("user", "x")]), Resources())
        return [(loop.time(), delta) async for delta in stream], stream.reply

    with VirtualClock() as clock:
        timed, reply = clock.run(main())
    assert timed[:2] == [(1.5, ReasoningPiece("Hm")), (2.25, ReasoningPiece(" hm"))]
    assert timed[2:4] == [(3.0, TextPiece("one")), (4.0, TextPiece(" two"))]
    assert timed[-1][0] == 4.75
    assert isinstance(timed[-1][1], CallReady)
    assert reply.usage.output_tokens == 4
    assert reply.usage.reasoning_tokens == 2


def test_pieces_are_words_and_lose_nothing():
    text = "  One, two\n\nthree \t"
    assert "".join(pieces(text)) == text
    assert pieces("a b") == ["a", " b"]
    assert pieces("") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text: x", ":1: a list of replies is needed"),
        ("", ":1: a list of replies is needed"),
        ("- text: x\n- txt: y", ":2: unknown key `txt` .*did you mean `text`"),
        ("- text: x\n  text: y", ":2: `text` is there twice"),
        ("- delay: 1", ":1: a reply needs `text`, `calls` or `error`"),
        ("- text: 7", ":1: `text` must be text"),
        ("- text: x\n  delay: soon", ":2: `delay` must be a whole number or a number"),
        ("- text: x\n  delay: -1", ":1: `delay` must be 0 or more"),
        ("- text: x\n  tokens_per_second: 0", "must be above 0"),
        ("- error: 200", "from 400 to 599, not 200"),
        ("- error: true", "`error` must be a whole number"),
        ("- text: x\n  when: '('", "`when` is no regular expression"),
        ("- calls: {name: x}", "`calls` must be a list"),
        ("- calls:\n  - arguments: {}", ":2: a call needs the `name`"),
        ("- calls:\n  - {name: x, args: {}}", ":2: unknown key `args`.*did you mean `arguments`"),
        ("- calls:\n  - {name: x, arguments: {a: 2020-01-01}}", ":2: `arguments` must be JSON"),
        ("- just text", ":1: a mapping is needed"),
        ("- text: [", ":1: no valid YAML|:2: no valid YAML"),
        ("\x00", "no valid YAML"),
    ],
)
def test_faults_in_the_file_are_named_with_their_line(tmp_path, text, said):
    path = tmp_path / "replies.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        read_script(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(UserError, match="can't be read: No such file"):
        Endpoint(f"scripted:{tmp_path / 'none.yaml'}").check()
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(UserError, match="not UTF-8"):
        read_script(path)


def test_a_script_file_goes_on_where_a_conversation_was_left(tmp_path):
    """As a resumed run meets it in a new process: the replies in the conversation are used up."""
    import asyncio

    from agentflow import Endpoint, Message

    path = tmp_path / "replies.yaml"
    path.write_text(
        "- {text: one}\n- {error: 429}\n- {text: two}\n- {text: three}\n- {when: who, text: me}\n"
    )
    said = [
        Message("user", "Count."),
        Message("assistant", "one"),
        Message("user", "who?"),
        Message("assistant", "me"),
        Message("user", "Go on."),
        Message("assistant", "two"),
        Message("user", "And?"),
    ]
    assert asyncio.run(Endpoint(f"scripted:{path}").complete(said)).message.text == "three"
