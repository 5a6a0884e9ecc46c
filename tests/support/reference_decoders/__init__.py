"""Decode provider responses with the vendors' SDKs, and with the gateway's wires, into comparable answers."""
