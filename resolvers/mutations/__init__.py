"""The root of writing: one file per family."""
