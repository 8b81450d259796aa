"""HTTP: connections and their limits, and what each address answers."""
