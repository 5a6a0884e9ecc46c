"""Detection of artifacts in model output: fenced blocks and files written by tool calls."""
