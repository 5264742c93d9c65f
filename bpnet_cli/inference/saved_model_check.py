"""What a SavedModel may do. Its graph is a program, and TensorFlow can read and write files and run Python in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bpnet_cli.errors import ModelFileError

# Operations of pose networks: those of all backbones and stages, and others that a layer of a network may become.
_OF_NETWORKS = """
Abs Add AddN AddV2 AvgPool BatchMatMulV2 BatchToSpaceND BiasAdd BroadcastTo Cast ClipByValue ConcatV2 Const Conv2D
DepthToSpace DepthwiseConv2dNative Div Elu Equal Exp ExpandDims Fill Floor FloorDiv FloorMod FusedBatchNormV3 GatherV2
Greater GreaterEqual Identity IdentityN LeakyRelu Less LessEqual LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool
Maximum Mean Min Minimum MirrorPad Mul Neg NoOp Pack Pad PadV2 PartitionedCall Placeholder Pow Prod Range Rank
ReadVariableOp RealDiv Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor Rsqrt Select SelectV2 Selu Shape Sigmoid
Slice Softmax Softplus SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square Squeeze StatefulPartitionedCall StopGradient
StridedSlice Sub Sum Tanh Tile Transpose Unpack VarHandleOp ZerosLike
"""
_NETWORK = frozenset(_OF_NETWORKS.split())
# More at the top of the graph, in the function that restores the weights, which loading runs, and in the one that saves
# them, which nothing runs here.
_TOP = _NETWORK | {"AssignVariableOp", "VarIsInitializedOp"}
_RESTORE = _NETWORK | {"AssignVariableOp", "RestoreV2"}
_SAVE = _NETWORK | {"DisableCopyOnRead", "MergeV2Checkpoints", "SaveV2", "ShardedFilename"}
_SAVE |= {"StaticRegexFullMatch", "StringJoin"}


def check_operations(path: str | Path) -> None:
    """Raise ModelFileError where a SavedModel has operations that no network needs, or where none needs them."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel()
    try:
        model.ParseFromString(Path(path, "saved_model.pb").read_bytes())
    except Exception as error:  # noqa: BLE001 - the error types of protobuf's versions share no base but Exception
        raise ModelFileError(f"{path}: TensorFlow can't load it; is the folder complete? ({error})") from None
    for graph in model.meta_graphs:
        for operation in _others(graph):
            raise ModelFileError(
                f"{path}: has the operation {operation!r}, which no pose network needs at its place; it was not loaded"
            )


def _others(graph: Any) -> Iterator[str]:
    """The operations of a graph that are not allowed where they are."""
    functions = {each.signature.name: each.node_def for each in graph.graph_def.library.function}
    top = {node.name: node for node in graph.graph_def.node}
    used = {_node(name) for node in top.values() for name in node.input}
    used |= {_node(tensor.name) for each in graph.signature_def.values() for tensor in each.outputs.values()}
    saves, restores = _node(graph.saver_def.save_tensor_name), _node(graph.saver_def.restore_op_name)
    # What something else uses runs with the network.
    alone = {name for name in (saves, restores) if name in top and name not in used}
    running = _called([node for name, node in top.items() if name not in alone], functions)
    saving, restoring = (_called([top[name]] if name in alone else [], functions) for name in (saves, restores))
    # Loading makes functions callable that nothing calls.
    free = functions.keys() - running - saving - restoring
    running |= free | _called([node for name in free for node in functions[name]], functions)
    yield from (node.op for node in top.values() if node.op not in _TOP)
    for name, nodes in functions.items():
        for names, allowed in ((running, _NETWORK), (restoring, _RESTORE), (saving, _SAVE)):
            yield from (node.op for node in nodes if name in names and node.op not in allowed)


def _node(tensor: str) -> str:
    """The name of the node that makes a tensor, or that an input "^name" waits for."""
    return tensor.removeprefix("^").split(":")[0]


def _called(nodes: Sequence[Any], functions: Mapping[str, Any]) -> set[str]:
    """The names of the functions that nodes call, and of those that these call."""
    left, seen = list(nodes), set[str]()
    while left:
        values = left.pop().attr.values()
        names = {each.name for value in values for each in (value.func, *value.list.func)}
        for name in names & functions.keys() - seen:
            seen.add(name)
            left += functions[name]
    return seen
