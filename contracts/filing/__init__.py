"""Commands and events of filing: the registry, filings to reopen, rosters and liaison officers."""
