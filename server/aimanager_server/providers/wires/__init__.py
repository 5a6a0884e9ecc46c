"""Wire protocols: pure request encoders, response decoders, stream readers and error mapping."""
