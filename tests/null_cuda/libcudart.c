/* The runtime. "Device" memory is the host's, kernels do nothing, and work is done as late or as early as CUDA
   allows, so that a missing synchronisation shows.

   NULL_CUDA_MEMORY  megabytes of the device; 8192.
   NULL_CUDA_EARLY   0: what is put into a stream is done when something waits for it. 1: it is done at once, except
                     in streams of cudaStreamCreateSlow.
   and those of libcuda.c. */

#include "null_cuda.h"

#include <driver_types.h>
#include <pthread.h>

static pthread_mutex_t lock;

__attribute__((constructor)) static void begin(void) {
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&lock, &recursive);
}

/* ---- memory ---- */

struct block {
    char *start;
    size_t size;
    int type; /* cudaMemoryTypeHost or cudaMemoryTypeDevice */
    struct block *next;
};

static struct block *blocks;
static size_t used;

static size_t total(void) { return (size_t)setting("NULL_CUDA_MEMORY", 8192) << 20; }

static struct block *find(const void *pointer) {
    const char *place = pointer;
    for (struct block *one = blocks; one; one = one->next)
        if (place >= one->start && place < one->start + one->size) return one;
    return NULL;
}

static int allocate(void **pointer, size_t size, int type) {
    pthread_mutex_lock(&lock);
    int full = type == cudaMemoryTypeDevice && used + size > total();
    char *start = full ? NULL : aligned_alloc(256, (size + 511) / 256 * 256);
    if (start) {
        memset(start, 0, size); /* so that answers are zeros, and not sometimes NaN */
        struct block *one = malloc(sizeof *one);
        *one = (struct block){start, size, type, blocks};
        blocks = one;
        if (type == cudaMemoryTypeDevice) used += size;
    }
    pthread_mutex_unlock(&lock);
    *pointer = start;
    return start ? 0 : cudaErrorMemoryAllocation;
}

static void flush_all(void);

static int release(void *pointer) {
    pthread_mutex_lock(&lock);
    flush_all(); /* cudaFree waits for the device */
    int status = pointer ? cudaErrorInvalidValue : 0;
    for (struct block **place = &blocks; *place; place = &(*place)->next) {
        struct block *one = *place;
        if (one->start != pointer) continue;
        *place = one->next;
        if (one->type == cudaMemoryTypeDevice) used -= one->size;
        memset(one->start, 0xDD, one->size); /* who still reads it sees that it is gone */
        free(one->start);
        free(one);
        status = 0;
        break;
    }
    pthread_mutex_unlock(&lock);
    return status;
}

int cudaMalloc(void **pointer, size_t size) {
    MAY_FAIL;
    int status = allocate(pointer, size, cudaMemoryTypeDevice);
    record(__func__, "%p size %zu", *pointer, size);
    return status;
}

int cudaMallocFromPoolAsync(void **pointer, size_t size, void *pool, void *stream) {
    MAY_FAIL;
    return allocate(pointer, size, cudaMemoryTypeDevice);
}

int cudaHostAlloc(void **pointer, size_t size, unsigned flags) {
    MAY_FAIL;
    return allocate(pointer, size, cudaMemoryTypeHost);
}

int cudaMallocHost(void **pointer, size_t size) {
    MAY_FAIL;
    return allocate(pointer, size, cudaMemoryTypeHost);
}

int cudaFree(void *pointer) {
    MAY_FAIL;
    record(__func__, "%p", pointer);
    return release(pointer);
}

int cudaFreeAsync(void *pointer, void *stream) {
    MAY_FAIL;
    return release(pointer);
}

int cudaFreeHost(void *pointer) {
    MAY_FAIL;
    return release(pointer);
}

int cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    MAY_FAIL;
    *total_bytes = total();
    *free_bytes = total() > used ? total() - used : 0;
    return 0;
}

int cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *pointer) {
    MAY_FAIL;
    memset(attributes, 0, sizeof *attributes);
    pthread_mutex_lock(&lock);
    struct block *one = find(pointer);
    attributes->type = one ? one->type : cudaMemoryTypeUnregistered;
    attributes->devicePointer = attributes->hostPointer = (void *)pointer;
    pthread_mutex_unlock(&lock);
    return 0;
}

/* ---- streams ---- */

struct stream;

struct work {
    enum { COPY, SET, WAIT, CALL } kind;
    void *to;
    const void *from;
    size_t size;
    int value;
    void *staged; /* a copy of pageable memory, which the caller may change at once */
    struct stream *other;
    size_t position;
    void (*function)(void *);
};

struct stream {
    struct work *queue;
    size_t count, done, room;
    int device, slow;
};

struct event {
    struct stream *stream;
    size_t position;
};

static __thread int current; /* the device of this thread */
static struct stream default_streams[16], *all_streams[4096];
static size_t stream_count;

static struct stream *stream_of(void *handle) { /* 0, 1 and 2 are the default streams of the device */
    return (size_t)handle <= 2 ? &default_streams[current] : handle;
}

static int is_blocked(const struct work *work) {
    return work->kind == WAIT && work->other->done < work->position;
}

static void run_until(struct stream *stream, size_t position) {
    while (stream->done < position) {
        struct work work = stream->queue[stream->done++];
        if (work.kind == COPY) memmove(work.to, work.staged ? work.staged : work.from, work.size);
        if (work.kind == SET) memset(work.to, work.value, work.size);
        if (work.kind == WAIT) run_until(work.other, work.position);
        if (work.kind == CALL) work.function(work.to);
        free(work.staged);
    }
}

static void flush(struct stream *stream) { run_until(stream, stream->count); }

static void flush_all(void) {
    flush(&default_streams[current]);
    for (size_t index = 0; index < stream_count; index++)
        if (all_streams[index]->device == current) flush(all_streams[index]);
}

static void put(struct stream *stream, struct work work) {
    if (stream->count == stream->room) {
        stream->room = stream->room ? 2 * stream->room : 64;
        stream->queue = realloc(stream->queue, stream->room * sizeof *stream->queue);
    }
    stream->queue[stream->count++] = work;
    if (stream->slow || !setting("NULL_CUDA_EARLY", 0)) return;
    while (stream->done < stream->count && !is_blocked(&stream->queue[stream->done]))
        run_until(stream, stream->done + 1);
}

static int create_stream(void **handle) {
    pthread_mutex_lock(&lock);
    struct stream *stream = calloc(1, sizeof *stream); /* kept: an event may still name it */
    stream->device = current;
    all_streams[stream_count++] = stream;
    pthread_mutex_unlock(&lock);
    *handle = stream;
    record("cudaStreamCreate", "%p", *handle);
    return 0;
}

int cudaStreamCreate(void **handle) {
    MAY_FAIL;
    return create_stream(handle);
}

int cudaStreamCreateWithFlags(void **handle, unsigned flags) {
    MAY_FAIL;
    return create_stream(handle);
}

/* No function of CUDA: a stream whose work always takes long. */
int cudaStreamCreateSlow(void **handle) {
    create_stream(handle);
    ((struct stream *)*handle)->slow = 1;
    return 0;
}

int cudaStreamDestroy(void *handle) {
    MAY_FAIL;
    record(__func__, "%p", handle);
    pthread_mutex_lock(&lock);
    flush(stream_of(handle));
    pthread_mutex_unlock(&lock);
    return 0;
}

int cudaStreamSynchronize(void *handle) {
    record(__func__, "%p", handle);
    MAY_FAIL;
    pthread_mutex_lock(&lock);
    flush(stream_of(handle));
    pthread_mutex_unlock(&lock);
    return 0;
}

int cudaDeviceSynchronize(void) {
    record(__func__, " ");
    MAY_FAIL;
    pthread_mutex_lock(&lock);
    flush_all();
    pthread_mutex_unlock(&lock);
    return 0;
}

int cudaStreamIsCapturing(void *handle, int *status) {
    MAY_FAIL;
    *status = 0;
    return 0;
}

int cudaLaunchHostFunc(void *handle, void (*function)(void *), void *data) {
    MAY_FAIL;
    pthread_mutex_lock(&lock);
    put(stream_of(handle), (struct work){.kind = CALL, .function = function, .to = data});
    flush(stream_of(handle)); /* what it wakes may be waited for without a synchronisation */
    pthread_mutex_unlock(&lock);
    return 0;
}

static int create_event(void **handle) {
    *handle = calloc(1, sizeof(struct event));
    return 0;
}

int cudaEventCreate(void **handle) {
    MAY_FAIL;
    return create_event(handle);
}

int cudaEventCreateWithFlags(void **handle, unsigned flags) {
    MAY_FAIL;
    return create_event(handle);
}

int cudaEventDestroy(void *handle) {
    MAY_FAIL;
    free(handle);
    return 0;
}

static int record_event(struct event *event, void *handle) {
    pthread_mutex_lock(&lock);
    event->stream = stream_of(handle);
    event->position = event->stream->count;
    pthread_mutex_unlock(&lock);
    record("cudaEventRecord", "%p stream %p", (void *)event, handle);
    return 0;
}

int cudaEventRecord(void *event, void *handle) {
    MAY_FAIL;
    return record_event(event, handle);
}

int cudaEventRecordWithFlags(void *event, void *handle, unsigned flags) {
    MAY_FAIL;
    return record_event(event, handle);
}

int cudaEventSynchronize(void *handle) {
    MAY_FAIL;
    struct event *event = handle;
    pthread_mutex_lock(&lock);
    if (event->stream) run_until(event->stream, event->position);
    pthread_mutex_unlock(&lock);
    return 0;
}

int cudaEventElapsedTime(float *milliseconds, void *from, void *to) {
    MAY_FAIL;
    *milliseconds = 1;
    return 0;
}

int cudaStreamWaitEvent(void *handle, void *waited, unsigned flags) {
    MAY_FAIL;
    struct event *event = waited;
    record(__func__, "%p event %p", handle, waited);
    pthread_mutex_lock(&lock);
    if (event->stream)
        put(stream_of(handle),
            (struct work){.kind = WAIT, .other = event->stream, .position = event->position});
    pthread_mutex_unlock(&lock);
    return 0;
}

/* ---- copies ---- */

static const char *direction(const void *to, const void *from) {
    int types[2] = {cudaMemoryTypeUnregistered, cudaMemoryTypeUnregistered};
    const void *places[2] = {from, to};
    for (int side = 0; side < 2; side++) {
        struct block *one = find(places[side]);
        if (one) types[side] = one->type;
    }
    int on_device[2] = {types[0] == cudaMemoryTypeDevice, types[1] == cudaMemoryTypeDevice};
    if (on_device[0] && on_device[1]) return "device to device";
    if (on_device[0]) return "device to host";
    return on_device[1] ? "host to device" : "host to host";
}

int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *handle) {
    MAY_FAIL;
    pthread_mutex_lock(&lock);
    record("cudaMemcpy", "%s size %zu stream %p", direction(to, from), size, handle);
    struct stream *stream = stream_of(handle);
    struct work work = {.kind = COPY, .to = to, .from = from, .size = size};
    if (!find(from)) {
        work.staged = malloc(size ? size : 1);
        memcpy(work.staged, from, size);
    }
    put(stream, work);
    if (!find(to)) flush(stream); /* into pageable memory: it has arrived on return */
    pthread_mutex_unlock(&lock);
    return 0;
}

int cudaMemcpy(void *to, const void *from, size_t size, int kind) {
    MAY_FAIL;
    pthread_mutex_lock(&lock);
    record(__func__, "%s size %zu", direction(to, from), size);
    flush(&default_streams[current]);
    memmove(to, from, size);
    pthread_mutex_unlock(&lock);
    return 0;
}

int cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                      size_t height, int kind, void *handle) {
    MAY_FAIL;
    for (size_t row = 0; row < height; row++)
        cudaMemcpyAsync((char *)to + row * to_pitch, (const char *)from + row * from_pitch, width, kind, handle);
    return 0;
}

int cudaMemset(void *to, int value, size_t size) {
    MAY_FAIL;
    pthread_mutex_lock(&lock);
    flush(&default_streams[current]);
    memset(to, value, size);
    pthread_mutex_unlock(&lock);
    return 0;
}

int cudaMemsetAsync(void *to, int value, size_t size, void *handle) {
    MAY_FAIL;
    pthread_mutex_lock(&lock);
    put(stream_of(handle), (struct work){.kind = SET, .to = to, .value = value, .size = size});
    pthread_mutex_unlock(&lock);
    return 0;
}

/* ---- devices ---- */

int cudaGetDeviceCount(int *count) {
    MAY_FAIL;
    *count = device_count();
    return *count ? 0 : cudaErrorNoDevice;
}

int cudaGetDevice(int *device) {
    MAY_FAIL;
    *device = current;
    return 0;
}

int cudaSetDevice(int device) {
    record(__func__, "%d", device);
    MAY_FAIL;
    if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
    current = device;
    return 0;
}

int cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
    MAY_FAIL;
    int capability = setting("NULL_CUDA_CAPABILITY", 80);
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "null device %d", device);
    properties->totalGlobalMem = total();
    properties->sharedMemPerBlock = 49152;
    properties->regsPerBlock = 65536;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->maxGridSize[0] = 2147483647;
    properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
    properties->major = capability / 10;
    properties->minor = capability % 10;
    properties->multiProcessorCount = 108;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->sharedMemPerMultiprocessor = 167936;
    properties->sharedMemPerBlockOptin = 166912;
    return 0;
}

int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    MAY_FAIL;
    int capability = setting("NULL_CUDA_CAPABILITY", 80);
    *value = attribute == cudaDevAttrComputeCapabilityMajor   ? capability / 10
             : attribute == cudaDevAttrComputeCapabilityMinor ? capability % 10
             : attribute == cudaDevAttrMultiProcessorCount    ? 108
                                                              : 1;
    return 0;
}

int cudaRuntimeGetVersion(int *version) {
    MAY_FAIL;
    *version = 13020;
    return 0;
}

int cudaDriverGetVersion(int *version) {
    MAY_FAIL;
    *version = setting("NULL_CUDA_DRIVER", 13020);
    return 0;
}

/* ---- errors ---- */

static const struct {
    int status;
    const char *name, *text;
} errors[] = {
    {0, "cudaSuccess", "no error"},
    {1, "cudaErrorInvalidValue", "invalid argument"},
    {2, "cudaErrorMemoryAllocation", "out of memory"},
    {3, "cudaErrorInitializationError", "initialization error"},
    {35, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
    {36, "cudaErrorCallRequiresNewerDriver", "API call is not supported in the installed CUDA driver"},
    {46, "cudaErrorDevicesUnavailable", "CUDA-capable device(s) is/are busy or unavailable"},
    {100, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {101, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {209, "cudaErrorNoKernelImageForDevice", "no kernel image is available for execution on the device"},
    {214, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {700, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {719, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {801, "cudaErrorNotSupported", "operation not supported"},
    {802, "cudaErrorSystemNotReady", "system not yet initialized"},
    {999, "cudaErrorUnknown", "unknown error"},
};

const char *cudaGetErrorString(int status) {
    for (size_t row = 0; row < sizeof errors / sizeof *errors; row++)
        if (errors[row].status == status) return errors[row].text;
    return "unrecognized error code";
}

const char *cudaGetErrorName(int status) {
    for (size_t row = 0; row < sizeof errors / sizeof *errors; row++)
        if (errors[row].status == status) return errors[row].name;
    return "unrecognized error code";
}

NO_EFFECT(cudaGetLastError)
NO_EFFECT(cudaPeekAtLastError)

/* ---- kernels, graphs, pools ---- */

static int no_operation(void) { return 0; }

NO_EFFECT(cudaLaunchKernel)
NO_EFFECT(__cudaLaunchKernel)
NO_EFFECT(cudaLaunchKernelExC)
NO_EFFECT(cudaLaunchCooperativeKernel)
NO_EFFECT(cudaFuncSetAttribute)
NO_EFFECT(cudaKernelSetAttributeForDevice)
NO_EFFECT(cudaStreamBeginCapture)
NO_EFFECT(cudaGraphLaunch)
NO_EFFECT(cudaGraphDestroy)
NO_EFFECT(cudaGraphExecDestroy)
NO_EFFECT(cudaLibraryUnload)
NO_EFFECT(cudaMemPoolDestroy)
NO_EFFECT(cudaMemPoolSetAttribute)
NO_EFFECT(cudaMemPoolTrimTo)
MAKES_HANDLE(cudaGraphInstantiate)
MAKES_HANDLE(cudaLibraryLoadData)
MAKES_HANDLE(cudaLibraryGetKernel)
MAKES_HANDLE(cudaMemPoolCreate)

/* Called thousands of times while the library is loaded, and never failing: nothing of these is logged. */
int __cudaRegisterFatBinaryEnd(void) { return 0; }
int __cudaRegisterFunction(void) { return 0; }
int __cudaRegisterVar(void) { return 0; }
int __cudaUnregisterFatBinary(void) { return 0; }
int __cudaPushCallConfiguration(void) { return 0; }

void **__cudaRegisterFatBinary(void *binary) {
    static void *handle;
    return &handle;
}

int __cudaPopCallConfiguration(void *grid, void *block, size_t *shared, void **stream) {
    *shared = 0;
    *stream = NULL;
    return 0;
}

int __cudaGetKernel(void **kernel, const void *function) {
    *kernel = (void *)function;
    return 0;
}

int cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function) {
    MAY_FAIL;
    memset(attributes, 0, sizeof *attributes);
    attributes->maxThreadsPerBlock = 1024;
    attributes->numRegs = 32;
    return 0;
}

int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *count, const void *function, int block,
                                                           size_t shared, unsigned flags) {
    MAY_FAIL;
    *count = 1;
    return 0;
}

int cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version,
                                     unsigned long long flags, int *found) {
    MAY_FAIL;
    *function = (void *)no_operation;
    if (found) *found = 0;
    return 0;
}

int cudaStreamEndCapture(void *stream, void **graph) {
    static char object[64];
    MAY_FAIL;
    *graph = object;
    return 0;
}

int cudaMemPoolGetAttribute(void *pool, int attribute, void *value) {
    MAY_FAIL;
    *(unsigned long long *)value = 0;
    return 0;
}

int cudaMemcpyFromSymbol(void *to, const void *symbol, size_t size, size_t offset, int kind) {
    MAY_FAIL;
    memset(to, 0, size);
    return 0;
}
