"""The backend for HTML artifacts: runs the JavaScript of the page without a browser."""
