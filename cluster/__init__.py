"""Everything that runs on Ray: the command line, generation, search and dashboards."""
