"""The card of a zoo: what it holds, how it was made, what it is good for, as facts, JSON and a page."""
