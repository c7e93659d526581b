"""What TLS costs beside plain TCP: memory, deliveries, handshakes."""
