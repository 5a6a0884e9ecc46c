"""Domain types shared by every package: no I/O, no third-party imports."""
