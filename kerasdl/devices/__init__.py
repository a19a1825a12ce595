"""Which devices train, and what Keras gets wrong on several of them."""
