"""The AI Manager server: one typed gRPC API in front of many model providers."""
