"""A CPU kernel that trains sixteen members at once, one in each SIMD lane, written in Python with Numba.

``backend`` is what the rest of the project sees. Below it, ``packing`` gives members their lanes, ``plan`` says which
values an architecture's layers read and write, and ``program`` makes records and tables of that, in the words of
``codes``; only these are loaded before something is trained. The kernel itself, from the bottom: ``cpu``, ``vectors``
(the SIMD vocabulary), ``product`` (matrix products, where the time goes), ``functions``, ``inputs``, ``layers``,
``pooling``, ``norms``, ``updates`` (optimizers), ``kernel`` (the entry points of training and of forward passes) and
``teaching`` (that of ``students``), compiled on first use and kept by ``cache``.
"""

from zoo.training.lanes.backend import LanesBackend, forward_obstacle, logits
from zoo.training.lanes.students import LaneStudents

__all__ = ["LaneStudents", "LanesBackend", "forward_obstacle", "logits"]
