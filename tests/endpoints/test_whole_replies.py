"""What batches ask of every dialect: replies that are not streamed, and what has nothing in it."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import tenacity

from agentflow import Agent, Runtime, tool
from agentflow.endpoints import Endpoint, Retry
from agentflow.errors import BadResponse, EndpointUnavailable, RequestRejected, UserError
from agentflow.testing import assert_nothing_left
from agentflow_protocols.chat import ChatRequest, ImagePart, Message, Settings

AT_ONCE = Retry(wait=tenacity.wait_none())


@contextmanager
def server(*answers):
    """Serve objects as JSON, lists of them as JSON lines, `(status, body)`. Yields address and requests."""
    waiting = list(answers)
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            body = json.loads(raw) if raw[:1] == b"{" else raw
            seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            answer = waiting.pop(0)
            status, answer = answer if isinstance(answer, tuple) else (200, answer)
            many = isinstance(answer, list)
            self.send_response(status)
            self.send_header("Content-Type", "application/x-ndjson" if many else "application/json")
            self.end_headers()
            for each in answer if many else [answer]:
                self.wfile.write(json.dumps(each).encode() + b"\n")

        def log_message(self, *arguments):
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{serving.server_port}", seen
    finally:
        serving.shutdown()
        thread.join()
        serving.server_close()


def chat(content, finish="stop", **more):
    message = {"role": "assistant", "content": content, **more}
    return {"model": "m", "choices": [{"message": message, "finish_reason": finish}], "usage": USAGE}


def claude(*blocks, stop="end_turn"):
    usage = {"input_tokens": 3, "output_tokens": 2}
    return {"type": "message", "model": "m", "content": blocks, "stop_reason": stop, "usage": usage}


def gemini(*parts, finish="STOP"):
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2}
    return {"candidates": [{"content": {"parts": parts}, "finishReason": finish}], "usageMetadata": usage}


def response(*output, **more):
    usage = {"input_tokens": 3, "output_tokens": 2}
    return {"status": "completed", "model": "m", "output": output, "usage": usage, **more}


def ollama(content, **more):
    counts = {"prompt_eval_count": 3, "eval_count": 2}
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    return {"model": "m", "message": message, "done": True, "done_reason": "stop", **counts, **more}


USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
SAID = {"type": "message", "content": [{"type": "output_text", "text": "So."}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
# For each provider: a reply, one without content, one of a call alone, one at its limit of tokens.
REPLIES = {
    "openai": (chat("So."), chat(None), chat(None, "tool_calls", tool_calls=[TOOL_CALL]), chat("", "length")),
    "azure": (chat("So."), chat(""), chat(None, "tool_calls", tool_calls=[TOOL_CALL]), chat(None, "length")),
    "mistral": (chat([{"type": "text", "text": "So."}]), chat([]), None, chat("", "length")),
    "anthropic": (
        claude({"type": "text", "text": "So."}),
        claude(),
        claude({"type": "tool_use", "id": "c1", "name": "f", "input": {}}, stop="tool_use"),
        claude(stop="max_tokens"),
    ),
    "gemini": (
        gemini({"text": "So."}),
        gemini(),
        gemini({"functionCall": {"id": "c1", "name": "f", "args": {}}}),
        gemini(finish="MAX_TOKENS"),
    ),
    "openai-responses": (
        response(SAID),
        response(),
        response(CALL),
        response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    ),
    "ollama": (
        ollama("So."),
        ollama(""),
        ollama("", message={"tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {}}}]}),
        ollama("", done_reason="length"),
    ),
    "quart": (
        {"response": [{"generated_text": "So."}], "model": "m"},
        {"response": [{"generated_text": ""}], "model": "m"},
        None,
        None,
    ),
}
of_each = pytest.mark.parametrize("name", REPLIES)


def endpoint(name, url, **options):
    return Endpoint(f"{name}:m", base_url=url, api_key="k-1", stream=False, retry=AT_ONCE, **options)


@of_each
async def test_a_reply_is_asked_for_whole(name):
    with server(REPLIES[name][0]) as (url, seen):
        reply = await endpoint(name, url).complete("Hi")
    assert (reply.message.text, reply.finish, reply.others) == ("So.", "stop", [])
    if name != "quart":
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (3, 2)
    [(path, _, body)] = seen
    assert not body.get("stream")
    assert "stream" not in path.lower()


@of_each
async def test_a_reply_without_content_is_asked_for_again(name):
    good, empty, *_ = REPLIES[name]
    with server(empty, empty, good, *[empty] * 5) as (url, seen):
        asked = endpoint(name, url)
        reply = await asked.complete("Hi")
        assert (reply.message.text, reply.usage.requests) == ("So.", 3)
        with pytest.raises(BadResponse, match=f"{name}:m: the reply is empty"):
            await asked.complete("Hi")
    assert len(seen) == 8


@of_each
async def test_a_call_without_text_is_no_fault(name):
    called = REPLIES[name][2]
    if called is None:
        pytest.skip("no calls here")
    with server(called) as (url, _):
        reply = await endpoint(name, url).complete("Hi")
    [call] = reply.message.calls
    assert (call.id, call.name, reply.finish, reply.message.text) == ("c1", "f", "tool_calls", "")


@of_each
async def test_a_reply_that_spent_its_tokens_is_no_fault(name):
    spent = REPLIES[name][3]
    if spent is None:
        pytest.skip("tells no end")
    with server(spent) as (url, _):
        assert (await endpoint(name, url).complete("Hi")).finish == "length"


async def test_a_refusal_is_no_fault():
    with server(chat(None, refusal="No.")) as (url, _):
        assert (await endpoint("openai", url).complete("Hi")).message.refusal == "No."


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest([], prompt="Once"),
        ChatRequest([Message("user", "Hi")], settings=Settings(stop=("X",))),
        ChatRequest([Message("user", "Hi"), Message("assistant", "So")]),
    ],
)
async def test_what_may_end_at_once_is_no_fault(request_):
    empty = {"model": "m", "choices": [{"text": "", "message": {"content": ""}, "finish_reason": "stop"}]}
    with server(empty) as (url, _):
        async with endpoint("vllm", url).stream(request_) as stream:
            assert [delta async for delta in stream] == []
        assert stream.reply.finish == "stop"


async def test_several_answers_come_in_their_order():
    answers = [
        {"index": at, "message": {"content": text}, "finish_reason": "stop"}
        for at, text in ((0, "A"), (1, "B"))
    ]
    with server({"model": "m", "choices": answers, "usage": USAGE}) as (url, seen):
        reply = await endpoint("openai", url).complete("Hi", settings=Settings(extra={"n": 2}))
    assert seen[0][2]["n"] == 2
    assert [message.text for message in (reply.message, *reply.others)] == ["A", "B"]


@tool
async def boil(pot: str) -> str:
    """Boil the water in `pot`."""
    return f"the {pot} boils"


@pytest.mark.parametrize("end", ["", "/", "/v1", "/api/"])
async def test_ollama(end):
    call = {"function": {"name": "boil", "arguments": {"pot": "kettle"}}}
    first = [{"message": {"content": "", "thinking": "Hm"}}, {"message": {"tool_calls": [call]}}, ollama("")]
    with server(first, [{"message": {"content": "Done."}}, ollama("")]) as (url, seen):
        model = Endpoint("ollama:qwen3", base_url=url + end, retry=1)
        async with assert_nothing_left(), Runtime() as runtime:
            result = await runtime.run(Agent(model, instructions="Cook.", tools=[boil]), "Soup.")
    assert (result.output, result.usage.total_tokens) == ("Done.", 10)
    (path, headers, asked), (_, _, body) = seen
    assert (path, asked["stream"], "authorization" in headers) == ("/api/chat", True, False)
    _, _, said, told = body["messages"]
    assert said["tool_calls"][0]["function"] == {"name": "boil", "arguments": {"pot": "kettle"}}
    assert (told["role"], told["tool_name"]) == ("tool", "boil")
    assert "the kettle boils" in told["content"]


async def test_ollama_says_what_is_wrong_in_mid_stream_and_before():
    missing = (404, {"error": "model 'm' not found"})
    broken = [{"message": {"content": "So"}}, {"error": "the model runner has stopped"}]
    with server(missing, broken, broken[1:], [ollama("So.")]) as (url, _):
        model = Endpoint("ollama:m", base_url=url, retry=AT_ONCE)
        with pytest.raises(RequestRejected, match="model 'm' not found"):
            await model.complete("Hi")
        with pytest.raises(EndpointUnavailable, match="the model runner has stopped"):
            async with model.stream(ChatRequest([Message("user", "Hi")])) as stream:
                assert [delta.text async for delta in stream] == ["So"]
        assert stream.partial.message.text == "So"
        assert (await model.complete("Hi")).message.text == "So."


async def test_ollama_goes_on_with_a_text_and_makes_vectors():
    generated = [{"response": " upon"}, {"response": "", "done": True, "done_reason": "stop"}]
    vectors = {"embeddings": [[1, 2], [3, 4]], "prompt_eval_count": 6}
    with server(generated, vectors) as (url, seen):
        async with Endpoint("ollama:m", base_url=url) as model:
            async with model.stream(ChatRequest([], prompt="Once")) as stream:
                assert [delta.text async for delta in stream] == [" upon"]
            made = await model.embed(["a", "b"], dimensions=2)
    assert (made.vectors, made.usage.input_tokens) == ([[1, 2], [3, 4]], 6)
    assert [(path, body.get("raw")) for path, _, body in seen] == [
        ("/api/generate", True),
        ("/api/embed", None),
    ]
    assert seen[1][2] == {"model": "m", "input": ["a", "b"], "dimensions": 2}


async def test_what_ollama_and_quart_do_not_take():
    image = Message("user", [ImagePart("https://x/y.png")])
    with pytest.raises(UserError, match="ollama:m: message 1: Ollama fetches no image"):
        await Endpoint("ollama:m", retry=1).complete([image])
    with pytest.raises(UserError, match="quart:m: a Quart server takes one text"):
        await Endpoint("quart:m", retry=1).complete([Message("system", "a"), Message("user", "b")])
    with pytest.raises(UserError, match="quart:m: this provider makes no embeddings"):
        await Endpoint("quart:m").embed(["a"])


def place(base_url=None):
    target = Endpoint("vertexai:gemini-3", base_url=base_url).target
    return target.base_url + target.dialect.path(ChatRequest([]), target.model, False)


def test_where_vertex_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("VERTEXAI_PROJECT_ID", "VERTEXAI_LOCATION_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="vertexai: no project: set VERTEXAI_PROJECT_ID"):
        place()
    monkeypatch.setenv("VERTEXAI_PROJECT_ID", "my-project")
    end = "publishers/google/models/gemini-3:generateContent"
    near = f"https://us-central1-aiplatform.googleapis.com/v1/projects/my-project/locations/us-central1/{end}"
    assert place() == near
    assert place("https://us-central1-aiplatform.googleapis.com") == near
    monkeypatch.setenv("VERTEXAI_LOCATION_ID", "global")
    assert place() == f"https://aiplatform.googleapis.com/v1/projects/my-project/locations/global/{end}"
    own = "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4"
    assert place(own) == f"{own}/{end}"
    assert place("http://127.0.0.1:9/v1") == f"http://127.0.0.1:9/v1/{end}"
    with pytest.raises(UserError, match="no http"):
        place("https://[")


async def test_vertex_takes_a_token_of_the_environment_to_its_own_host_alone(monkeypatch):
    monkeypatch.setenv("VERTEXAI_PROJECT_ID", "p")
    monkeypatch.setenv("VERTEXAI_ACCESS_TOKEN", "t-1")
    owned = Endpoint("vertexai:g")
    owned.check()
    assert (await owned.target.sent_headers())["Authorization"] == "Bearer t-1"
    monkeypatch.setenv("VERTEXAI_ACCESS_TOKEN", "t-2")
    assert (await owned.target.sent_headers())["Authorization"] == "Bearer t-2"
    with server(REPLIES["gemini"][0]) as (url, seen):
        reply = await Endpoint("vertexai:g", base_url=url, stream=False).complete("Hi")
    assert reply.message.text == "So."
    assert "authorization" not in seen[0][1]


async def test_a_missing_google_auth_is_one_line(monkeypatch):
    monkeypatch.setenv("VERTEXAI_PROJECT_ID", "p")
    monkeypatch.delenv("VERTEXAI_ACCESS_TOKEN", raising=False)
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(UserError, match=r"google-auth is not installed: pip install .*\[vertexai\]"):
        Endpoint("vertexai:g").check()


def account(path, url):
    """Write the key file of a service account whose tokens come from `url`."""
    rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
    from cryptography.hazmat.primitives import serialization as form

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    told = {"type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key_id": "1"}
    told |= {"private_key": pem.decode(), "token_uri": f"{url}/token", "project_id": "p"}
    path.write_text(json.dumps(told))


@pytest.mark.filterwarnings("default")
async def test_google_gives_tokens_that_are_renewed_before_their_end(monkeypatch, tmp_path):
    pytest.importorskip("google.auth")
    from agentflow.endpoints.vertex import GoogleCredentials

    monkeypatch.delenv("VERTEXAI_ACCESS_TOKEN", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    monkeypatch.chdir(tmp_path)
    credentials = GoogleCredentials("vertexai:g")
    with pytest.raises(UserError, match="no Google credentials"):
        await credentials.headers()
    short, long = ({"access_token": f"t-{n}", "expires_in": n, "token_type": "Bearer"} for n in (60, 3600))
    refused = (400, {"error": "invalid_grant"})
    with server(refused, short, long) as (url, seen):
        account(tmp_path / "key.json", url)
        with pytest.raises(RequestRejected, match="Google gives no token"):
            await credentials.headers()
        told = [(await credentials.headers())["authorization"] for _ in range(3)]
    assert told == ["Bearer t-60", "Bearer t-3600", "Bearer t-3600"]
    assert len(seen) == 3


async def test_a_stream_without_content_is_asked_for_again():
    with server([ollama("")], [ollama("So.")]) as (url, seen):
        reply = await Endpoint("ollama:m", base_url=url, retry=AT_ONCE).complete("Hi")
    assert (reply.message.text, len(seen)) == ("So.", 2)
