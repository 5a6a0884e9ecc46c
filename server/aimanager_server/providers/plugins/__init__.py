"""Third-party providers: API, registry and isolation."""
