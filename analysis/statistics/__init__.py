"""Intervals and scores on resamples: hierarchical bootstrap over fits, groups of members and images."""
