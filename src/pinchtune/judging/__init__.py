"""Verdicts: side by side in both orders over a judge, and language fidelity."""
