"""The outbox: what one connection is still owed, in bounded memory. Compiled code only."""
