"""Provider adapters: wires over one HTTP transport, the mock provider, and plug-ins."""
