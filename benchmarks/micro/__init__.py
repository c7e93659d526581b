"""What one part of the core costs: `python -m pytest benchmarks/micro`."""
