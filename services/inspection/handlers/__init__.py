"""The handlers of inspection: functions of a message and a unit of work."""
