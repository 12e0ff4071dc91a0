"""Published documents: the formats partners' builds make, how a file is checked, how a request finds its document."""
