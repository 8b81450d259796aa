"""The messages of gRPC, described here field by field: no generated file, no pool shared with others."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

# A message a line: `name type number`, with `*` behind the type of what is repeated, `|` behind that of
# one of several that exclude each other, and `map` before what is found by a text.
_MESSAGES = """
ServerLiveRequest:
ServerLiveResponse: live bool 1
ServerReadyRequest:
ServerReadyResponse: ready bool 1
ModelReadyRequest: name string 1, version string 2
ModelReadyResponse: ready bool 1
ServerMetadataRequest:
ServerMetadataResponse: name string 1, version string 2, extensions string* 3
ModelMetadataRequest: name string 1, version string 2
ModelMetadataResponse.TensorMetadata: name string 1, datatype string 2, shape int64* 3
ModelMetadataResponse: name string 1, versions string* 2, platform string 3, \
inputs ModelMetadataResponse.TensorMetadata* 4, outputs ModelMetadataResponse.TensorMetadata* 5
InferParameter: bool_param bool| 1, int64_param int64| 2, string_param string| 3, \
double_param double| 4, uint64_param uint64| 5
InferTensorContents: bool_contents bool* 1, int_contents int32* 2, int64_contents int64* 3, \
uint_contents uint32* 4, uint64_contents uint64* 5, fp32_contents float* 6, fp64_contents double* 7, \
bytes_contents bytes* 8
ModelInferRequest.InferInputTensor: name string 1, datatype string 2, shape int64* 3, \
parameters map InferParameter 4, contents InferTensorContents 5
ModelInferRequest.InferRequestedOutputTensor: name string 1, parameters map InferParameter 2
ModelInferRequest: model_name string 1, model_version string 2, id string 3, \
parameters map InferParameter 4, inputs ModelInferRequest.InferInputTensor* 5, \
outputs ModelInferRequest.InferRequestedOutputTensor* 6, raw_input_contents bytes* 7
ModelInferResponse.InferOutputTensor: name string 1, datatype string 2, shape int64* 3, \
parameters map InferParameter 4, contents InferTensorContents 5
ModelInferResponse: model_name string 1, model_version string 2, id string 3, \
parameters map InferParameter 4, outputs ModelInferResponse.InferOutputTensor* 5, \
raw_output_contents bytes* 6
ModelStreamInferResponse: error_message string 1, infer_response ModelInferResponse 2
ModelConfigRequest: name string 1, version string 2
ModelInput: name string 1, data_type enum.DataType 2, format enum.ModelInput.Format 3, dims int64* 4
ModelOutput: name string 1, data_type enum.DataType 2, dims int64* 3, label_filename string 4
ModelDynamicBatching:
ModelParameter: string_value string 1
ModelConfig: name string 1, platform string 2, max_batch_size int32 4, input ModelInput* 5, \
output ModelOutput* 6, dynamic_batching ModelDynamicBatching 11, parameters map ModelParameter 14, \
backend string 17
ModelConfigResponse: config ModelConfig 1
ModelStatisticsRequest: name string 1, version string 2
StatisticDuration: count uint64 1, ns uint64 2
InferStatistics: success StatisticDuration 1, fail StatisticDuration 2, queue StatisticDuration 3, \
compute_input StatisticDuration 4, compute_infer StatisticDuration 5, \
compute_output StatisticDuration 6, cache_hit StatisticDuration 7, cache_miss StatisticDuration 8
ModelStatistics: name string 1, version string 2, last_inference uint64 3, inference_count uint64 4, \
execution_count uint64 5, inference_stats InferStatistics 6
ModelStatisticsResponse: model_stats ModelStatistics* 1
RepositoryIndexRequest: repository_name string 1, ready bool 2
RepositoryIndexResponse.ModelIndex: name string 1, version string 2, state string 3, reason string 4
RepositoryIndexResponse: models RepositoryIndexResponse.ModelIndex* 1
RepositoryModelLoadRequest: repository_name string 1, model_name string 2
RepositoryModelLoadResponse:
RepositoryModelUnloadRequest: repository_name string 1, model_name string 2
RepositoryModelUnloadResponse:
SystemSharedMemoryStatusRequest: name string 1
SystemSharedMemoryStatusResponse:
CudaSharedMemoryStatusRequest: name string 1
CudaSharedMemoryStatusResponse:
"""
_ENUMS = {
    "DataType": [
        f"TYPE_{name}" for name in (
            "INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32",
            "INT64", "FP16", "FP32", "FP64", "STRING", "BF16",
        )
    ],
    "ModelInput.Format": ["FORMAT_NONE", "FORMAT_NHWC", "FORMAT_NCHW"],
}  # fmt: skip
METHODS = (
    "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer",
    "ModelConfig", "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad",
    "RepositoryModelUnload", "SystemSharedMemoryStatus", "CudaSharedMemoryStatus",
)  # fmt: skip
STREAM = "ModelStreamInfer"
_FIELD = re.compile(r"(\w+) (map )?(enum\.)?([\w.]+)([*|]?) (\d+)")
_Field = descriptor_pb2.FieldDescriptorProto


def _file() -> Any:
    file: Any = descriptor_pb2.FileDescriptorProto(
        name="grpc_service.proto", package=PACKAGE, syntax="proto3"
    )
    found: dict[str, Any] = {}
    for line in _MESSAGES.strip().split("\n"):
        name, _, fields = line.partition(":")
        outer, _, inner = name.rpartition(".")
        if outer:
            holder = found.get(outer) or file.message_type.add(name=outer)
            found[outer] = holder
            message = holder.nested_type.add(name=inner)
        else:
            message = found.get(name) or file.message_type.add(name=name)
            found[name] = message
        for field in _FIELD.finditer(fields):
            _add_field(message, name, field.groups())
    for name, values in _ENUMS.items():
        outer, _, inner = name.rpartition(".")
        enum = (found[outer] if outer else file).enum_type.add(name=inner)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    service = file.service.add(name=SERVICE.rpartition(".")[2])
    for name in (*METHODS, STREAM):
        given = "ModelInfer" if name == STREAM else name
        service.method.add(
            name=name, input_type=f".{PACKAGE}.{given}Request",
            output_type=f".{PACKAGE}.{name}Response",
            client_streaming=name == STREAM, server_streaming=name == STREAM,
        )  # fmt: skip
    return file


def _add_field(message: Any, owner: str, parts: tuple[str | Any, ...]) -> None:
    name, mapped, enum, kind, mark, number = parts
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if mapped:
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
        entry.field.add(name="value", number=2, type=_Field.TYPE_MESSAGE, type_name=_full(kind),
                        label=_Field.LABEL_OPTIONAL)  # fmt: skip
        kind, mark = f"{owner}.{name.title()}Entry", "*"
    if mark == "*":
        field.label = _Field.LABEL_REPEATED
    elif mark == "|":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if kind[0].islower():
        field.type = _Field.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type = _Field.TYPE_ENUM if enum else _Field.TYPE_MESSAGE
        field.type_name = _full(kind)


def _full(kind: str) -> str:
    return f".{PACKAGE}.{kind}"


POOL: Any = descriptor_pool.DescriptorPool()
POOL.AddSerializedFile(_file().SerializeToString())
_DESCRIBED = POOL.FindFileByName("grpc_service.proto")
MESSAGES: dict[str, Any] = {
    name: message_factory.GetMessageClass(described)
    for name, described in _DESCRIBED.message_types_by_name.items()
}
