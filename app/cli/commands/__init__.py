"""Implementations of the `vaultgraph` subcommands, imported on demand to keep startup fast."""
