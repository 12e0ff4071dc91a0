"""The mutation type, one file per group of mutations."""
