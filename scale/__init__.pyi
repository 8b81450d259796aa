from .records import batch as batch
from .records import prediction_schema as prediction_schema
from .resuming import ResumableOutput as ResumableOutput
from .resuming import open_resumable as open_resumable
from .resuming import select_inputs as select_inputs
from .shards import Shard as Shard

__all__: list[str]
