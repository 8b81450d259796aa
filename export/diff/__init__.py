"""Where an exported file and the network it was made from begin to differ."""
