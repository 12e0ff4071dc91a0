"""Published documents: manifest formats, checks before publication, and lookup by requests."""
