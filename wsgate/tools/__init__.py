"""Tools beside the gateway. `wsgate serve` never imports this package."""
