"""Commands and events of complaints: disputes and reports through 12315, clocks and answers."""
