"""Super weights: single weights of an MLP's last matrix that make a huge activation, found by the spike they leave."""
