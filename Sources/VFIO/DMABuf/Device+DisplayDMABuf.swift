internal import SystemPackage

extension Device {
    /// Returns a dma-buf of the framebuffer that a plane showed.
    /// The corresponding request is `VFIO_DEVICE_GET_GFX_DMABUF`.
    ///
    /// Importers take it by its descriptor (``DMABuf/withFileDescriptor(_:)``); it cannot be mapped into an address
    /// space. It is never revoked, so its ``DMABuf/state`` stays `.live`. Call this once for each framebuffer number,
    /// and keep the dma-buf while the plane has that number.
    ///
    /// - Throws: `.invalidArgument` for a plane in a region, `.notFound` if the device no longer has the framebuffer.
    public func makeDisplayDMABuf(of plane: DisplayPlane) throws(VFIOError) -> DMABuf {
        let operation = ABI.Call.getPlaneDMABuf.operation("get the picture as a dma-buf")
        guard case .dmaBuf(let number) = plane.location else {
            throw VFIOError(
                .invalidArgument, operation, "\(address)", hint: "the picture is in a region: map that for the CPU")
        }
        let subject = "picture \(number) of \(address)"
        let changed: Refusal = (.notFound, "ask for the plane again: it has changed")
        let own = try attempt(
            operation, subject,
            refusals: [
                // The errors of mbochs and of Intel's GVT-g.
                .noSuchFileOrDirectory: changed, .invalidArgument: changed,
                .inappropriateIOCTLForDevice: (.unsupported, Self.displayPlace),
            ],
            Self.closingOnExec(
                OwnedDescriptor(ABI.getPlaneDMABuf(number).perform(on: core), of: core.kernel)))
        return try DMABuf(own, subject: subject, access: nil, rangeCount: nil, revocation: nil)
    }

    /// Returns a duplicate with close-on-exec set. The kernel leaves the flag to the driver, and drivers do not set it.
    private static func closingOnExec(_ given: consuming OwnedDescriptor) throws(Errno) -> OwnedDescriptor {
        let own = OwnedDescriptor(try given.kernel.duplicate(given.descriptor), of: given.kernel)
        try given.close()
        return own
    }
}
