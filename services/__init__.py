"""The five services; each owns its data and reacts to the others' events."""
