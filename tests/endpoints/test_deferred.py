"""Providers' batch APIs over a loopback server: handed in, asked for, read, and what goes wrong."""

from __future__ import annotations

import asyncio

import pytest
import tenacity
from batch_server import serve
from virtual import virtual

from agentflow.endpoints import Deferred, Endpoint, Retry
from agentflow.errors import BadResponse, EndpointUnavailable, RequestRejected, UserError
from agentflow.runtime.resources import Resources
from agentflow.testing import assert_nothing_left
from agentflow_protocols.chat import ChatRequest, Message, Settings

MODELS = {"openai": "openai:gpt", "anthropic": "anthropic:claude", "gemini": "gemini:gemini-3"}
AT_ONCE = Retry(wait=tenacity.wait_none())
of_each = pytest.mark.parametrize("kind", MODELS)


@pytest.fixture
async def resources():
    kept = Resources()
    yield kept
    await kept.aclose()


def deferred(server, kind="openai", **options):
    return Deferred(Endpoint(MODELS[kind], base_url=server.url, api_key="k-1", retry=AT_ONCE, **options))


def asked(text="Hi"):
    return ChatRequest([Message("user", text)], settings=Settings(max_tokens=9))


def lines_of(batch, *ids):
    return [batch.line(identity, asked()) for identity in ids]


async def read(batch, remote, resources):
    async with batch.results(remote, resources) as results:
        return {identity: result async for identity, result in results}


def texts(found):
    return {
        identity: type(result).__name__ if isinstance(result, Exception) else result.message.text
        for identity, result in found.items()
    }


@of_each
async def test_a_batch_is_handed_in_asked_for_and_read(kind, resources):
    with serve(kind) as server:
        server.outcomes["b"] = "refused"
        batch = deferred(server, kind)
        remote = await batch.submit(lines_of(batch, "a", "b", "c"), resources, name="run-7")
        state = await batch.state(remote, resources)
        found = await read(batch, remote, resources)
        assert await batch.find("run-8", resources) is None
        assert await batch.find("run-7", resources) == (remote if batch.named else None)
    assert (state.done, state.failed, state.total, state.ended) == (2, 1, 3, True)
    assert texts(found) == {"a": "answer a", "b": "RequestRejected", "c": "answer c"}
    assert "no such role" in str(found["b"])
    assert (found["a"].usage.input_tokens, found["a"].usage.output_tokens) == (3, 2)


async def test_what_goes_over_the_wire_to_openai(resources):
    with serve() as server:
        batch = deferred(server)
        await batch.submit(lines_of(batch, "a"), resources, name="run-7")
        (_, files, headers), (_, batches, _) = server.seen
        assert (files, batches) == ("/files", "/batches")
        assert headers["authorization"] == "Bearer k-1"
        assert headers["content-type"].startswith("multipart/form-data; boundary=")
        assert "transfer-encoding" not in headers
        line = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt",'
        assert server.files["file_1"].startswith(line)
        made = server.batches["batch_1"]["asked"]
    assert made == {
        "input_file_id": "file_1",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"name": "run-7"},
    }


async def test_azure_has_its_own_paths(resources):
    with serve() as server:
        url = f"{server.url}/openai?api-version=2024-10-21"
        batch = Deferred(Endpoint("azure:my gpt", base_url=url, api_key="k-1"))
        line = batch.line("a", asked())
        assert line.startswith(b'{"custom_id":"a","method":"POST","url":"/chat/completions","body":')
        server.file_states = ["pending", "processed"]
        remote = await batch.submit([line], resources, name="run-7")
        assert texts(await read(batch, remote, resources)) == {"a": "answer a"}
        assert await batch.find("run-7", resources) == remote
    assert server.batches[remote]["asked"]["endpoint"] == "/chat/completions"
    assert [path for _, path, _ in server.seen] == [
        "/openai/files?api-version=2024-10-21",
        "/openai/files/file_1?api-version=2024-10-21",
        "/openai/batches?api-version=2024-10-21",
        "/openai/batches/batch_1?api-version=2024-10-21",
        "/openai/files/batch_1-output/content?api-version=2024-10-21",
        "/openai/batches?limit=100&api-version=2024-10-21",
    ]
    assert server.seen[0][2]["api-key"] == "k-1"


async def test_a_file_is_read_from_disk(resources, tmp_path):
    with serve("anthropic") as server:
        batch = deferred(server, "anthropic")
        path = tmp_path / "batch.jsonl"
        ids = [f"id-{number}" for number in range(2000)]
        path.write_bytes(b"\n\n".join(batch.line(identity, asked("x" * 1000)) for identity in ids))
        remote = await batch.submit(path, resources)
        assert list(await read(batch, remote, resources)) == ids
        with pytest.raises(UserError, match=r"nowhere\.jsonl: the batch can't be read"):
            await batch.submit(tmp_path / "nowhere.jsonl", resources)


@pytest.mark.parametrize("status", ["expired", "cancelled"])
async def test_what_came_before_the_end_stays(status, resources):
    with serve() as server:
        server.status = status
        server.outcomes = {"b": status, "c": "empty"}
        batch = deferred(server)
        remote = await batch.submit(lines_of(batch, "a", "b", "c"), resources)
        found = await read(batch, remote, resources)
        assert (await batch.state(remote, resources)).status == status
    assert texts(found) == {"a": "answer a", "b": "EndpointUnavailable", "c": "BadResponse"}
    assert str(found["b"]).endswith(f"before this request's turn ({status})")
    assert "the reply is empty" in str(found["c"])


async def test_anthropics_other_ends(resources):
    with serve("anthropic") as server:
        server.outcomes = {"a": "expired", "b": "cancelled"}
        batch = deferred(server, "anthropic")
        remote = await batch.submit(lines_of(batch, "a", "b", "c"), resources)
        found = await read(batch, remote, resources)
    assert texts(found) == {"a": "EndpointUnavailable", "b": "EndpointUnavailable", "c": "answer c"}


@of_each
async def test_a_batch_that_goes_on_has_no_results_yet(kind, resources):
    with serve(kind) as server:
        server.status = "in_progress"
        batch = deferred(server, kind)
        remote = await batch.submit(lines_of(batch, "a", "b"), resources, name="n")
        assert not (await batch.state(remote, resources)).ended
        with pytest.raises(EndpointUnavailable, match="has not ended"):
            await read(batch, remote, resources)


async def test_a_batch_that_was_refused_as_a_whole(resources):
    with serve() as server:
        server.status = "failed"
        batch = deferred(server)
        remote = await batch.submit(lines_of(batch, "a"), resources)
        server.batches[remote]["errors"] = {"data": [{"message": "line 1: no model"}]}
        with pytest.raises(RequestRejected, match="was refused: line 1: no model"):
            await read(batch, remote, resources)
        assert (await batch.state(remote, resources)).fault == "line 1: no model"


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("cut_after", [0, 1, 300, 700, -1])
async def test_a_dropped_download_goes_on(ranges, cut_after, resources):
    with serve() as server:
        batch = deferred(server)
        ids = ["a", "b", "c", "d"]
        remote = await batch.submit(lines_of(batch, *ids), resources)
        server.cut_after, server.ranges = cut_after, ranges
        found = []
        async with batch.results(remote, resources) as results:
            async for identity, _ in results:
                found.append(identity)
        assert server.cut_after is None
    assert found == ids


async def test_a_users_own_client_carries_files_too(resources, tmp_path):
    import httpx2

    path = tmp_path / "batch.jsonl"
    with serve() as server:
        async with httpx2.AsyncClient() as client:
            batch = deferred(server, http_client=client)
            path.write_bytes(b"\n".join(lines_of(batch, "a", "b")))
            remote = await batch.submit(path, resources)
            assert texts(await read(batch, remote, resources)) == {"a": "answer a", "b": "answer b"}
        assert "transfer-encoding" not in server.seen[0][2]


@virtual
async def test_time_stands_still_while_a_batch_is_handed_in():
    kept = Resources()
    try:
        with serve() as server:
            batch = deferred(server)
            server.faults = [429]
            remote = await batch.submit(lines_of(batch, "a"), kept)
            assert texts(await read(batch, remote, kept)) == {"a": "answer a"}
            assert asyncio.get_running_loop().time() == 0.0
    finally:
        await kept.aclose()


async def test_results_may_be_left_at_any_time(resources):
    with serve() as server:
        batch = deferred(server)
        remote = await batch.submit(lines_of(batch, *map(str, range(500))), resources)
        async with assert_nothing_left():
            own = Resources()
            async with batch.results(remote, own) as results:
                async for identity, _ in results:
                    if identity == "3":
                        break
            await own.aclose()


async def test_a_download_that_stays_cut_ends(resources):
    with serve() as server:
        batch = deferred(server)
        remote = await batch.submit(lines_of(batch, "a"), resources)
        server.faults = [None, *[503] * 5]
        with pytest.raises(EndpointUnavailable, match="503"):
            await read(batch, remote, resources)


async def test_faults_that_pass_are_tried_again(resources):
    with serve() as server:
        server.faults = [500, 0, 429]
        batch = deferred(server)
        remote = await batch.submit(lines_of(batch, "a"), resources)
        server.faults = [503]
        assert (await batch.state(remote, resources)).done == 1
        server.faults = [502]
        await batch.cancel(remote, resources)
        assert (await batch.state(remote, resources)).status == "cancelled"
        server.faults = [401]
        with pytest.raises(RequestRejected, match="401"):
            await batch.state(remote, resources)


async def test_a_batch_whose_answer_was_lost_is_found_and_not_handed_in_again(resources):
    with serve() as server:
        server.faults = [None, 0]  # the file is taken, the answer to the batch is lost
        batch = deferred(server)
        assert await batch.submit(lines_of(batch, "a"), resources, name="run-7") == "batch_1"
        assert list(server.batches) == ["batch_1"]


@pytest.mark.parametrize(("kind", "name"), [("anthropic", "run-7"), ("gemini", "")])
async def test_one_that_can_not_be_found_is_not_handed_in_again(kind, name, resources):
    with serve(kind) as server:
        server.faults = [0]
        batch = deferred(server, kind)
        with pytest.raises(EndpointUnavailable, match="may have been taken"):
            await batch.submit(lines_of(batch, "a"), resources, name=name)
        assert len(server.seen) == 1
        server.faults = [529]
        await batch.submit(lines_of(batch, "a"), resources, name=name)


async def test_bad_batches_are_the_callers_fault(resources, monkeypatch):
    with pytest.raises(UserError, match=r"has no batch API; anthropic:, azure:, .*openai:"):
        Deferred(Endpoint("vllm:m"))
    with pytest.raises(UserError, match="has no batch API"):
        Deferred(Endpoint("builtin:planner"))
    batch = Deferred(Endpoint("anthropic:c", base_url="http://127.0.0.1:1", api_key="k"))
    with pytest.raises(UserError, match="custom_id 'a b' is not taken"):
        batch.line("a b", asked())
    with pytest.raises(UserError, match="the batch has no lines"):
        await batch.submit([], resources)
    batch.most_requests = 1
    with pytest.raises(UserError, match="takes 1 requests, not 2: divide it"):
        await batch.submit(lines_of(batch, "a", "b"), resources)
    batch.most_bytes = 10
    with pytest.raises(UserError, match="takes 10 bytes"):
        await batch.submit(lines_of(batch, "a"), resources)


async def test_results_that_are_none_end_the_reading(resources):
    with serve() as server:
        batch = deferred(server)
        remote = await batch.submit(lines_of(batch, "a"), resources)
        server.files[f"{remote}-output"] = b'{"x": 1}\n'
        with pytest.raises(BadResponse, match="has no custom_id"):
            await read(batch, remote, resources)


async def test_settings_of_the_endpoint_are_in_each_line():
    endpoint = Endpoint("openai:gpt", api_key="k", settings=Settings(temperature=0.5))
    assert b'"temperature":0.5' in Deferred(endpoint).line("a", asked())
