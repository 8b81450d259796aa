from ptx.infer.backends.opening import Backend as Backend
from ptx.infer.backends.opening import DeviceBackend as DeviceBackend
from ptx.infer.backends.opening import Factory as Factory
from ptx.infer.backends.opening import Options as Options
from ptx.infer.backends.opening import open_backend as open_backend
from ptx.infer.backends.opening import require_device as require_device
from ptx.infer.backends.registry import BACKENDS as BACKENDS
from ptx.infer.backends.registry import DEVICES as DEVICES
from ptx.infer.backends.registry import PACKAGE_BACKENDS as PACKAGE_BACKENDS
from ptx.infer.backends.registry import BackendEntry as BackendEntry
from ptx.infer.backends.registry import backend_names as backend_names
from ptx.infer.backends.registry import find_backend as find_backend
from ptx.infer.backends.registry import known_backends as known_backends
from ptx.infer.backends.registry import preferred as preferred
from ptx.infer.backends.registry import supports as supports

__all__: list[str]
