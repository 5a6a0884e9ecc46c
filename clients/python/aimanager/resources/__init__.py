"""The sub-clients: models, health and metrics."""
