internal import SystemPackage

extension Device {
    /// A dma-buf of the picture that a plane showed. The corresponding request is `VFIO_DEVICE_GET_GFX_DMABUF`.
    ///
    /// It is for whoever shows pictures: other importers take it by its descriptor (``DMABuf/withFileDescriptor(_:)``), and
    /// no IOMMU of an address space does. Nothing revokes it, and its ``DMABuf/state`` is `.live` throughout. Ask once for
    /// each number, and keep it for as long as the plane has that number.
    ///
    /// - Throws: `.invalidArgument` for a plane in a region, `.notFound` when the device has forgotten the picture.
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
                // mbochs, and Intel's GVT-g.
                .noSuchFileOrDirectory: changed, .invalidArgument: changed,
                .inappropriateIOCTLForDevice: (.unsupported, Self.displayPlace),
            ],
            Self.closingOnExec(
                OwnedDescriptor(ABI.getPlaneDMABuf(number).perform(on: core), of: core.kernel)))
        return try DMABuf(own, subject: subject, access: nil, rangeCount: nil, revocation: nil)
    }

    /// Another descriptor of the same file, which no program that is started inherits. The kernel leaves that to the
    /// driver, and drivers let it be inherited.
    private static func closingOnExec(_ given: consuming OwnedDescriptor) throws(Errno) -> OwnedDescriptor {
        let own = OwnedDescriptor(try given.kernel.duplicate(given.descriptor), of: given.kernel)
        try given.close()
        return own
    }
}
