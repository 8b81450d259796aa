"""The measured results of each model: written by scripts/catalog/models_page.py."""

BENCHMARK_RESULTS = {
    "linear-regression": "test loss 0.1041 (0.1041 to 0.1041, 3 seeds)",
    "linear-model": "test loss 0.0069 (0.0011 to 0.0477, 3 seeds)",
    "logistic-regression": "100.00 % (100.00 to 100.00, 3 seeds)",
    "diabetes": "81.82 % (79.22 to 81.82, 3 seeds); documented 64.94 % (64.94 to 64.94, 3 seeds); 76.86 % (74.68 to 81.17, the mean of 5 folds)",
    "softmax-regression": "92.56 % (92.55 to 92.56, 2 seeds)",
    "mlp": "97.99 %",
    "sigmoid-mlp": "97.50 %; one-cycle 98.44 % (98.40 to 98.46, 3 seeds)",
    "dropout-mlp": "98.56 %",
    "deep-convnet": "99.29 %",
    "convnet": "99.07 % (98.98 to 99.17, 3 seeds); documented 93.55 %; fast 99.18 % (99.17 to 99.21, 3 seeds)",
    "lstm": "98.68 %",
    "neural-network": "88.69 % (88.11 to 88.92, 3 seeds); 98.15 % (97.89 to 98.17, 3 seeds) on mnist",
    "softmax-mlp": "97.67 %",
    "basic-cnn": "98.90 %",
    "inception": "98.93 %; one-cycle 99.32 %",
    "residual-net": "99.07 %; one-cycle 99.39 %",
    "char-rnn-cell": "100.00 % (100.00 to 100.00, 3 seeds); documented 100.00 % (80.00 to 100.00, 3 seeds)",
    "char-rnn": "100.00 % (100.00 to 100.00, 3 seeds); documented 80.00 % (60.00 to 100.00, 3 seeds)",
    "char-rnn-embedding": "100.00 % (100.00 to 100.00, 3 seeds); documented 100.00 % (100.00 to 100.00, 3 seeds)",
    "name-classifier": "78.91 % (77.52 to 78.91, 2 seeds)",
}
