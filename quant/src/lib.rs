//! Arithmetic over vectors: metrics, element types, kernels.
