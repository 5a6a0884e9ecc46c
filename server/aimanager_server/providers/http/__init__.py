"""HTTP transport, connection pool, and the provider built on them."""
