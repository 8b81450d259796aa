#include "null_cuda.h"

MAKES_HANDLE(cublasLtCreate)
MAKES_HANDLE(cublasLtMatmulDescCreate)
MAKES_HANDLE(cublasLtMatmulPreferenceCreate)
MAKES_HANDLE(cublasLtMatrixLayoutCreate)
MAKES_HANDLE(cublasLtMatrixTransformDescCreate)

NO_EFFECT(cublasLtDestroy)
NO_EFFECT(cublasLtMatmul)
NO_EFFECT(cublasLtMatmulAlgoConfigSetAttribute)
NO_EFFECT(cublasLtMatmulAlgoInit)
NO_EFFECT(cublasLtMatmulDescDestroy)
NO_EFFECT(cublasLtMatmulDescSetAttribute)
NO_EFFECT(cublasLtMatmulPreferenceDestroy)
NO_EFFECT(cublasLtMatmulPreferenceSetAttribute)
NO_EFFECT(cublasLtMatrixLayoutDestroy)
NO_EFFECT(cublasLtMatrixLayoutSetAttribute)
NO_EFFECT(cublasLtMatrixTransform)
NO_EFFECT(cublasLtMatrixTransformDescDestroy)

/* No algorithm is found; *found is the last argument. */
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *operation, void *a, void *b, void *c, void *d,
                                   void *preference, int asked, void *results, int *found) {
    MAY_FAIL;
    *found = 0;
    return 0;
}
