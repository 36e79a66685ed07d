"""What changed inside variants: their layers, their answers and their chains."""
