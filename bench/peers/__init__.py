"""The peers: small programs, each written as its own documentation recommends."""
