"""Settings: models, sources and their precedence, validation errors."""
