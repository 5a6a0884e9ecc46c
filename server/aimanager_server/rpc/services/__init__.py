"""Implementations of the gRPC services in proto/."""
