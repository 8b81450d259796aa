"""Messages of the Open Inference Protocol with Triton's extensions.

The `.proto` files are those that Triton publishes, without their comments (the licence is in each);
scripts/setup/grpc_stubs generates the modules.
"""

from __future__ import annotations

from google.protobuf.descriptor_pool import DescriptorPool

# tritonclient and kserve register other versions of the same messages in protobuf's default pool, and
# two versions of a message in one pool are an error: a program may import them next to ptx.
POOL = DescriptorPool()
