"""Parallel data: the driver, its cache, protected spans, integrity checks, and engines behind one protocol."""
