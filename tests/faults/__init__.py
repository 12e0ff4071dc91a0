"""What every fault of the sandbox costs, generated."""
