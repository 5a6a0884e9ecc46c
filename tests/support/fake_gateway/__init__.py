"""A gRPC server that plays scripted responses, for client tests."""
