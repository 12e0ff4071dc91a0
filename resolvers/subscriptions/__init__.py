"""What clients may listen to."""
