"""The five services; each owns its data and reacts to what the others say."""
