"""Stripe as a vault of Vaultgraph: customers and their PaymentMethods."""
