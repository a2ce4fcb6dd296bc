"""What to try: spaces, constraints and named studies; free of torch and Ray."""
