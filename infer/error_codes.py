"""Every error code: its exit codes, meaning and remedy. docs/reference/errors.md is generated from it."""

from __future__ import annotations

from typing import NamedTuple


class ErrorInfo(NamedTuple):
    """What users need to know about an error code."""

    exit_codes: tuple[int, ...]
    meaning: str
    remedy: str


ERROR_CODES = {
    "E-PTX": ErrorInfo((1,), "An error without a more specific code.", "Read the message."),
    "E-BUG": ErrorInfo(
        (1,), "An internal error of ptx.", "Report it with the output of `--debug`."
    ),
    "E-AGREEMENT": ErrorInfo(
        (1,),
        "The exported model does not compute the same outputs as the original. Nothing was written.",
        "Check the network for code that depends on the batch or on Python values, or use another format.",
    ),
    "E-REPRODUCE": ErrorInfo(
        (1,),
        "No part of the network disagrees when it is exported alone.",
        "The exported file itself is wrong: export it again.",
    ),
    "E-INT8": ErrorInfo(
        (1, 4),
        "The int8 model does not meet the accuracy or speed criteria, or would replace the float model.",
        "Use `--quantize-weights int8`, or relax the criteria.",
    ),
    "E-SERVE": ErrorInfo(
        (1,),
        "A server worker exited before it was ready.",
        "Start the server without `--workers` to see the cause.",
    ),
    "E-DIVERGED": ErrorInfo(
        (1,), "The training loss is no longer finite.", "Use a smaller `--lr`, then `--resume`."
    ),
    "E-USAGE": ErrorInfo(
        (2,),
        "An option, a name or a combination of options is not valid.",
        "Use one that the message lists. `ptx COMMAND --help` shows examples.",
    ),
    "E-BACKEND": ErrorInfo(
        (3,),
        "The backend is not available on this machine.",
        "Install what the message names, or use another backend. `ptx doctor` tests all backends.",
    ),
    "E-PLUGIN": ErrorInfo(
        (3,),
        "A backend, format or preprocessing of an installed package cannot be used, or its package is not installed.",
        "Install, update or uninstall the package that the message names. `ptx doctor` lists what packages add.",
    ),
    "E-CLOSED": ErrorInfo((3,), "The predictor was closed.", "Load the file again."),
    "E-CUDA": ErrorInfo(
        (3,), "CUDA cannot be used.", "Install the driver or library that the message names."
    ),
    "E-CUDA-NODES": ErrorInfo(
        (3,),
        "Part of the graph would run on the CPU.",
        "Export the model again, or use the backend ort-cpu.",
    ),
    "E-DEVICE": ErrorInfo(
        (3,), "The device is not available on this machine.", "Use a device that the message lists."
    ),
    "E-FORK": ErrorInfo(
        (3,),
        "A predictor was used in a forked child process.",
        "Load the file in the child process.",
    ),
    "E-INPUT": ErrorInfo((4,), "An input cannot be used.", "Read the message."),
    "E-EMPTY": ErrorInfo((4,), "A text is empty.", "Pass at least one character."),
    "E-NAME": ErrorInfo(
        (4,), "A model input is missing or unknown.", "Use the input names that the message lists."
    ),
    "E-NONFINITE": ErrorInfo(
        (4,),
        "An input or an output contains NaN or infinity.",
        "Remove such values from the input. If the weights are the cause, train again. If infinities are intended, use `--allow-nonfinite`.",
    ),
    "E-RANGE": ErrorInfo(
        (4,),
        "A value is outside the range that the model accepts.",
        "Use a value in the range that the message shows.",
    ),
    "E-SHAPE": ErrorInfo(
        (4,), "An array has the wrong shape.", "Use the shape that the message shows."
    ),
    "E-TYPE": ErrorInfo(
        (4,), "The input has the wrong type for this model.", "Use the type that the message shows."
    ),
    "E-CSV": ErrorInfo(
        (4,), "A CSV file cannot be read.", "Correct the line that the message shows."
    ),
    "E-NPY": ErrorInfo(
        (4,),
        "A .npy or .npz file cannot be read.",
        "Write it with `numpy.save` or `numpy.savez`, with plain numeric dtypes.",
    ),
    "E-DATA": ErrorInfo(
        (4,),
        "A data set does not match the model, or contains invalid rows.",
        "Correct the rows that the message lists.",
    ),
    "E-DATA-DAMAGED": ErrorInfo(
        (4,), "A file of a data set is damaged.", "Delete it and download it again."
    ),
    "E-DATA-DOWNLOAD": ErrorInfo(
        (4,),
        "A data set cannot be downloaded.",
        "Put its files into the folder `PTX_DATA`, or use `bundled`.",
    ),
    "E-IMG-BLANK": ErrorInfo((4,), "The image is blank.", "Use an image that shows a digit."),
    "E-IMG-DAMAGED": ErrorInfo((4,), "The image file is damaged.", "Save or download it again."),
    "E-IMG-DEPTH": ErrorInfo(
        (4,), "The bit depth of the image is not supported.", "Save it with 8 bits per channel."
    ),
    "E-IMG-EMPTY": ErrorInfo((4,), "The image has no bytes or no pixels.", "Save it again."),
    "E-IMG-FORMAT": ErrorInfo(
        (4,), "The file is not an image in a supported format.", "Save it as PNG or JPEG."
    ),
    "E-IMG-FRAMES": ErrorInfo((4,), "The image has several frames.", "Save one frame as an image."),
    "E-IMG-NO-DIGIT": ErrorInfo(
        (4,), "Nothing in the image resembles a digit.", "Use an image of a digit."
    ),
    "E-IMG-OBJECTS": ErrorInfo(
        (4,), "The image shows several digits.", "Crop it to one digit, or use `ptx predict --all`."
    ),
    "E-IMG-TOO-LARGE": ErrorInfo((4,), "The image has too many pixels.", "Scale it down."),
    "E-IMG-TRUNCATED": ErrorInfo(
        (4,), "The image file is incomplete.", "Save or download it again."
    ),
    "E-IN-EMPTY": ErrorInfo(
        (4,), "The folder contains no usable files.", "Use a folder with input files."
    ),
    "E-IN-FORMAT": ErrorInfo(
        (4,),
        "Files of this type cannot be used as input.",
        "Use a .csv or .npy file, a value, or `-` for standard input.",
    ),
    "E-IN-LOOP": ErrorInfo((4,), "The symbolic links form a loop.", "Correct the links."),
    "E-IN-MISSING": ErrorInfo((4,), "The file does not exist.", "Check the path."),
    "E-IN-NOTFILE": ErrorInfo(
        (4,), "The path is not a regular file.", "Use a regular file, or `-` for standard input."
    ),
    "E-IN-PERM": ErrorInfo(
        (4,), "There is no permission to read the file.", "Change its permissions."
    ),
    "E-IN-READ": ErrorInfo(
        (4,), "Reading the file failed.", "Read the system's reason in the message."
    ),
    "E-IN-SIZE": ErrorInfo((4,), "The file is too large.", "Use a smaller file."),
    "E-ARTIFACT": ErrorInfo(
        (4,), "A checkpoint or an exported file cannot be used.", "Read the message."
    ),
    "E-ARTIFACT-FORMAT": ErrorInfo(
        (4,),
        "The file is not a model, or is a model in another format.",
        "Use a file in a format that the message lists.",
    ),
    "E-MANIFEST": ErrorInfo(
        (4,), "The manifest of a file is not valid.", "Export the model again."
    ),
    "E-MANIFEST-MISSING": ErrorInfo(
        (4,), "The file has no manifest.", "Describe its inputs and outputs with `--spec`."
    ),
    "E-SPEC": ErrorInfo(
        (4,), "A model spec does not match the model.", "Correct the key in the message."
    ),
    "E-EXPORT": ErrorInfo(
        (4,),
        "PyTorch cannot export the network, or the format cannot represent it.",
        "Follow the message, or use another format.",
    ),
    "E-EXPORT-AXES": ErrorInfo(
        (4,),
        "The exported graph is not correct for every size of an axis.",
        "Read the size from the tensor instead of Python, set limits for the axis, or use another format.",
    ),
    "E-HASH": ErrorInfo(
        (4,), "The file has changed since it was written.", "Export or download it again."
    ),
    "E-NETWORK": ErrorInfo((4,), "The network cannot be created or run.", "Read the message."),
    "E-NO-ARTIFACT": ErrorInfo(
        (4,),
        "The model has not been trained or exported yet.",
        "Run the commands that the message shows.",
    ),
    "E-ONNX-MANIFEST": ErrorInfo(
        (4,), "The graph does not match the manifest.", "Export the model again."
    ),
    "E-ONNX-EXTERNAL": ErrorInfo(
        (4,),
        "The weights are in another file, which is missing or outside the model's folder.",
        "Put the file next to the model, or save the model as one file.",
    ),
    "E-ONNX-LOAD": ErrorInfo(
        (4,), "The runtime cannot load the graph.", "Use another backend or opset."
    ),
    "E-ONNX-OPSET": ErrorInfo(
        (4,),
        "The installed ONNX Runtime does not support the opset of the file.",
        "Export with a lower `--opset`.",
    ),
    "E-ONNX-PARSE": ErrorInfo(
        (4,), "The file is not a complete ONNX model.", "Export or download it again."
    ),
    "E-ONNX-RUN": ErrorInfo((4,), "The runtime failed to run the graph.", "Read the message."),
    "E-ONNX-SIGNATURE": ErrorInfo(
        (4,), "The inputs or outputs of the graph are not supported.", "Read the message."
    ),
    "E-OUTPUT": ErrorInfo(
        (4,), "The outputs of the model do not match its signature.", "Correct the signature."
    ),
    "E-PAGE": ErrorInfo(
        (4,), "The JavaScript of an HTML page cannot run the model.", "Use another format."
    ),
    "E-PRECISION": ErrorInfo(
        (4,),
        "The network is too inaccurate in its native precision.",
        "Correct what the message names.",
    ),
    "E-RANDOM": ErrorInfo(
        (1, 4),
        "The network returns different outputs for the same input.",
        "Remove the random operations.",
    ),
    "E-ROWS": ErrorInfo(
        (4,),
        "An output depends on the other rows of the batch, or on the batch size.",
        "Correct `forward`.",
    ),
    "E-TRAIN-MODE": ErrorInfo(
        (4,), "The file was saved in training mode.", "Call `eval()` and save it again."
    ),
    "E-RESUME": ErrorInfo(
        (4,), "The existing files belong to another training run.", "Omit `--resume`."
    ),
    "E-SIGN-CHANGED": ErrorInfo(
        (4,),
        "The file, or a file with its weights, has changed since it was signed.",
        "Download it again, or sign it again if the change was intended.",
    ),
    "E-SIGN-DAMAGED": ErrorInfo(
        (4,),
        "The signature was changed, or is not one of OpenSSF model signing.",
        "Download it again, or sign the file again.",
    ),
    "E-SIGN-EXPIRED": ErrorInfo(
        (4,),
        "The certificate of the signer is not valid now.",
        "Sign the file again with a certificate that is.",
    ),
    "E-SIGN-KEY": ErrorInfo(
        (4,),
        "A key or certificate cannot be used for signatures.",
        "Use a PEM file as the message describes.",
    ),
    "E-SIGN-MISSING": ErrorInfo(
        (4,),
        "The file is not signed.",
        "Put its signature next to it, or sign it with `ptx sign`.",
    ),
    "E-SIGN-SIGNER": ErrorInfo(
        (4,),
        "The signature was not made by the given signer.",
        "Use the public key or the root certificate of whom you expect to have signed the file.",
    ),
    "E-STALE": ErrorInfo(
        (4,), "The file has other weights than the checkpoint.", "Export it again."
    ),
    "E-TORCH-LOAD": ErrorInfo((4,), "PyTorch cannot load the file.", "Export the model again."),
    "E-TORCH-RUN": ErrorInfo((4,), "PyTorch failed to run the model.", "Read the message."),
    "E-TRITON": ErrorInfo((4,), "Triton cannot serve the file.", "Use what the message names."),
    "E-TRUST": ErrorInfo(
        (4,),
        "The file contains code and was not exported in this workspace.",
        "Pass `--trust` if you know who created it.",
    ),
    "E-ZIP": ErrorInfo(
        (4,), "The archive is damaged or not valid.", "Export or download it again."
    ),
    "E-OUT": ErrorInfo(
        (5,), "The output cannot be written.", "Read the system's reason in the message."
    ),
    "E-BUSY": ErrorInfo(
        (5,), "Another process is writing to this path.", "Wait, or use another path."
    ),
    "E-OUT-EXISTS": ErrorInfo(
        (5,), "The output folder already exists.", "Delete it, or use another path."
    ),
    "E-OUT-FILE": ErrorInfo((5,), "A file exists where a folder is required.", "Use another path."),
    "E-OUT-FOLDER": ErrorInfo(
        (5,), "A folder exists where the file is to be written.", "Use the name of a file."
    ),
    "E-OUT-PARENT": ErrorInfo(
        (5,), "The parent folder does not exist and cannot be created.", "Create it."
    ),
    "E-OUT-PERM": ErrorInfo(
        (5,), "There is no permission to write to this path.", "Change its permissions."
    ),
    "E-OUT-SPACE": ErrorInfo((5,), "The disk is full.", "Free some space."),
    "E-LIMIT": ErrorInfo((6,), "A limit was reached.", "Read the message."),
    "E-MEMORY": ErrorInfo((6,), "There is not enough memory.", "Use smaller batches or inputs."),
    "E-PEER": ErrorInfo(
        (6,), "Another training process, or a Ray worker, exited.", "Use `--resume`."
    ),
    "E-TIMEOUT": ErrorInfo((6,), "The operation exceeded the time limit.", "Increase the limit."),
}
