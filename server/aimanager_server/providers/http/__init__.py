"""HTTP transport and the provider built on it."""
