"""Azure's two forms of address, and whom its key goes to."""

from __future__ import annotations

import pytest

from agentflow.endpoints import Endpoint
from agentflow.errors import UserError
from agentflow_protocols.chat import ChatRequest

HOST = "https://mine.openai.azure.com"
DATED = "2024-10-21"


def url(model, base_url):
    target = Endpoint(model, base_url=base_url, api_key="k").target
    return target.base_url + target.dialect.path(ChatRequest([]), target.model, True)


@pytest.mark.parametrize("base_url", [HOST, f"{HOST}/", f"{HOST}/openai", f"{HOST}/openai/v1"])
def test_the_v1_api_is_the_usual_one(base_url):
    assert url("azure:my gpt", base_url) == f"{HOST}/openai/v1/chat/completions"
    assert url("azure-responses:gpt", base_url) == f"{HOST}/openai/v1/responses"


@pytest.mark.parametrize("path", ["", "/", "/openai", "/openai/deployments", "/openai/deployments/other"])
def test_a_dated_version_stands_for_the_older_path(path):
    older = f"{HOST}/openai/deployments/my%20gpt"
    base_url = f"{HOST}{path}?api-version={DATED}"
    assert url("azure:my gpt", base_url) == f"{older}/chat/completions?api-version={DATED}"
    target = Endpoint("azure:my gpt", base_url=base_url, api_key="k").target
    assert target.base_url + target.dialect.vectors.path(target.model) == (
        f"{older}/embeddings?api-version={DATED}"
    )


@pytest.mark.parametrize(
    ("model", "base_url", "said"),
    [
        ("azure:gpt", None, "azure:gpt: give base_url, such as https://NAME.openai.azure.com"),
        ("azure:", HOST, "names no model"),
        ("azure:gpt", f"{HOST}?key=1", "no user name, query"),
        ("azure:gpt", f"{HOST}?api-version=1&key=1", "no user name, query"),
        ("azure-responses:gpt", f"{HOST}?api-version={DATED}", "no user name, query"),
        ("azure:gpt", "mine.openai.azure.com", "no http"),
        ("azure:gpt", "https://[", "no http"),
    ],
)
def test_a_wrong_address_is_told(model, base_url, said):
    with pytest.raises(UserError, match=said):
        Endpoint(model, base_url=base_url).check()


def test_the_key_goes_to_hosts_of_azure_alone(monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k-azure")
    for host in (HOST, "https://MINE.services.ai.azure.com", "https://m.cognitiveservices.azure.com"):
        assert Endpoint("azure:gpt", base_url=host).target.headers()["api-key"] == "k-azure"
    for host in (
        "http://mine.openai.azure.com",
        "https://mine.openai.azure.com.example.org",
        "https://xopenai.azure.com",
        "http://127.0.0.1:1",
    ):
        headers = Endpoint("azure:gpt", base_url=host).target.headers()
        assert not headers.keys() & {"api-key", "Authorization"}
