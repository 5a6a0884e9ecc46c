"""Third-party providers: interface, registry, isolation."""
