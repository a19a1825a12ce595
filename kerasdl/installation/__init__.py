"""What is installed here: versions, backend, devices, and what is wrong with them."""
