"""Instruction data in: the pinch pack, local files, and `datasets.Dataset`."""
