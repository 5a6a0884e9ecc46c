"""HTTP servers for tests, each with one kind of behavior."""
