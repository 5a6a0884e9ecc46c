"""The names and words by which the errors of providers are recognized.

Names are the `code` and `type` of an error and decide at any status. Messages may quote the prompt: their words decide
only where the status leaves the cause open.
"""

from __future__ import annotations

import re

from ...telemetry.redaction import without_quotations

CONTEXT_NAMES = ("context_length_exceeded", "exceed_context_size")
CONTEXT_PHRASES = (
    "maximum context length",
    "context window",
    "context size",
    "prompt is too long",
    "input is too long",
    "prompt too long",
    "maximum prompt length",
    "exceed context limit",
    "exceeds the maximum number of tokens",
    "maximum allowed number of input tokens",
)
POLICY_NAMES = (
    "content_policy",
    "content_filter",
    "content_blocked",
    "responsibleaipolicyviolation",
    "bio_policy",
    "policy_violation",
    "safety_check",
    "moderation",
    "guardrail",
    "prohibited_content",
    "invalid_prompt",
    "cyber_policy",
)
POLICY_PHRASES = (
    "content exists risk",
    "content management policy",
    "content policy",
    "content filter",
    "content moderation",
    "usage guidelines",
    "usage policy",
    "usage policies",
    "requires moderation",
    "safety_check_type",
    "input was flagged",
    "prompt was flagged",
    "flagged by",
    "blocked by safety",
    "safety policy",
    "safety reasons",
    "safety filter",
    "safety settings",
    "prohibited content",
    "guardrail",
)
"""Words of a refusal for its content. What they recognize wrongly is a refusal as well, and is not sent elsewhere."""

QUOTA_NAMES = (
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_error",
    "billing_not_active",
    "insufficient_balance",
    "insufficient_credits",
    "budget_exceeded",
)
QUOTA_PHRASES = (
    "insufficient balance",
    "insufficient credit",
    "insufficient fund",
    "exceeded your current quota",
    "credit balance",
    "credits are depleted",
    "out of credits",
    "any credits",
    "all available credits",
    "spend limit",
    "spending limit",
    "spend cap",
    "spending cap",
    "monthly limit",
    "monthly usage limit",
    "specified api usage limits",
    "budget has been exceeded",
    "exceededbudget",
    "key limit exceeded",
    "prepay",
)
"""Words of a spend cap or an empty account."""

CREDENTIALS_NAMES = ("invalid_api_key", "api_key_invalid", "authentication_error")
CREDENTIALS_BEGINNING = "incorrect api key provided"
"""How xAI begins the message of a refused key, at status 400."""

FORBIDDEN_CREDENTIALS_NAMES = (
    "api_key",
    "access_token",
    "account_deactivated",
    "account_disabled",
    "account_suspended",
    "consumer_suspended",
    "consumer_invalid",
    "credential",
    "expired_key",
    "invalid_key",
    "invalid_token",
    "key_disabled",
    "key_expired",
    "unauthenticated",
)
"""Names of a status 403 that speak of the API key."""

MODEL_NAMES = re.compile(
    r"model_not_found|model_not_exist|unknown_model|\binvalid_model(?:_name|_id)?\b|model_decommissioned"
    r"|model_deprecated|unavailable_model|deploymentnotfound|\bmodel_unavailable\b",
)
MODEL_PHRASES = re.compile(
    r"invalid model(?: name| id|:)|unknown model|not a valid model|unexpected model name|no such model"
    r"|model identifier is invalid|no healthy deployments|no endpoints found for"
    r"|\bmodel\b.{0,300}?\b(?:not found|not exist|unknown|decommissioned|been (?:retired|deprecated|removed))",
)
"""Words of an unknown model, at status 400, 404 or 422: those of litellm, llama.cpp, OpenRouter, Groq, Mistral, …"""

MODEL_DENIED_NAMES = (
    "model_access_denied",
    "model_permission",
    "model_not_allowed",
    "model_terms_required",
    "not_allowed_model",
)
MODEL_DENIED_PHRASES = re.compile(
    r"(?:access|permi|allowed|authori[sz]ed|blocked|availab|verified|enabled|entitled|terms|subscri).{0,200}?\bmodels?\b"
    r"|\bmodels?\b.{0,200}?(?:access|permi|allowed|authori[sz]ed|blocked|availab|verified|enabled|entitled|terms|subscri)"
)
"""Words of a status 403 that concern one model."""

CREDENTIALS_WORDS = re.compile(
    r"api[ _-]?key|credential|authenticat|access token|bearer|invalid (?:token|key)|virtual key"
    r"|account .{0,40}?(?:suspended|deactivated|disabled|banned)"
)
RIGHTS_WORDS = re.compile(r"permission|permitted|not allowed|access to|scope|not authori[sz]ed")
"""A valid API key that lacks a right for this request is no fault of the key; only a probe tells."""


def is_about_credentials(message: str) -> bool:
    """Return whether the message of a status 403 says that the API key itself is refused.

    >>> messages = ("Your API key was reported as leaked.", "Your API key does not have permission to use this.", "No.")
    >>> [is_about_credentials(message) for message in messages]
    [True, False, False]
    """
    words = without_quotations(message).lower()
    return CREDENTIALS_WORDS.search(words) is not None and RIGHTS_WORDS.search(words) is None


STATE_NAMES = ("invalid_encrypted_content",)
STATE_PHRASES = re.compile(
    r"encrypted[ _]content.{0,300}could not be (?:verified|decrypted)"
    r"|item (?:with id )?'rs_\w{0,100}' (?:was )?not found"
    r"|invalid `?(?:signature|data)`? in `?(?:redacted_)?thinking"
    r"|thinking`? blocks? .{0,100}cannot be modified"
    r"|(?:invalid|corrupted) thought[ _]?signature"
    r"|thought[ _]?signature is (?:not valid|invalid)",
    re.DOTALL,
)
"""Reasoning state that the provider rejects. OpenAI: openai/codex #8145. Claude: anthropics/anthropic-sdk-python #1598.
Gemini: google-gemini/gemini-cli #13467, decolua/9router #301 and lbjlaq/Antigravity-Manager #3342. Read 2026-11-27."""
