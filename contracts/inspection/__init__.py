"""Commands and events of inspection: patrols, visits, issues, notices, closures, the four slips."""
