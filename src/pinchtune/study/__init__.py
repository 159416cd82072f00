"""A whole study: the graph of steps, what is already there, and running it; resumable after any kill."""
