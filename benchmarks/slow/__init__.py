"""Slow clients: what they get, what they cost, and that nobody else notices."""
