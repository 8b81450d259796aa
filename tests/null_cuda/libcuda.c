/* The driver, as far as ptx and ONNX Runtime ask it themselves.

   NULL_CUDA_DEVICES     how many devices there are; 1. CUDA_VISIBLE_DEVICES= hides them.
   NULL_CUDA_DRIVER      the CUDA version that the driver offers; 13020 is 13.2.
   NULL_CUDA_CAPABILITY  the compute capability of all devices; 80 is 8.0. */

#include "null_cuda.h"

int cuInit(unsigned flags) {
    MAY_FAIL;
    return device_count() ? 0 : 100;
}

int cuDeviceGetCount(int *count) {
    MAY_FAIL;
    *count = device_count();
    return 0;
}

int cuDeviceGet(int *device, int ordinal) {
    MAY_FAIL;
    *device = ordinal;
    return ordinal < device_count() ? 0 : 101;
}

int cuDeviceGetName(char *name, int length, int device) {
    MAY_FAIL;
    snprintf(name, length, "null device %d", device);
    return 0;
}

int cuDriverGetVersion(int *version) {
    MAY_FAIL;
    *version = setting("NULL_CUDA_DRIVER", 13020);
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    MAY_FAIL;
    int capability = setting("NULL_CUDA_CAPABILITY", 80);
    *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : 1;
    return 0;
}

#ifndef OLD_DRIVER
NO_EFFECT(cuTensorMapEncodeTiled)
#endif
