"""The complaints service: complaints from the public through 12315, until they are answered."""
