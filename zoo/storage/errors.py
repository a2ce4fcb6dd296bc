"""The error of everything that is wrong with what lies on storage."""

# What brings back a shard that is gone: a zoo is either generated or imported.
REMAKE = "run the `zooscale generate` or `zooscale import` of this zoo again"


class ZooError(RuntimeError):
    """A store, zoo, shard or manifest is missing, damaged or not what it should be.

    The message names it and says what to do.
    """
