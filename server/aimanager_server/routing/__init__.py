"""Resolve a request into targets: names, capabilities, order, options."""
