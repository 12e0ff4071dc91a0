"""The Model Context Protocol: a caller's published documents as tools of language models."""
