"""Implementations of the services in proto/."""
