"""The chapters of the rulebook: one for the district, and one for each service with rules."""
