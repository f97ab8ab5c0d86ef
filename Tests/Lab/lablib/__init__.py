"""The kernel lab of swift-vfio: real Linux kernels in QEMU. `Tests/Lab/README.md` tells how it works."""
