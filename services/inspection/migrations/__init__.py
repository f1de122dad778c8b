"""The migrations of inspection: what its tables have become, one revision after the other."""
