"""Calls that are not generations: embeddings and token counts."""
