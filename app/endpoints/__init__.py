"""Outgoing webhooks: sends events to the endpoints of partners and staff, signed as Standard Webhooks say."""
