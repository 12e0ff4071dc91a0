"""J.P. Morgan Payments, Consumer Profile Management."""
