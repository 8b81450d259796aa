from .asgi import app as app
from .registry import ModelSource as ModelSource
from .server import serve as serve
from .settings import ServerSettings as ServerSettings
from .settings import Settings as Settings
from .settings import open_access_warning as open_access_warning
from .settings import read_tokens as read_tokens
from .shadow import ShadowSource as ShadowSource

__all__: list[str]
