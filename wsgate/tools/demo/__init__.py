"""`wsgate demo`: the whole path, from a trade in a backend to a price moving in a browser.

A seeded token market (``market``) is published (``backend``) to a real NATS server
(``nats_server``); the gateway takes it from there to a live page (``page``, ``static/``).
``run`` puts them together.
"""
