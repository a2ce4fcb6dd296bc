"""Generation of zoos: drawing members, training shards, storing and committing them."""
