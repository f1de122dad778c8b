"""The handlers of complaints: functions of a message and a unit of work."""
