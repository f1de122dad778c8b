"""gateway: where the outside enters, and where it reads."""
