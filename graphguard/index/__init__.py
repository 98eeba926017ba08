"""Nearest neighbours of embeddings: an exact reference and FAISS behind one protocol."""
