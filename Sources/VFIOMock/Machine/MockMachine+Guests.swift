public import VFIO
public import VFIOPassthrough

extension MockMachine {
    /// What the hardware was told to forget of guests' page tables, entry by entry, in order.
    public var invalidations: [IOMMUInvalidation] { locked { core in core.invalidations } }

    /// Has a device ask for a page, as those with PRI do.
    ///
    /// - Parameters:
    ///   - iova: The address, of a page.
    ///   - access: What the device wants to do.
    ///   - pasid: Which of its address spaces it is about; `nil` for the device's own.
    ///   - address: The device.
    /// - Returns: A number for ``pageAnswer(to:)``; `nil` when nobody is to hear of it: the IOMMU takes no such wishes
    ///   (``MockIOMMU/takesPageRequests``), or the page table was made without a fault queue.
    public func requestPage(
        at iova: IOVA, _ access: FaultQueue.Fault.Access, pasid: UInt32? = nil, by address: PCIAddress
    ) -> Int? {
        locked { core in
            core.requestPage(iova.rawValue, access.rawValue, pasid: pasid, by: function(address, core))
        }
    }

    /// What a device was told of a page that it has asked for; `nil` when nothing yet.
    public func pageAnswer(to request: Int) -> FaultQueue.Answer? { locked { core in core.pageAnswers[request] } }

    /// Has the SMMU report an event about a device, to the guest that the device was given to.
    ///
    /// - Parameters:
    ///   - record: Four double words as in the SMMU's own queue. The stream number is replaced by the guest's.
    ///   - address: The device.
    /// - Returns: Whether a guest hears of it: the device is attached to a page table in a virtual IOMMU that has a queue.
    @discardableResult
    public func reportEvent(_ record: [UInt64], about address: PCIAddress) -> Bool {
        precondition(record.count == 4, "an event record of SMMUv3 has four double words")
        return locked { core in core.reportEvent(record, about: function(address, core)) }
    }

    private func function(_ address: PCIAddress, _ core: Core) -> PCIFunction {
        guard let function = core.functions[address] else { preconditionFailure("no device at \(address)") }
        return function
    }
}
