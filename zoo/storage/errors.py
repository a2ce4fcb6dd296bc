"""The error of everything that is wrong with what lies on storage."""


class ZooError(RuntimeError):
    """A store, zoo, shard or manifest is missing, damaged or not what it should be.

    The message names it and says what to do.
    """
