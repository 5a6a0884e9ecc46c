"""Prompts for JSON output and validation of the answers."""
