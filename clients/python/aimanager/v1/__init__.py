"""Generated from proto/aimanager/v1 by `make proto`."""
