"""What is trained on: designs, the draw, and the manifest that says which id went to which language."""
