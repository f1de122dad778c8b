"""The filing service: the registry, reopening filings, rosters and liaison officers."""
