"""Sub-clients of AIManager: `models`, `health` and `metrics`."""
