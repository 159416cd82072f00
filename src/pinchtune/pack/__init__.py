"""The pinch pack's files, one per language, CC0-1.0 (LICENSE beside them; docs/pack.md); sources/pack.py reads them."""
