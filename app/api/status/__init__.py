"""The landing and status page at `/`, from the gateway's own metrics."""
