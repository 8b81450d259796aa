#include "null_cuda.h"

MAKES_HANDLE(cublasCreate_v2)

int cublasGetMathMode(void *handle, int *mode) {
    MAY_FAIL;
    *mode = 0;
    return 0;
}

const char *cublasGetStatusName(int status) {
    return status == 0    ? "CUBLAS_STATUS_SUCCESS"
           : status == 1  ? "CUBLAS_STATUS_NOT_INITIALIZED"
           : status == 3  ? "CUBLAS_STATUS_ALLOC_FAILED"
           : status == 8  ? "CUBLAS_STATUS_ARCH_MISMATCH"
           : status == 13 ? "CUBLAS_STATUS_EXECUTION_FAILED"
                          : "CUBLAS_STATUS_INTERNAL_ERROR";
}

const char *cublasGetStatusString(int status) { return cublasGetStatusName(status); }

NO_EFFECT(cublasDestroy_v2)
NO_EFFECT(cublasSetMathMode)
NO_EFFECT(cublasSetStream_v2)
NO_EFFECT(cublasSgemm_v2)
NO_EFFECT(cublasSgemmBatched)
NO_EFFECT(cublasSgemmStridedBatched)
NO_EFFECT(cublasDgemm_v2)
NO_EFFECT(cublasDgemmBatched)
NO_EFFECT(cublasDgemmStridedBatched)
NO_EFFECT(cublasGemmEx)
NO_EFFECT(cublasGemmBatchedEx)
NO_EFFECT(cublasGemmStridedBatchedEx)
NO_EFFECT(cublasSgeam)
NO_EFFECT(cublasDgeam)
NO_EFFECT(cublasScopy_v2)
NO_EFFECT(cublasSscal_v2)
NO_EFFECT(cublasSgetrfBatched)
NO_EFFECT(cublasSgetriBatched)
NO_EFFECT(cublasDgetrfBatched)
NO_EFFECT(cublasDgetriBatched)
