"""The AI Manager server: one typed gRPC API in front of every model provider."""
