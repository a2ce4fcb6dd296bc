"""Task embeddings after Achille et al., "Task2Vec: Task Embedding for Meta-Learning", ICCV 2019 (arXiv 1902.03545)."""
