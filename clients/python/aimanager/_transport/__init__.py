"""Run operations over gRPC: endpoint, channels, deadlines, retries and errors."""
