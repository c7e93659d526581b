"""Hostile clients: what everybody else notices of them."""
