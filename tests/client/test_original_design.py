"""The lines of the original design document work as written, with no server running."""

from __future__ import annotations

from pathlib import Path

import pytest

import aimanager
from aimanager import AIManager

SNIPPETS = {
    # AIManager Constructor Design
    "constructor": """
        ai = AIManager("key", provider="mock")
        assert str(ai.request("hi"))
    """,
    "constructor, smart defaults": """
        ai = AIManager("sk-test")
        assert repr(ai) == "AIManager(target='in process', model='claude/latest')"
    """,
    "constructor, every parameter": """
        ai = AIManager(
            api_key="key", provider="mock", model="latest", config=None, enable_metrics=False,
            enable_health_checks=False, enable_rate_limiting=False, enable_logging=False,
        )
        assert ai.request("hi").content
    """,
    "constructor, production features": """
        ai = AIManager(
            "key", "mock", "fast", enable_metrics=True, enable_health_checks=True, enable_rate_limiting=True,
            enable_logging=True,
        )
        ai.request("hi")
        assert ai.metrics.get_summary("mock").requests_total == 1
    """,
    "constructor, explicit key": """
        for key in ("", None):
            try:
                AIManager(key)
            except ConfigurationError as error:
                assert str(error) == "API key is required and must be a non-empty string"
            else:
                raise AssertionError
    """,
    # Builder Pattern
    "builder": """
        config = AIConfig.builder() \\
            .with_provider("claude") \\
            .with_model("current") \\
            .with_timeout(30.0) \\
            .with_retries(3) \\
            .build()
        assert AIManager("sk-test", config=config).target == "in process"
    """,
    "configuration": """
        config = AIConfig(base_url="https://proxy.example", timeout=30.0, retries=3, enable_streaming=True,
            enable_reasoning=False, enable_vision=True, enable_metrics=False, enable_health_checks=False,
            enable_rate_limiting=False, enable_logging=False)
        assert AIManager("key", provider="mock", config=AIConfig(timeout=30.0)).request("hi").content
    """,
    "configuration, checks": """
        assert AIConfig(temperature=0.7, max_tokens=4096).max_tokens == 4096
        for wrong in ({"temperature": 3.0}, {"max_tokens": 0}):
            try:
                AIConfig(**wrong)
            except ConfigurationError as error:
                assert str(error).startswith(next(iter(wrong)))
            else:
                raise AssertionError
    """,
    # BaseAIProvider, Response Normalization
    "response": """
        response = AIResponse(content="x" * 60, provider="claude", model="m")
        assert str(response) == "x" * 60
        assert repr(response) == f"AIResponse(provider='claude', model='m', content='{'x' * 50}…')"
        response = ai.request("hi")
        assert (response.provider, response.model) == ("mock", "mock-large")
        assert response.usage["input_tokens"] and response.metadata.get("provider") == "mock"
    """,
    "request, options by the document's names": """
        assert ai.request("hi", reasoning_mode=True).content
        assert ai.request("hi", enable_reasoning=True).content
        assert ai.request("hi", response_format={"type": "object"}).content == "{}"
    """,
    "request": """
        response = ai.request("hi [[reply: Hello.]]")
        assert response.content == str(response) == "Hello."
        assert response.usage and response.metadata and not response.artifacts and not response.reasoning
    """,
    "request, attachments as paths": """
        assert ai.request("What is this?", attachments=["doc.txt"]).content
    """,
    "stream": """
        pieces = list(ai.stream("hi [[reply: Hello there.]]"))
        assert all(isinstance(piece, AIResponse) for piece in pieces)
        assert "".join(piece.content for piece in pieces) == "Hello there."
    """,
    # Fluent Request Architecture
    "conversation": """
        conversation = ai.conversation()
        response = conversation.request("prompt").with_temperature(0.8).attach_file("doc.txt").send()
        assert isinstance(response, AIResponse)
        conversation.add_file("doc.txt")
        assert conversation.request("prompt").with_reasoning(True).send().content
        assert isinstance(conversation, Session) and len(conversation.history) == 4
        assert ChainableRequest(conversation, "prompt").with_temperature(0.8).with_reasoning().send().content
    """,
    # Universal Model System
    "aliases": """
        for alias in ("latest", "current", "fast", "reasoning"):
            assert ai.request("hi", model=alias).content
    """,
    "unknown model": """
        try:
            ai.request("hi", model="no-such-model")
        except InvalidModelError as error:
            assert error.solution
        else:
            raise AssertionError
    """,
    "unknown provider": """
        try:
            AIManager("key", provider="nobody").request("hi")
        except InvalidProviderError as error:
            assert error.solution
        else:
            raise AssertionError
    """,
    "capability-based selection": """
        assert ai.suggest_model("claude", ["reasoning", "vision"])
        assert ai.suggest_model("openai", ["function_calling", "structured_output"])
    """,
    # Error Handling Architecture
    "errors are one hierarchy": """
        assert issubclass(ConfigurationError, AIError) and issubclass(MissingCredentialsError, ConfigurationError)
        assert issubclass(ProviderError, AIError) and issubclass(RateLimitError, AIError)
    """,
    "errors can be constructed": """
        error = AIError("It failed", solution="Try again", provider="claude")
        assert (error.solution, error.context["provider"]) == ("Try again", "claude")
        error = MissingCredentialsError("claude", "ANTHROPIC_API_KEY")
        assert error.context["env_var"] == "ANTHROPIC_API_KEY" and "ANTHROPIC_API_KEY" in error.solution
        assert RateLimitError("Claude", "Rate limit exceeded", retry_after=60).retry_after == 60
        assert ProviderError("claude", ValueError("no")).context["provider"] == "claude"
    """,
    "errors of providers": """
        try:
            ai.request("[[error: PROVIDER_RATE_LIMITED retry_after=60]]", timeout=5)
        except RateLimitError as error:
            assert error.retry_after == 60 and error.solution
        else:
            raise AssertionError
    """,
}


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_the_documents_lines_work_as_written(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "doc.txt").write_text("A document.")
    public = {name: getattr(aimanager, name) for name in dir(aimanager) if name[0].isupper()}

    with AIManager("key", provider="mock") as ai:
        exec(compile("if True:\n" + SNIPPETS[snippet], snippet, "exec"), {**public, "ai": ai})
