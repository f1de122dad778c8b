"""What is said: the commands that each service accepts and the events that it publishes."""
