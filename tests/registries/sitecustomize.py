"""Adds the plugins in a process of its own, where the folder of this file is on PYTHONPATH."""

import plugins

plugins.add()
