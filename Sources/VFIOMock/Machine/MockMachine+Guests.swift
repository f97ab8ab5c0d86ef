public import VFIO
public import VFIOPassthrough

extension MockMachine {
    /// The invalidations of nested page tables, entry by entry, in order.
    public var invalidations: [IOMMUInvalidation] { locked { $0.iommu.invalidations } }

    /// Makes a page request (PRI) of a device.
    ///
    /// - Parameters:
    ///   - iova: The address of the page.
    ///   - access: The requested access.
    ///   - pasid: The PASID; `nil` for a request without one.
    ///   - address: The device.
    /// - Returns: A number for ``pageResponse(to:)``; `nil` if the IOMMU does not support page requests
    ///   (``MockIOMMU/takesPageRequests``) or the page table has no fault queue.
    public func requestPage(
        at iova: IOVA, _ access: FaultQueue.Fault.Access, pasid: UInt32? = nil, by address: PCIAddress
    ) -> Int? {
        locked { machine in
            machine.function(address).boundDevice?.requestPage(iova.rawValue, access.rawValue, pasid: pasid)
        }
    }

    /// The response to a page request; `nil` while there is none.
    public func pageResponse(to request: Int) -> FaultQueue.Response? { locked { $0.iommu.pageResponses[request] } }

    /// Reports an SMMU event about a device to its guest.
    ///
    /// - Parameters:
    ///   - record: Four double words as in the SMMU's event queue. The stream ID is replaced by the guest's.
    ///   - address: The device.
    /// - Returns: Whether it was queued: the device is attached to a page table in a virtual IOMMU with an event queue.
    @discardableResult
    public func reportEvent(_ record: [UInt64], about address: PCIAddress) -> Bool {
        precondition(record.count == 4, "an event record of SMMUv3 has four double words")
        return locked { $0.function(address).boundDevice?.reportEvent(record) ?? false }
    }

    // MARK: Virtual machines

    /// The open virtual machines in the order of their creation.
    public var virtualMachines: [MockVirtualMachine] {
        locked { $0.kvm.machines.map { MockVirtualMachine($0) } }
    }

    /// Acknowledges an interrupt as a guest does, which signals the resample eventfds of the line
    /// (`KVM_IRQFD_FLAG_RESAMPLE`).
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

    /// Writes as a guest's processor does, for matching ioeventfds.
    ///
    /// - Parameters:
    ///   - value: The value.
    ///   - width: In bytes.
    ///   - address: The guest's address, of all virtual machines.
    /// - Returns: Whether an ioeventfd matched; otherwise the write would be an exit.
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

    // MARK: Costs, for tests that bound them

    /// The number of sysfs nodes made so far.
    package var sysfsNodeCount: Int { locked { $0.bus.sysfs.madeNodeCount } }
    /// The number of descriptor look-ups that required a system call.
    package var identityLookupCount: Int { locked { $0.core.identityLookupCount } }
}
