"""Extraction of artifacts from answers."""
