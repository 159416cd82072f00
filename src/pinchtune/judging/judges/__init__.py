"""Judges, one a file; `pinchtune.plugins` names them."""
