"""Domain rules as pure functions: no I/O; the time is a parameter."""
