"""The backend for a model as one page: its own JavaScript, in an engine without a browser."""
