"""What an aggregator costs, and how much later publications are for it."""
