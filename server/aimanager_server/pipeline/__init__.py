"""What happens during a call: resolve, then the layers, each file one verb."""
