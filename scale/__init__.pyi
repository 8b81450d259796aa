from ptx.scale.records import batch as batch
from ptx.scale.records import prediction_schema as prediction_schema
from ptx.scale.resuming import ResumableOutput as ResumableOutput
from ptx.scale.resuming import open_resumable as open_resumable
from ptx.scale.resuming import select_inputs as select_inputs
from ptx.scale.shards import Shard as Shard

__all__: list[str]
