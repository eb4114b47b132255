"""How the total score is spread over the weights."""
