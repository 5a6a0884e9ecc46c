"""Reference documentation generated from the code. `make docs` writes it into docs/."""
