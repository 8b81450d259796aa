/* What driver_types.h of the nvidia-cuda-runtime wheel includes from the compiler's wheel, nvidia-cuda-crt: marks that
   mean nothing to gcc. */

#define __device_builtin__
#define __device_builtin_texture_type__
#define __device_builtin_surface_type__
#define __cudart_builtin__
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __builtin_align__(bytes) __align__(bytes)
#define CUDARTAPI
