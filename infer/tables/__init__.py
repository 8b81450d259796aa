"""Numbers from files, with nothing guessed."""
