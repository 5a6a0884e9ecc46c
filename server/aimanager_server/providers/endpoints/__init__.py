"""Provider endpoints other than generation: embeddings, model lists, token counts."""
