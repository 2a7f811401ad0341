# The ABI headers beside Xen's own.
HOST_TESTS += tests/unit/hv-abi/compare
