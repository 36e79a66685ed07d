"""The page that looks inside variants."""
