"""Clients that read nothing: what they cost, what they get later, and whom they hurt."""
