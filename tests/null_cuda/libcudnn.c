/* cuDNN: everything succeeds and computes nothing. */

#include "null_cuda.h"

size_t cudnnGetVersion(void) { return setting("NULL_CUDA_CUDNN", 92600); }

size_t cudnnGetCudartVersion(void) { return 13020; }

const char *cudnnGetErrorString(int status) {
    return status == 0      ? "CUDNN_STATUS_SUCCESS"
           : status == 1001 ? "CUDNN_STATUS_NOT_INITIALIZED"
           : status == 4003 ? "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"
           : status == 4004 ? "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
           : status == 5000 ? "CUDNN_STATUS_EXECUTION_FAILED"
                            : "CUDNN_STATUS_INTERNAL_ERROR";
}

void cudnnGetLastErrorString(char *message, size_t length) {
    if (length) *message = 0;
}

MAKES_HANDLE(cudnnCreate)
MAKES_HANDLE(cudnnCreateActivationDescriptor)
MAKES_HANDLE(cudnnCreateConvolutionDescriptor)
MAKES_HANDLE(cudnnCreateDropoutDescriptor)
MAKES_HANDLE(cudnnCreateFilterDescriptor)
MAKES_HANDLE(cudnnCreateLRNDescriptor)
MAKES_HANDLE(cudnnCreatePoolingDescriptor)
MAKES_HANDLE(cudnnCreateReduceTensorDescriptor)
MAKES_HANDLE(cudnnCreateRNNDataDescriptor)
MAKES_HANDLE(cudnnCreateRNNDescriptor)
MAKES_HANDLE(cudnnCreateTensorDescriptor)

NO_EFFECT(cudnnActivationForward)
NO_EFFECT(cudnnAddTensor)
NO_EFFECT(cudnnBatchNormalizationForwardInference)
NO_EFFECT(cudnnBatchNormalizationForwardTraining)
NO_EFFECT(cudnnConvolutionBiasActivationForward)
NO_EFFECT(cudnnConvolutionForward)
NO_EFFECT(cudnnDeriveBNTensorDescriptor)
NO_EFFECT(cudnnDestroy)
NO_EFFECT(cudnnDestroyActivationDescriptor)
NO_EFFECT(cudnnDestroyConvolutionDescriptor)
NO_EFFECT(cudnnDestroyDropoutDescriptor)
NO_EFFECT(cudnnDestroyFilterDescriptor)
NO_EFFECT(cudnnDestroyLRNDescriptor)
NO_EFFECT(cudnnDestroyPoolingDescriptor)
NO_EFFECT(cudnnDestroyReduceTensorDescriptor)
NO_EFFECT(cudnnDestroyRNNDataDescriptor)
NO_EFFECT(cudnnDestroyRNNDescriptor)
NO_EFFECT(cudnnDestroyTensorDescriptor)
NO_EFFECT(cudnnGetStream)
NO_EFFECT(cudnnLRNCrossChannelForward)
NO_EFFECT(cudnnPoolingForward)
NO_EFFECT(cudnnReduceTensor)
NO_EFFECT(cudnnRNNForward)
NO_EFFECT(cudnnSetActivationDescriptor)
NO_EFFECT(cudnnSetConvolutionGroupCount)
NO_EFFECT(cudnnSetConvolutionMathType)
NO_EFFECT(cudnnSetConvolutionNdDescriptor)
NO_EFFECT(cudnnSetDropoutDescriptor)
NO_EFFECT(cudnnSetFilterNdDescriptor)
NO_EFFECT(cudnnSetLRNDescriptor)
NO_EFFECT(cudnnSetPoolingNdDescriptor)
NO_EFFECT(cudnnSetReduceTensorDescriptor)
NO_EFFECT(cudnnSetRNNDataDescriptor)
NO_EFFECT(cudnnSetRNNDescriptor_v8)
NO_EFFECT(cudnnSetStream)
NO_EFFECT(cudnnSetTensorNdDescriptor)
NO_EFFECT(cudnnSoftmaxForward)

int cudnnGetReductionIndicesSize(void *handle, void *reduce, void *in, void *out, size_t *size) {
    MAY_FAIL;
    *size = 0;
    return 0;
}

int cudnnGetReductionWorkspaceSize(void *handle, void *reduce, void *in, void *out, size_t *size) {
    MAY_FAIL;
    *size = 0;
    return 0;
}

int cudnnDropoutGetStatesSize(void *handle, size_t *size) {
    MAY_FAIL;
    *size = 1024;
    return 0;
}

int cudnnGetRNNTempSpaceSizes(void *handle, void *rnn, int mode, void *x, size_t *work, size_t *reserve) {
    MAY_FAIL;
    if (work) *work = 1024;
    if (reserve) *reserve = 1024;
    return 0;
}

/* Enough for the weights of any recurrent layer of the tests. */
int cudnnGetRNNWeightSpaceSize(void *handle, void *rnn, size_t *size) {
    MAY_FAIL;
    *size = 1 << 22;
    return 0;
}

int cudnnGetRNNWeightParams(void *handle, void *rnn, int layer, size_t size, void *space, int part,
                            void *matrix, void **weights, void *vector, void **bias) {
    MAY_FAIL;
    *weights = *bias = space;
    return 0;
}

int cudnnGetTensorNdDescriptor(void *tensor, int most, int *type, int *rank, int *sizes, int *strides) {
    MAY_FAIL;
    if (type) *type = 0;
    if (rank) *rank = 3;
    for (int axis = 0; axis < most && axis < 3; axis++) {
        sizes[axis] = 1;
        if (strides) strides[axis] = 1;
    }
    return 0;
}

/* The graph API, with which ONNX Runtime runs a convolution: one engine is found for everything, and does nothing. */
NO_EFFECT(cudnnBackendDestroyDescriptor)
NO_EFFECT(cudnnBackendExecute)
NO_EFFECT(cudnnBackendFinalize)
NO_EFFECT(cudnnBackendSetAttribute)

int cudnnBackendCreateDescriptor(int type, void **descriptor) {
    static char object[64];
    MAY_FAIL;
    *descriptor = object;
    return 0;
}

/* The numbers of cudnnBackendAttributeName_t in cudnn_graph.h. */
enum {
    HEURISTIC_RESULTS = 202,
    CONFIG_ENGINE = 300,
    CONFIG_SHARED_MEMORY = 304, /* int32 */
    PLAN_WORKSPACE = 402,       /* int64 */
    ENGINE_INDEX = 1301,        /* int64 */
};

int cudnnBackendGetAttribute(void *descriptor, int name, int type, long long asked, long long *count, void *values) {
    MAY_FAIL;
    int bytes = name == CONFIG_SHARED_MEMORY ? 4 : name == PLAN_WORKSPACE || name == ENGINE_INDEX ? 8 : 0;
    if (values) memset(values, 0, bytes);
    if (count) *count = bytes || name == HEURISTIC_RESULTS || name == CONFIG_ENGINE;
    return 0;
}

NO_EFFECT(cudnnFindConvolutionForwardAlgorithmEx)
NO_EFFECT(cudnnGetConvolutionForwardAlgorithm_v7)
NO_EFFECT(cudnnGetConvolutionForwardWorkspaceSize)
