"""What weights tell: members split for predictions, readouts of embeddings, zoos by zoos."""
