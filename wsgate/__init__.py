"""wsgate: a WebSocket gateway that turns backend events into browser pushes."""
