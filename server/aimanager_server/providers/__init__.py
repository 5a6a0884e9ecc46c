"""How each provider is asked: one HTTP provider, and one dialect a wire."""
