"""What an operator relies on: workers that die, are replaced, leave, share the load, and cost."""
