"""The process that operators see: it keeps sockets and workers, and speaks for all of them."""
