"""Networks by what they make of learned inputs."""
