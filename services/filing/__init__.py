"""filing: the registry, reopening filings, staff on duty and liaison officers."""
