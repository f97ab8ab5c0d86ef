internal import SystemPackage

extension AddressSpace {
    /// Creates a queue for page faults. The corresponding request is `IOMMU_FAULT_QUEUE_ALLOC`.
    ///
    /// - Throws: `.unsupported` with type1, and before Linux 6.11.
    public func makeFaultQueue() throws(VFIOError) -> FaultQueue {
        let words = "make a fault queue"
        let context = try requireIOMMUFD(for: ABI.Call.makeFaultQueue.operation(words))
        let queue = try ABI.makeFaultQueue().perform(
            on: context, words, "\(IOMMUFDFile.node)", lacking: "it needs Linux 6.11")
        let object = IOMMUFDObject(queue.id, "the fault queue", of: self, in: context.file)
        return FaultQueue(object, OwnedDescriptor(queue.descriptor, of: kernel))
    }
}
