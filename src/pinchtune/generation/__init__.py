"""Answers: prompts in, what a model says out, over an engine behind a small protocol."""
