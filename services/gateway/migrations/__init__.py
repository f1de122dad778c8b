"""The migrations of gateway: what its tables have become, one revision after the other."""
