"""Who asks: tokens of people and backends, keys of partner apps."""
