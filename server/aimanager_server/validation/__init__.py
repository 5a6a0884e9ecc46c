"""Validation of requests before any upstream call."""
