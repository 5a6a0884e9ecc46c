"""Models, their capabilities and prices."""
