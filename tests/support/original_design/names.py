"""The names in the original design document, by its chapters: classes with their members, functions and components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CHAPTERS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "Core architecture": {
        "AIManager": ["request"],
        "get_provider_class": [],
        "BaseAIProvider": [],
        "ClaudeProvider": [],
        "OpenAIProvider": [],
        "DeepSeekProvider": [],
        "MockProvider": [],
        "AIConfig": [],
        "AIMetrics": [],
        "HealthChecker": [],
        "RateLimiter": [],
        "AILogger": [],
        "Session": [],
    },
    "Provider abstraction layer": {
        "BaseAIProvider": ["__init__", "request", "stream", "get_models", "get_capabilities"],
        "Message": [],
        "ClaudeProvider": [
            "__init__", "request", "_model_mapping", "_format_claude_request", "_enable_reasoning_mode",
            "_normalize_response",
        ],
        "OpenAIProvider": [
            "__init__", "request", "_model_mapping", "_format_openai_request", "_is_reasoning_model",
            "_adapt_for_reasoning_model", "_normalize_response",
        ],
        "AIResponse": [
            "__init__", "__str__", "__repr__", "content", "provider", "model", "usage", "metadata", "artifacts",
            "reasoning",
        ],
        "Artifact": [],
        "ChainableRequest": ["__init__", "with_temperature", "with_reasoning", "attach_file", "send"],
        "Conversation": ["add_file", "_execute_request"],
    },
    "Universal model system": {
        "ModelResolver": [
            "UNIVERSAL_ALIASES", "PROVIDER_MODEL_MAP", "resolve_model", "_get_all_provider_models",
        ],
        "InvalidProviderError": [],
        "InvalidModelError": [],
        "CapabilityMatcher": ["CAPABILITY_MATRIX", "suggest_model", "_get_default_model"],
    },
    "Configuration management": {
        "AIManager": [
            "__init__", "_create_provider", "enable_metrics", "enable_health_checks", "enable_rate_limiting",
            "enable_logging",
        ],
        "AIConfig": [
            "builder", "with_provider", "with_model", "with_timeout", "with_retries", "build", "base_url", "max_tokens",
            "temperature", "timeout", "retries", "enable_streaming", "enable_reasoning", "enable_vision",
            "__post_init__", "_validate_configuration", "_apply_provider_defaults", "_resolve_api_key",
        ],
        "ConfigurationCascade": ["__init__", "add_source", "get_value"],
        "ConfigSource": ["has_key", "get_value"],
    },
    "Request processing pipeline": {
        "RequestPipeline": ["__init__", "process", "_handle_error"],
        "RequestContext": [],
        "MessageNormalizationStage": [],
        "ParameterValidationStage": [],
        "PreprocessingStage": [],
        "RateLimitingStage": [],
        "ProviderCallStage": [],
        "PostprocessingStage": [],
        "ErrorTranslationStage": [],
        "MetricsCollectionStage": [],
        "ResponseNormalizationStage": [],
        "RequestPreprocessor": [
            "preprocess", "_normalize_message", "_normalize_kwargs", "_handle_attachments", "_process_attachment",
            "_encode_file", "_handle_reasoning_mode", "_handle_streaming", "_apply_safety_filters",
        ],
    },
    "Production systems": {
        "AIMetrics": ["__init__", "record_request", "get_summary", "_get_provider_summary", "_get_overall_summary"],
        "MetricsBackend": [],
        "InMemoryMetricsBackend": [],
        "HealthChecker": ["__init__", "check_health", "_make_health_check_request"],
        "HealthStatus": ["HEALTHY", "DEGRADED", "DOWN"],
        "CircuitBreaker": ["failure_threshold", "recovery_timeout", "expected_exception"],
        "CircuitBreakerOpenException": [],
        "RateLimiter": ["__init__", "check_rate_limit", "_create_bucket", "consume", "time_until_refill"],
        "RateLimitConfig": [],
        "RateLimitResult": ["allowed", "retry_after", "message"],
    },
    "Error handling": {
        "AIError": ["__init__", "solution", "context"],
        "ConfigurationError": [],
        "MissingCredentialsError": ["__init__"],
        "ProviderError": ["__init__", "_generate_solution"],
        "RateLimitError": [],
        "ErrorTranslator": [
            "translate_error", "_translate_claude_error", "_translate_openai_error", "_translate_deepseek_error",
        ],
    },
    "Performance engineering": {
        "ConnectionManager": ["__init__", "get_session", "connection_limits"],
        "RequestOptimizer": [
            "__init__", "optimize_request", "batch_size", "batch_timeout", "_optimize_tokens", "_apply_compression",
            "_add_caching_headers",
        ],
        "MemoryManager": ["__init__", "conversation_cache", "response_cache", "cleanup_expired_cache"],
    },
    "Extensibility": {
        "ProviderPlugin": ["get_provider_class", "get_provider_name", "get_requirements"],
        "ProviderRegistry": ["__init__", "register_provider", "get_provider", "_load_built_in_providers"],
        "FeatureExtension": ["get_feature_name", "process_request", "process_response"],
        "FeatureManager": [
            "__init__", "register_extension", "apply_request_extensions", "apply_response_extensions",
        ],
    },
}  # fmt: skip
"""By heading of docs/design-map.md. Members are methods, and fields and constants that a program can see."""

NUMBERS: Mapping[str, Sequence[str]] = {
    "temperature": ["2.0", "0.7", "0.8"],
    "max_tokens": ["4,096", "2,048"],
    "timeout": ["30 s"],
    "retries": ["3"],
    "failure_threshold, recovery_timeout": ["5", "300 s"],
    "retry_after": ["60 s"],
    "connection_limits": ["10", "20", "5"],
    "batch_size, batch_timeout": ["10", "100 ms"],
    "compression": ["1,000 characters"],
    "max_cache_size, last_access": ["1,000", "3,600 s"],
    "repr": ["50"],
    "quality": ["95 %", "100 %", "100 ms", "80 %"],
}
"""By what they are in the document, written as in docs/design-map.md."""
