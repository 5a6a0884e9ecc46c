"""Provider adapters: wires over one HTTP transport, the mock and plug-ins."""
