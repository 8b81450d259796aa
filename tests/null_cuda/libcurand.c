#include "null_cuda.h"

MAKES_HANDLE(curandCreateGenerator)
