"""What all pages are made of: one frame, its blocks, figures, tables, numbers in words, the glossary."""
