"""From a picture's bytes to the pixels that a person sees."""
