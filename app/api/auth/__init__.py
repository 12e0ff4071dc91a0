"""Authentication: tokens of people and backends, API keys of partners."""
