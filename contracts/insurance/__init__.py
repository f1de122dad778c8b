"""Commands and events of insurance: cover of small enterprises and medics, and claims."""
