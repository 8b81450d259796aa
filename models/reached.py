"""What each model reaches: written by scripts/models_page.py from docs/results.json."""

REACHED = {
    "linear-regression": "",
    "linear-model": "",
    "logistic-regression": "",
    "diabetes": "",
    "softmax-regression": "",
    "mlp": "",
    "sigmoid-mlp": "",
    "dropout-mlp": "",
    "deep-convnet": "",
    "convnet": "",
    "lstm": "",
    "neural-network": "",
    "softmax-mlp": "",
    "basic-cnn": "",
    "inception": "",
    "residual-net": "",
    "char-rnn-cell": "",
    "char-rnn": "",
    "char-rnn-embedding": "",
    "name-classifier": "",
}
