"""The handlers of filing: functions of a message and a unit of work."""
