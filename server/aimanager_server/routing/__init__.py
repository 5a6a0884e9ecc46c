"""Resolve a request into an ordered list of targets with normalized options."""
