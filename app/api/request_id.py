"""Generates request ids."""

import os
import time


def new_request_id() -> str:
    """32 hexadecimal digits: milliseconds first, so that ids sort by time, then 80 random bits."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"
