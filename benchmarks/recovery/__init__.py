"""Gateways that are killed, and clients that must not notice more than a pause."""
