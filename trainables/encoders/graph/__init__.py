"""Networks as graphs: units are nodes, weights and kernels edges."""
