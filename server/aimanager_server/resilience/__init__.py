"""Mechanisms for failing upstreams: circuit breakers, retries, limits, health."""
