"""HTTP tools against a real server in a thread: what is sent, what comes back, what is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agentflow import Context, Runtime, ToolFailed
from agentflow.testing import assert_nothing_left
from agentflow.workflow import WorkflowError, load
from agentflow_protocols.chat import Json

SECRET = "not-for-everybody"


@dataclass
class Site:
    """What was asked, and what is answered: status, content type, body."""

    url: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, str, bytes]] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            site.asked.append((self.command, self.path, headers, body))
            status, kind, data = site.answers.pop(0) if site.answers else (200, "text/plain", b"fine")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


async def call(folder: Path, tool: str, arguments: str = "{}") -> Json:
    """Call the one tool of a workflow in a run, as a session would."""
    (folder / "replies.yaml").write_text("- text: done\n")
    (folder / "w.yaml").write_text(
        'agentflow: 1\nendpoints: {main: {model: "scripted:replies.yaml"}}\n'
        f"tools:\n  lookup: {tool}\nagents: {{a: {{endpoint: main}}}}\nagent: {{use: a, input: hi}}\n"
    )
    lookup = load(folder / "w.yaml").tools["lookup"]

    async def job(context: Context[None], input: None) -> Json:
        return await lookup.run(
            context.for_call("c1", "lookup", lambda data: None), lookup.validate(arguments)
        )

    async with assert_nothing_left(), Runtime() as runtime:
        return (await runtime.run(job)).output


async def test_templates_fill_the_request(site: Site, tmp_path: Path) -> None:
    """WF-4.5, WF-4.2."""
    tool = (
        f"{{http: {{url: '{site.url}/at/{{{{ arguments.city }}}}/now?fixed=1', method: POST,"
        " query: {n: '{{ arguments.n }}', unit: C}, headers: {X-City: '{{ arguments.city }}'},"
        " body: {city: '{{ arguments.city }}', n: ['{{ arguments.n }}']},"
        " parameters: {properties: {city: {type: string}, n: {type: integer}}, required: [city, n]}}}"
    )
    site.answers = [(200, "application/json; charset=utf-8", b'{"t": 18}')]
    assert await call(tmp_path, tool, '{"city": "a/../b?c#d e", "n": 3}') == {"t": 18}
    ((method, path, headers, body),) = site.asked
    assert (method, path) == ("POST", "/at/a%2F..%2Fb%3Fc%23d%20e/now?fixed=1&n=3&unit=C")
    assert headers["x-city"] == "a/../b?c#d e"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"].endswith("/c1")
    assert json.loads(body) == {"city": "a/../b?c#d e", "n": [3]}


async def test_parameters_are_read_off_the_templates(site: Site, tmp_path: Path) -> None:
    tool = f"{{http: {{url: '{site.url}/x', query: {{q: '{{{{ arguments.words }}}}'}}}}}}"
    assert await call(tmp_path, tool, '{"words": "leek & soup"}') == "fine"
    assert site.asked[0][:2] == ("GET", "/x?q=leek+%26+soup")
    with pytest.raises(Exception, match="words"):
        await call(tmp_path, tool, "{}")


async def test_a_header_can_not_be_split(site: Site, tmp_path: Path) -> None:
    tool = f"{{http: {{url: '{site.url}/', headers: {{X-A: '{{{{ arguments.a }}}}'}}}}}}"
    await call(tmp_path, tool, json.dumps({"a": "x\r\nX-B: y"}))
    assert site.asked[0][2]["x-a"] == "x X-B: y"
    assert "x-b" not in site.asked[0][2]


async def test_secrets_come_from_the_environment(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WF-3.2."""
    tool = f"{{http: {{url: '{site.url}/', headers_env: {{Authorization: LOOKUP_TOKEN}}}}}}"
    monkeypatch.setenv("LOOKUP_TOKEN", SECRET)
    await call(tmp_path, tool)
    assert site.asked[0][2]["authorization"] == SECRET
    site.answers = [(418, "text/plain", SECRET.encode()), (200, "text/plain", SECRET.encode())]
    with pytest.raises(ToolFailed, match=r"HTTP 418: \*\*\*$"):
        await call(tmp_path, tool)
    assert await call(tmp_path, tool) == "***", "a server that echoes it does not tell the model"
    monkeypatch.delenv("LOOKUP_TOKEN")
    with pytest.raises(WorkflowError, match=r"w\.yaml:4:12: .*environment variable LOOKUP_TOKEN"):
        await call(tmp_path, tool)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((404, "text/plain", b"no such city"), "lookup: HTTP 404: no such city"),
        ((302, "text/plain", b""), "lookup: HTTP 302: "),
        ((200, "text/plain", b"x" * 2000), "lookup: the answer has more than 1,000 bytes"),
        ((503, "text/plain", b"busy"), "HTTP 503"),
    ],
)
async def test_a_refusal_fails_the_tool(
    answer: tuple[int, str, bytes], message: str, site: Site, tmp_path: Path
) -> None:
    site.answers = [answer]
    with pytest.raises(ToolFailed) as caught:
        await call(tmp_path, f"{{http: {{url: '{site.url}/', max_bytes: 1000}}}}")
    assert message in str(caught.value)
    assert len(site.asked) == 1


async def test_a_busy_server_is_asked_again_when_told(site: Site, tmp_path: Path) -> None:
    site.answers = [(503, "text/plain", b"busy"), (200, "application/json", b"not json")]
    assert await call(tmp_path, f"{{http: {{url: '{site.url}/'}}, retries: 1}}") == "not json"
    assert len(site.asked) == 2


async def test_a_server_that_is_not_there_fails_the_tool(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match=r"lookup: .*127\.0\.0\.1:9"):
        await call(tmp_path, "{http: {url: 'http://127.0.0.1:9/'}}")
