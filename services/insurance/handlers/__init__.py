"""The handlers of insurance: functions of a message and a unit of work."""
