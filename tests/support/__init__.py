"""Support code shared by the tests: fakes, test servers, builders of domain objects."""
