"""The migrations of complaints: what its tables have become, one revision after the other."""
