"""The macro benchmark: a real gateway, fed by a real NATS server, beside the least a server can do.

``python -m benchmarks.fanout --help`` runs it; ``benchmarks/README.md`` says what the figures mean.
"""
