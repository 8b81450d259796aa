"""Every error code: its exit code, what it means, what to do. docs/errors.md is made from it."""

from __future__ import annotations

from typing import NamedTuple


class Explained(NamedTuple):
    """One row."""

    exit_codes: tuple[int, ...]
    meaning: str
    todo: str


ERROR_CODES = {
    "E-PTX": Explained((1,), "A fault that has no code of its own.", "Read the message."),
    "E-BUG": Explained((1,), "A fault of ptx itself.", "Report it with the output of `--debug`."),
    "E-AGREEMENT": Explained(
        (1,),
        "An exported file does not compute what the model computes; nothing was written.",
        "Look for what depends on the batch or on values in Python, or take another format.",
    ),
    "E-REPRODUCE": Explained(
        (1,),
        "No part of the network disagrees when it is exported alone.",
        "Export the file again: it is wrong itself.",
    ),
    "E-INT8": Explained(
        (1, 4),
        "A file in int8 does not pass its gates, or stands in the plain one's place.",
        "Take `--quantize-weights int8`, or allow more.",
    ),
    "E-SERVE": Explained(
        (1,),
        "A worker of the server has ended before it was ready.",
        "Start it without `--workers`.",
    ),
    "E-DIVERGED": Explained(
        (1,),
        "The loss of a training is no longer finite.",
        "Give a smaller `--lr`, then `--resume`.",
    ),
    "E-USAGE": Explained(
        (2,),
        "An option, a name or a combination of them does not exist.",
        "Take one that the message lists; `ptx VERB --help` shows two examples.",
    ),
    "E-BACKEND": Explained(
        (3,),
        "The backend is not available here.",
        "Install what the message names, or take another backend; `ptx doctor` tries all.",
    ),
    "E-CLOSED": Explained((3,), "The predictor has been closed.", "Load the file again."),
    "E-CUDA": Explained(
        (3,), "CUDA cannot be used.", "Install the driver or library that the message names."
    ),
    "E-CUDA-NODES": Explained(
        (3,),
        "A part of the graph would run on the CPU.",
        "Export it anew, or take ort-cpu.",
    ),
    "E-DEVICE": Explained(
        (3,), "The device is not available here.", "Take one that the message lists."
    ),
    "E-FORK": Explained(
        (3,), "A predictor was used in a forked child.", "Load the file in the child."
    ),
    "E-INPUT": Explained((4,), "An input cannot be used.", "Read the message."),
    "E-EMPTY": Explained((4,), "A text is empty.", "Give at least one character."),
    "E-NAME": Explained(
        (4,), "An input of the network is missing or unknown.", "Name those listed."
    ),
    "E-NONFINITE": Explained(
        (4,),
        "NaN or infinity, in an input or in what the model answers.",
        "Remove them from the input; of weights, train again; `--allow-nonfinite` where they are meant.",
    ),
    "E-RANGE": Explained(
        (4,), "A value lies outside what the model takes.", "Give one in the range."
    ),
    "E-SHAPE": Explained(
        (4,), "An array has another shape than expected.", "Give the shape named."
    ),
    "E-TYPE": Explained((4,), "The model does not take this kind of input.", "Give the one named."),
    "E-CSV": Explained((4,), "A CSV file cannot be read.", "Mend the line that is named."),
    "E-NPY": Explained(
        (4,), "A .npy file cannot be read.", "Write it with `numpy.save`, plain numbers."
    ),
    "E-DATA": Explained(
        (4,), "A data set does not fit, or has faulty rows.", "Mend what is listed."
    ),
    "E-DATA-DAMAGED": Explained(
        (4,), "A file of a data set is damaged.", "Remove it and fetch it again."
    ),
    "E-DATA-DOWNLOAD": Explained(
        (4,), "A data set cannot be fetched.", "Put its files under `PTX_DATA`, or take `bundled`."
    ),
    "E-IMG-BLANK": Explained((4,), "A picture shows nothing.", "Give one with a figure in it."),
    "E-IMG-DAMAGED": Explained((4,), "A picture is damaged.", "Save or fetch it again."),
    "E-IMG-DEPTH": Explained(
        (4,), "The pixels' depth cannot be read safely.", "Save it with 8 bits."
    ),
    "E-IMG-EMPTY": Explained((4,), "A picture has no bytes or no pixels.", "Save it again."),
    "E-IMG-FORMAT": Explained((4,), "Not a picture of a known format.", "Save it as PNG or JPEG."),
    "E-IMG-FRAMES": Explained((4,), "A picture has several frames.", "Save the one that is meant."),
    "E-IMG-NO-DIGIT": Explained(
        (4,), "Nothing in a picture is like a digit.", "Give one of a digit."
    ),
    "E-IMG-OBJECTS": Explained(
        (4,), "A picture shows several figures.", "Cut out one, or take `ptx predict --all`."
    ),
    "E-IMG-TOO-LARGE": Explained((4,), "A picture has too many pixels.", "Make it smaller."),
    "E-IMG-TRUNCATED": Explained((4,), "A picture ends early.", "Save or fetch it again."),
    "E-IN-EMPTY": Explained((4,), "A folder holds no pictures.", "Give one that does."),
    "E-IN-FORMAT": Explained(
        (4,), "A file of this kind is no input.", "Give .csv, .npy, a value or `-`."
    ),
    "E-IN-LOOP": Explained((4,), "Links lead in a circle.", "Mend the links."),
    "E-IN-MISSING": Explained((4,), "There is no such file.", "Look at the path."),
    "E-IN-NOTFILE": Explained((4,), "Not a regular file.", "Give a file; `-` is standard input."),
    "E-IN-PERM": Explained((4,), "The file may not be read.", "Change its permissions."),
    "E-IN-READ": Explained((4,), "Reading fails.", "Read the system's reason in the message."),
    "E-IN-SIZE": Explained((4,), "The file is too large.", "Give a smaller one."),
    "E-ARTIFACT": Explained(
        (4,), "A checkpoint or an exported file cannot be used.", "Read the message."
    ),
    "E-ARTIFACT-FORMAT": Explained(
        (4,), "The file is no model, or one of another kind.", "Give one."
    ),
    "E-MANIFEST": Explained((4,), "The manifest of a file is faulty.", "Export the model again."),
    "E-MANIFEST-MISSING": Explained(
        (4,), "The file has no manifest.", "Say what it takes with `--spec`."
    ),
    "E-SPEC": Explained((4,), "A model spec does not fit the model.", "Mend the key named."),
    "E-EXPORT": Explained(
        (4,),
        "PyTorch cannot export the network, or no file can hold it.",
        "Do what the message says, or take another format.",
    ),
    "E-EXPORT-AXES": Explained(
        (4,),
        "The exported graph is not right at every size of an axis.",
        "Take the size from the tensor and not from Python, state limits, or take another format.",
    ),
    "E-HASH": Explained(
        (4,), "The file has changed since it was written.", "Export or fetch it again."
    ),
    "E-NETWORK": Explained((4,), "The network cannot be made or run.", "Read the message."),
    "E-NO-ARTIFACT": Explained((4,), "The model has no such file yet.", "Run the commands named."),
    "E-ONNX-MANIFEST": Explained(
        (4,), "The graph differs from the manifest.", "Export the model again."
    ),
    "E-ONNX-EXTERNAL": Explained((4,), "Weights lie outside the file.", "Save it as one file."),
    "E-ONNX-LOAD": Explained(
        (4,), "The runtime cannot load the graph.", "Take another backend or opset."
    ),
    "E-ONNX-OPSET": Explained(
        (4,), "ONNX Runtime is too old for the file.", "Export with `--opset`."
    ),
    "E-ONNX-PARSE": Explained(
        (4,), "The file is not a whole ONNX model.", "Export or fetch it again."
    ),
    "E-ONNX-RUN": Explained(
        (4,), "The runtime fails while it runs the graph.", "Read the message."
    ),
    "E-ONNX-SIGNATURE": Explained(
        (4,), "The graph's inputs or outputs cannot be served.", "Read it."
    ),
    "E-OUTPUT": Explained(
        (4,), "The model gives other outputs than it says.", "Mend the signature."
    ),
    "E-PAGE": Explained((4,), "A page's JavaScript cannot run its model.", "Take another format."),
    "E-PRECISION": Explained(
        (4,), "The network is too rough in its own precision.", "Mend what the message names."
    ),
    "E-RANDOM": Explained(
        (1, 4), "The network answers differently each time.", "Take out what is random."
    ),
    "E-ROWS": Explained(
        (4,), "An answer depends on the rest of the batch, or on its size.", "Mend `forward`."
    ),
    "E-TRAIN-MODE": Explained(
        (4,), "The file was saved in train mode.", "Call `eval()` and save again."
    ),
    "E-RESUME": Explained((4,), "What is there is of another run.", "Leave out `--resume`."),
    "E-STALE": Explained(
        (4,), "The file has other weights than the checkpoint.", "Export it again."
    ),
    "E-TORCH-LOAD": Explained((4,), "PyTorch cannot load the file.", "Export the model again."),
    "E-TORCH-RUN": Explained((4,), "PyTorch fails while it runs the model.", "Read the message."),
    "E-TRITON": Explained((4,), "Triton cannot serve the file.", "Take what the message names."),
    "E-TRUST": Explained(
        (4,),
        "The file is a program that this workspace did not export.",
        "Pass `--trust` if you know who made it.",
    ),
    "E-ZIP": Explained(
        (4,), "The archive is damaged, or no plain one.", "Export or fetch it again."
    ),
    "E-OUT": Explained((5,), "The result cannot be written.", "Read the system's reason."),
    "E-BUSY": Explained((5,), "Another process writes there.", "Wait, or give another."),
    "E-OUT-EXISTS": Explained(
        (5,), "The folder to be written is there already.", "Remove it, or give another."
    ),
    "E-OUT-FILE": Explained((5,), "A file stands where a folder must be.", "Give another path."),
    "E-OUT-FOLDER": Explained(
        (5,), "A folder stands where the file is to be.", "Give a file's name."
    ),
    "E-OUT-PARENT": Explained((5,), "The folder is not there and cannot be made.", "Make it."),
    "E-OUT-PERM": Explained((5,), "The place may not be written to.", "Change its permissions."),
    "E-OUT-SPACE": Explained((5,), "The disk is full.", "Make room."),
    "E-LIMIT": Explained((6,), "A limit was reached.", "Read the message."),
    "E-MEMORY": Explained((6,), "There is too little memory.", "Take smaller batches or inputs."),
    "E-PEER": Explained(
        (6,), "Another process of a training, or workers on Ray, have ended.", "Resume."
    ),
    "E-TIMEOUT": Explained((6,), "Not finished in time.", "Give more time."),
}
