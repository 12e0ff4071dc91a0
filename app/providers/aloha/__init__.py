"""NCR Aloha Online Ordering: customers and their saved card tokens."""
