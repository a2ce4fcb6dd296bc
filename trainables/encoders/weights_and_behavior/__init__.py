"""Networks of any layout by features of their weights and of what they do on stored inputs."""
