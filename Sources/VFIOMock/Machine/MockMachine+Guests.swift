public import VFIO
public import VFIOPassthrough

extension MockMachine {
    /// What the hardware was told to forget of guests' page tables, entry by entry, in order.
    public var invalidations: [IOMMUInvalidation] { locked { $0.iommu.invalidations } }

    /// Has a device ask for a page, as those with PRI do.
    ///
    /// - Parameters:
    ///   - iova: The address, of a page.
    ///   - access: What the device wants to do.
    ///   - pasid: Which of its address spaces it is about; `nil` for the device's own.
    ///   - address: The device.
    /// - Returns: A number for ``pageResponse(to:)``; `nil` when nobody is to hear of it: the IOMMU takes no page requests
    ///   (``MockIOMMU/takesPageRequests``), or the page table was made without a fault queue.
    public func requestPage(
        at iova: IOVA, _ access: FaultQueue.Fault.Access, pasid: UInt32? = nil, by address: PCIAddress
    ) -> Int? {
        locked { machine in
            machine.function(address).boundDevice?.requestPage(iova.rawValue, access.rawValue, pasid: pasid)
        }
    }

    /// What a device was told of a page that it has asked for; `nil` when nothing yet.
    public func pageResponse(to request: Int) -> FaultQueue.Response? { locked { $0.iommu.pageResponses[request] } }

    /// Has the SMMU report an event about a device, to the guest that the device was given to.
    ///
    /// - Parameters:
    ///   - record: Four double words as in the SMMU's own queue. The stream number is replaced by the guest's.
    ///   - address: The device.
    /// - Returns: Whether a guest hears of it: the device is attached to a page table in a virtual IOMMU that has a queue.
    @discardableResult
    public func reportEvent(_ record: [UInt64], about address: PCIAddress) -> Bool {
        precondition(record.count == 4, "an event record of SMMUv3 has four double words")
        return locked { $0.function(address).boundDevice?.reportEvent(record) ?? false }
    }

    // MARK: Virtual machines

    /// The virtual machines that are open, in the order of their making.
    public var virtualMachines: [MockVirtualMachine] {
        locked { $0.kvm.machines.map { MockVirtualMachine($0) } }
    }

    /// Acknowledges an interrupt as a guest does at its interrupt controller, so that the irqfds of the line with
    /// `KVM_IRQFD_FLAG_RESAMPLE` pass it on to the device.
    ///
    /// - Parameter line: The interrupt line (GSI), of all virtual machines.
    public func acknowledgeInterrupt(_ line: UInt32) {
        locked { machine in
            for interrupt in machine.kvm.machines.flatMap(\.interrupts) where interrupt.line == line {
                interrupt.resample?.signal()
            }
            machine.core.serveEvents()
        }
    }

    /// Writes as a guest's processor does, for the ioeventfds that take it.
    ///
    /// - Parameters:
    ///   - value: What is written.
    ///   - width: In bytes.
    ///   - address: Where the guest writes, of all virtual machines.
    /// - Returns: Whether an ioeventfd took the write; otherwise it would have been an exit.
    @discardableResult
    public func writeAsGuest(_ value: UInt64, width: Int, at address: GuestAddress) -> Bool {
        locked { machine in
            let takers = machine.kvm.machines.flatMap(\.doorbells).filter { doorbell in
                !doorbell.isPort && doorbell.address == address.rawValue
                    && (doorbell.width == 0 || Int(doorbell.width) == width) && (doorbell.value ?? value) == value
            }
            for doorbell in takers { doorbell.event.signal() }
            machine.core.serveEvents()
            return !takers.isEmpty
        }
    }

    // MARK: sysfs

    /// How many nodes of sysfs were made since the start. Tests bound what a call costs by it.
    package var sysfsNodeCount: Int { locked { $0.bus.sysfs.madeNodeCount } }
}
