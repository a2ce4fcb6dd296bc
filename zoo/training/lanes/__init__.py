"""A CPU kernel that trains sixteen members at once, one in each SIMD lane, written in Python with Numba.

``backend`` is what the rest of the project sees. Below it, ``packing`` gives members their lanes and ``program`` turns
an architecture into records and tables; only these are loaded before something is trained. The kernel itself, from the
bottom: ``cpu``, ``vectors`` (the SIMD vocabulary), ``product`` (matrix products, where the time goes), ``functions``,
``inputs``, ``layers``, ``pooling``, ``updates`` (optimizers) and ``kernel`` (the entry points), compiled on first use
and kept by ``cache``.
"""

from zoo.training.lanes.backend import LanesBackend, logits

__all__ = ["LanesBackend", "logits"]
