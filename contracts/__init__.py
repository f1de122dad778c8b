"""The contracts: the commands that each service accepts and the events that it publishes."""
