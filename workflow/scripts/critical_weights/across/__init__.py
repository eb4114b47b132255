"""What is said over models, phases and checkpoints."""
