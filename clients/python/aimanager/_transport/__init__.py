"""The gRPC side: channel, retries, deadlines and errors."""
