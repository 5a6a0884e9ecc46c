"""Metrics, logs and statistics."""
