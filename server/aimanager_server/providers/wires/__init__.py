"""Wire protocols: pure encoders, decoders, stream readers and error mappers."""
