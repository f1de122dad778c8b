"""The peers: small programs, each written as its documentation recommends."""
