"""The operator's command line, `bihuan`."""
