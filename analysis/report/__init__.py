"""The report: one offline HTML file with figures, tables and what was found in words."""
