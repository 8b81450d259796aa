from ptx.serve.asgi import app as app
from ptx.serve.registry import ModelSource as ModelSource
from ptx.serve.server import serve as serve
from ptx.serve.settings import ServerSettings as ServerSettings
from ptx.serve.settings import Settings as Settings
from ptx.serve.settings import open_access_warning as open_access_warning
from ptx.serve.settings import read_tokens as read_tokens
from ptx.serve.shadow import ShadowSource as ShadowSource

__all__: list[str]
