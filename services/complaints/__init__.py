"""complaints: what the public reports through 12315, until it is answered."""
