"""Base model in, tuned model out: the loss on responses alone, batches of like lengths, LoRA or full, resumable."""
