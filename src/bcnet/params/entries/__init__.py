"""What the table of methods says of each: its keys in `params.yaml`, and its entry. They load no torch."""
