"""A scriptable provider for tests and demos."""
