"""Measure, compare, explain: classical codecs and controls, rate and fidelity, tables, figures, the report."""
