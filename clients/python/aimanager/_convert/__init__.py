"""Convert between the caller's Python values and the protobuf messages of aimanager.v1, without network I/O."""
