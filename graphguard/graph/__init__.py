"""The heterogeneous graph: built, mapped, sampled, propagated, and handed to other libraries."""
