"""The sans-IO core: time comes in as a number, bytes go out through a Sink."""
