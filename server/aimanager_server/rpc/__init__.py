"""The gRPC layer: the only package that imports grpc and protobuf."""
