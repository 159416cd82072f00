"""Numbers: discounted ties, language fidelity and their averages over languages, each with its interval."""
