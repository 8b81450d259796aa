"""Files that compute in int8, and the gates that they must pass: see `ptx.export.int8.exporting`."""
