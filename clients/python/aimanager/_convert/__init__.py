"""Pure conversion between Python values and protobuf messages."""
