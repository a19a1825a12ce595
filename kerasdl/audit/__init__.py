"""What can be said of any run: for whom it fails, how sure it should be, what breaks it, whose data it gives away."""
