"""The only folder that knows gRPC and protobuf."""
