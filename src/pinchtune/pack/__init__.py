"""The pinch pack's files, one per language (docs/pack.md; CC0-1.0, see LICENSE beside them). Read by sources/pack.py."""
