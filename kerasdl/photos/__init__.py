"""The best honest classifier of a folder of photographs: trained networks, frozen and fine-tuned, next to controls."""
