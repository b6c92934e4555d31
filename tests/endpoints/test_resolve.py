"""Model strings, keys, and what a fault in them says."""

from __future__ import annotations

import pytest

from agentflow.endpoints import Endpoint
from agentflow.endpoints.faults import retry_after
from agentflow.errors import UserError


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("opnai:gpt-5", "unknown provider `opnai` .*did you mean `openai`"),
        ("scripeted:x.yaml", "did you mean `scripted`"),
        ("gpt-5-mini", "names no provider: write `openai:gpt-5-mini`, or give base_url"),
        ("openai:", "names no model: write `openai:NAME`"),
        ("builtin:planer", "did you mean `planner`"),
    ],
)
def test_an_unknown_model_names_the_nearest(model, said):
    with pytest.raises(UserError, match=said):
        Endpoint(model).check()


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        ("localhost:8000", "no http"),
        ("ftp://x/v1", "no http"),
        ("http://", "no http"),
        ("http://x:99999/", "no http"),
        ("https://user:pw@x/v1", "no user name"),
        ("https://x/v1?key=1", "no user name, query"),
    ],
)
def test_a_base_address_is_checked(base_url, said):
    with pytest.raises(UserError, match=said) as caught:
        Endpoint("m", base_url=base_url).check()
    assert "pw" not in str(caught.value)


def headers(endpoint):
    return endpoint.target.headers()


def test_a_missing_key_is_named_at_first_use_and_by_check(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    endpoint = Endpoint("openai:gpt-5-mini")
    with pytest.raises(UserError, match=r"openai:gpt-5-mini: no API key: set .* OPENAI_API_KEY"):
        endpoint.check()


async def test_a_missing_key_ends_a_call_without_a_try(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(UserError, match="MY_KEY"):
        await Endpoint("m", base_url="http://127.0.0.1:1/v1", api_key_env="MY_KEY").complete("x")


def test_keys_come_from_the_environment_or_dotenv(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    lines = ["# keys", "export OPENAI_API_KEY='from file' # it", "MY_KEY=plain # comment", "BAD", ""]
    (tmp_path / ".env").write_text("\n".join(lines))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="holds spaces") as caught:
        headers(Endpoint("openai:m"))
    assert "from file" not in str(caught.value)
    assert (
        headers(Endpoint("m", base_url="http://x/v1", api_key_env="MY_KEY"))["Authorization"]
        == "Bearer plain"
    )
    monkeypatch.setenv("OPENAI_API_KEY", "from-env")
    endpoint = Endpoint("openai:m")
    assert headers(endpoint)["Authorization"] == "Bearer from-env"
    assert endpoint.target.base_url == "https://api.openai.com/v1"


def test_a_providers_key_goes_to_its_own_host_alone(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-own")
    elsewhere = Endpoint("openai:gpt-5-mini", base_url="http://127.0.0.1:8000/v1")
    assert elsewhere.target.model == "gpt-5-mini"
    assert "Authorization" not in headers(elsewhere)
    lookalike = Endpoint("openai:m", base_url="https://api.openai.com.example.org/v1")
    assert "Authorization" not in headers(lookalike)
    unencrypted = Endpoint("openai:m", base_url="http://api.openai.com/v1")
    assert "Authorization" not in headers(unencrypted)
    named = Endpoint("openai:m", base_url="http://127.0.0.1:8000/v1", api_key_env="OPENAI_API_KEY")
    assert headers(named)["Authorization"] == "Bearer sk-own"


def test_a_base_address_never_comes_from_dotenv(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("OPENAI_BASE_URL=http://evil/v1\nOPENAI_API_KEY=k\n")
    assert Endpoint("openai:m").target.base_url.startswith("https://api.openai.com/")


def test_a_name_with_a_colon_is_a_name_when_there_is_an_address():
    assert Endpoint("qwen3:8b", base_url="http://x/v1/").target.model == "qwen3:8b"
    assert Endpoint("qwen3:8b", base_url="http://x/v1/").target.base_url == "http://x/v1"


def test_the_three_forms_of_retry_after():
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "7", "retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, now=1445412470.0) == 10
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "-1"}) is None
    assert retry_after({}) is None
