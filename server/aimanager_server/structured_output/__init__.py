"""JSON Schema prompts and validation of structured answers."""
