"""What training makes small: the loss of sampled candidates, or one of the user."""
