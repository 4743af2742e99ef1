// The stand-in's types of the CUDA runtime: names and values of CUDA 13. Structs have only the members that tenon uses.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "vector_types.h"

// error(name, value, text)
#define SIMT_ERRORS(error)                                                                                    \
  error(cudaSuccess, 0, "no error")                                                                           \
  error(cudaErrorInvalidValue, 1, "invalid argument")                                                         \
  error(cudaErrorMemoryAllocation, 2, "out of memory")                                                        \
  error(cudaErrorInitializationError, 3, "initialization error")                                              \
  error(cudaErrorInvalidConfiguration, 9, "invalid configuration argument")                                   \
  error(cudaErrorInvalidHostPointer, 16, "invalid host pointer")                                              \
  error(cudaErrorInvalidDevicePointer, 17, "invalid device pointer")                                          \
  error(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction for memcpy")                             \
  error(cudaErrorDevicesUnavailable, 46, "CUDA-capable device(s) is/are busy or unavailable")                  \
  error(cudaErrorStubLibrary, 34, "CUDA driver is a stub library")                                            \
  error(cudaErrorInsufficientDriver, 35, "CUDA driver version is insufficient for CUDA runtime version")      \
  error(cudaErrorCallRequiresNewerDriver, 36, "API call is not supported in the installed CUDA driver")       \
  error(cudaErrorInvalidDeviceFunction, 98, "invalid device function")                                        \
  error(cudaErrorNoDevice, 100, "no CUDA-capable device is detected")                                         \
  error(cudaErrorInvalidDevice, 101, "invalid device ordinal")                                                \
  error(cudaErrorStartupFailure, 127, "startup failure in cuda runtime")                                      \
  error(cudaErrorInvalidKernelImage, 200, "device kernel image is invalid")                                   \
  error(cudaErrorDeviceUninitialized, 201, "invalid device context")                                          \
  error(cudaErrorNoKernelImageForDevice, 209, "no kernel image is available for execution on the device")     \
  error(cudaErrorECCUncorrectable, 214, "uncorrectable ECC error encountered")                                \
  error(cudaErrorInvalidPtx, 218, "a PTX JIT compilation failed")                                             \
  error(cudaErrorJitCompilerNotFound, 221, "PTX JIT compiler library not found")                              \
  error(cudaErrorUnsupportedPtxVersion, 222, "the provided PTX was compiled with an unsupported toolchain.")  \
  error(cudaErrorOperatingSystem, 304, "OS call failed or operation not supported on this OS")                \
  error(cudaErrorInvalidResourceHandle, 400, "invalid resource handle")                                       \
  error(cudaErrorIllegalState, 401, "the operation cannot be performed in the present state")                 \
  error(cudaErrorNotReady, 600, "device not ready")                                                           \
  error(cudaErrorIllegalAddress, 700, "an illegal memory access was encountered")                             \
  error(cudaErrorLaunchOutOfResources, 701, "too many resources requested for launch")                        \
  error(cudaErrorLaunchTimeout, 702, "the launch timed out and was terminated")                               \
  error(cudaErrorAssert, 710, "device-side assert triggered")                                                 \
  error(cudaErrorHardwareStackError, 714, "hardware stack error")                                             \
  error(cudaErrorIllegalInstruction, 715, "an illegal instruction was encountered")                           \
  error(cudaErrorMisalignedAddress, 716, "misaligned address")                                                \
  error(cudaErrorInvalidAddressSpace, 717, "operation not supported on global/shared address space")          \
  error(cudaErrorInvalidPc, 718, "invalid program counter")                                                   \
  error(cudaErrorLaunchFailure, 719, "unspecified launch failure")                                            \
  error(cudaErrorCooperativeLaunchTooLarge, 720, "too many blocks in cooperative launch")                     \
  error(cudaErrorNotPermitted, 800, "operation not permitted")                                                \
  error(cudaErrorNotSupported, 801, "operation not supported")                                                \
  error(cudaErrorSystemNotReady, 802, "system not yet initialized")                                           \
  error(cudaErrorSystemDriverMismatch, 803, "system has unsupported display driver / cuda driver combination") \
  error(cudaErrorCompatNotSupportedOnDevice, 804, "forward compatibility was attempted on non supported HW")  \
  error(cudaErrorStreamCaptureUnsupported, 900, "operation not permitted when stream is capturing")           \
  error(cudaErrorStreamCaptureInvalidated, 901, "operation failed due to a previous error during capture")    \
  error(cudaErrorStreamCaptureMerge, 902, "operation would result in a merge of separate capture sequences")  \
  error(cudaErrorStreamCaptureUnmatched, 903, "capture was not ended in the same stream as it began")         \
  error(cudaErrorStreamCaptureUnjoined, 904, "capturing stream has unjoined work")                            \
  error(cudaErrorStreamCaptureIsolation, 905, "dependency created on uncaptured work in another stream")      \
  error(cudaErrorStreamCaptureImplicit, 906, "operation would make the legacy stream depend on a capturing stream") \
  error(cudaErrorCapturedEvent, 907, "operation not permitted on an event last recorded in a capturing stream") \
  error(cudaErrorStreamCaptureWrongThread, 908, "attempt to terminate a thread-local capture from another thread") \
  error(cudaErrorGraphExecUpdateFailure, 910, "the graph update was not performed because of constraints")    \
  error(cudaErrorUnknown, 999, "unknown error")

#define SIMT_ENUMERATOR(name, value, text) name = value,
enum cudaError { SIMT_ERRORS(SIMT_ENUMERATOR) };
#undef SIMT_ENUMERATOR
typedef enum cudaError cudaError_t;

// Handles.
typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
typedef struct CUgraph_st* cudaGraph_t;
typedef struct CUgraphNode_st* cudaGraphNode_t;
typedef struct CUgraphExec_st* cudaGraphExec_t;
#define cudaStreamLegacy ((cudaStream_t)0x1)
#define cudaStreamPerThread ((cudaStream_t)0x2)

enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4
};

enum cudaMemoryType {
  cudaMemoryTypeUnregistered = 0,
  cudaMemoryTypeHost = 1,
  cudaMemoryTypeDevice = 2,
  cudaMemoryTypeManaged = 3
};

struct cudaPointerAttributes {
  enum cudaMemoryType type;
  int device;
  void* devicePointer;
  void* hostPointer;
};

enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone = 0,
  cudaStreamCaptureStatusActive = 1,
  cudaStreamCaptureStatusInvalidated = 2
};
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2
};

#define cudaStreamDefault 0x00
#define cudaStreamNonBlocking 0x01
#define cudaEventDefault 0x00
#define cudaEventBlockingSync 0x01
#define cudaEventDisableTiming 0x02
#define cudaEventWaitDefault 0x00
#define cudaHostAllocDefault 0x00
#define cudaHostAllocPortable 0x01

enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributePreferredSharedMemoryCarveout = 9
};

struct cudaFuncAttributes {
  std::size_t sharedSizeBytes, constSizeBytes, localSizeBytes;
  int maxThreadsPerBlock, numRegs, ptxVersion, binaryVersion, cacheModeCA;
  int maxDynamicSharedSizeBytes, preferredShmemCarveout;
};

enum cudaDeviceAttr {
  cudaDevAttrMaxThreadsPerBlock = 1,
  cudaDevAttrMaxBlockDimX = 2,
  cudaDevAttrMaxBlockDimY = 3,
  cudaDevAttrMaxBlockDimZ = 4,
  cudaDevAttrMaxGridDimX = 5,
  cudaDevAttrMaxGridDimY = 6,
  cudaDevAttrMaxGridDimZ = 7,
  cudaDevAttrMaxSharedMemoryPerBlock = 8,
  cudaDevAttrWarpSize = 10,
  cudaDevAttrMaxRegistersPerBlock = 12,
  cudaDevAttrClockRate = 13,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrIntegrated = 18,
  cudaDevAttrMemoryClockRate = 36,
  cudaDevAttrGlobalMemoryBusWidth = 37,
  cudaDevAttrL2CacheSize = 38,
  cudaDevAttrMaxThreadsPerMultiProcessor = 39,
  cudaDevAttrUnifiedAddressing = 41,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
  cudaDevAttrMaxRegistersPerMultiprocessor = 82,
  cudaDevAttrManagedMemory = 83,
  cudaDevAttrPageableMemoryAccess = 88,
  cudaDevAttrCooperativeLaunch = 95,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
  cudaDevAttrMaxBlocksPerMultiprocessor = 106,
  cudaDevAttrReservedSharedMemoryPerBlock = 111
};

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem, sharedMemPerBlock;
  int regsPerBlock, warpSize;
  int maxThreadsPerBlock, maxThreadsDim[3], maxGridSize[3];
  std::size_t totalConstMem;
  int major, minor;
  int multiProcessorCount, integrated, canMapHostMemory, concurrentKernels, ECCEnabled;
  int pciBusID, pciDeviceID, pciDomainID, tccDriver, asyncEngineCount, unifiedAddressing;
  int memoryBusWidth, l2CacheSize, persistingL2CacheMaxSize, maxThreadsPerMultiProcessor;
  std::size_t sharedMemPerMultiprocessor;
  int regsPerMultiprocessor, managedMemory, cooperativeLaunch;
  std::size_t sharedMemPerBlockOptin, reservedSharedMemPerBlock;
  int maxBlocksPerMultiProcessor;
};

enum cudaLaunchAttributeID {
  cudaLaunchAttributeIgnore = 0,
  cudaLaunchAttributeCooperative = 2,
  cudaLaunchAttributeClusterDimension = 4,
  cudaLaunchAttributeProgrammaticStreamSerialization = 6,
  cudaLaunchAttributePriority = 8
};
union cudaLaunchAttributeValue {
  char pad[64];
  int cooperative;
  struct {
    unsigned int x, y, z;
  } clusterDim;
  int programmaticStreamSerializationAllowed;
  int priority;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  char pad[8 - sizeof(cudaLaunchAttributeID)];
  cudaLaunchAttributeValue val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned int numAttrs;
};

enum cudaGraphNodeType {
  cudaGraphNodeTypeKernel = 0,
  cudaGraphNodeTypeMemcpy = 1,
  cudaGraphNodeTypeMemset = 2,
  cudaGraphNodeTypeHost = 3,
  cudaGraphNodeTypeGraph = 4,
  cudaGraphNodeTypeEmpty = 5
};

// The libraries' names of element types (library_types.h).
enum cudaDataType_t {
  CUDA_R_32F = 0,
  CUDA_R_64F = 1,
  CUDA_R_16F = 2,
  CUDA_R_8I = 3,
  CUDA_R_32I = 10,
  CUDA_R_16BF = 14
};
typedef enum cudaDataType_t cudaDataType;
